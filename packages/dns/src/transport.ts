import type { IpAddress } from "@cnilab/net";
import type { DnsMessage } from "./message/message.ts";

export type DnsProtocol = "udp" | "tcp";

/** A server to ask. */
export interface DnsServerAddress {
  readonly address: IpAddress;
  readonly port: number;
  readonly protocol: DnsProtocol;
}

/**
 * How a socket failed: the other side's reset or port unreachable, or no way there. Nothing at all comes where packets
 * are lost: waiting is the asker's own business.
 */
export type DnsFailure = "refused" | "unreachable";

/**
 * How who asks (a pod's resolver, CoreDNS' `forward`) reaches a server: packets in a cluster, a call where there is no
 * network between. Answers may come at once, before {@link DnsSocket.send} has returned, or later on the clock.
 */
export interface DnsTransport {
  /**
   * A socket connected to the server, with a source port of its own. What is sent before a TCP connection stands is
   * sent when it does.
   * @param receive each message that arrives; a failure of the socket at most once, after which it is of no use
   */
  open(server: DnsServerAddress, receive: (result: DnsMessage | DnsFailure) => void): DnsSocket;
}

export interface DnsSocket {
  send(query: DnsMessage): void;
  /** Nothing is received after it. */
  close(): void;
}
