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

/** More queries than these are not on their way at once: as with packets, the rest is lost. Servers may ask in circles. */
const MAX_IN_FLIGHT = 256;

/** Reaches listeners by a call, without a network between; where there is none, the port is closed. */
export class LocalTransport implements DnsTransport {
  readonly #options: LocalTransportOptions;
  #port = 32_768;
  #inFlight = 0;

  constructor(options: LocalTransportOptions) {
    this.#options = options;
  }

  open(server: DnsServerAddress, receive: (result: DnsMessage | DnsFailure) => void): DnsSocket {
    const { find, address, clock } = this.#options;
    const listener = find(server);
    const client = { address, port: this.#port++, protocol: server.protocol };
    if (this.#port > 60_999) this.#port = 32_768;
    let open = true;
    let waiting = 0;
    return {
      send: (query) => {
        if (this.#inFlight >= MAX_IN_FLIGHT) return;
        this.#inFlight++;
        waiting++;
        const end = (result: DnsMessage | DnsFailure): void => {
          if (!open) return;
          this.#inFlight--;
          waiting--;
          receive(result);
        };
        // Not within this call, so that servers in a circle do not fill the stack.
        clock.schedule(0, () => {
          if (listener === undefined) end("refused");
          else if (open) listener.handle(query, client, end);
        });
      },
      close: () => {
        open = false;
        this.#inFlight -= waiting;
        waiting = 0;
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
