import type { IpAddress } from "@cnilab/net";

/** Answers on one network card for addresses that its machine does not have. */
export interface Responder {
  /** An address is announced from now on. */
  watch(address: IpAddress): void;
  unwatch(address: IpAddress): void;
  /** Tells everybody, unasked. */
  gratuitous(address: IpAddress): void;
  close(): void;
}
