import type { Clock } from "@cnilab/core";
import type { IpAddress } from "@cnilab/net";
import type { DnsMessage } from "../message/message.ts";
import type { DnsFailure, DnsServerAddress, DnsSocket, DnsTransport } from "../transport.ts";
import type { DnsListener } from "./core-dns.ts";

export interface LocalTransportOptions {
  readonly clock: Clock;
  /** The listener at an address, if any. */
  readonly find: (server: DnsServerAddress) => DnsListener | undefined;
  /** From which address its sockets send. */
  readonly address: IpAddress;
}

/** Reaches listeners by a call, without a network between; where there is none, the port is closed. */
export class LocalTransport implements DnsTransport {
  readonly #options: LocalTransportOptions;
  #port = 32_768;

  constructor(options: LocalTransportOptions) {
    this.#options = options;
  }

  open(server: DnsServerAddress, receive: (result: DnsMessage | DnsFailure) => void): DnsSocket {
    const { find, address, clock } = this.#options;
    const listener = find(server);
    const client = { address, port: this.#port++, protocol: server.protocol };
    if (this.#port > 60_999) this.#port = 32_768;
    let open = true;
    return {
      send: (query) => {
        if (listener !== undefined) {
          listener.handle(query, client, (answer) => {
            if (open) receive(answer);
          });
        } else clock.schedule(0, () => open && receive("refused"));
      },
      close: () => {
        open = false;
      },
    };
  }
}

/** The listener that a packet to this address and port would come to. */
export function listenerAt(
  listeners: readonly DnsListener[],
  { address, port }: DnsServerAddress,
): DnsListener | undefined {
  return (
    listeners.find((each) => each.port === port && each.address === address) ??
    listeners.find((each) => each.port === port && each.address === undefined)
  );
}
