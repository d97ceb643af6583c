import type { InterfaceAddress, IpAddress } from "@cnilab/net";

/** What is asked of weaver over HTTP on its node, at 127.0.0.1:6784. */
export interface WeaverApi {
  readonly expectsNpc: boolean;
  /**
   * `POST /ip/IDENT`: the address that it has, or a new one.
   * @throws CniWaiting while there is none to be had, CniError where there will be none
   */
  addressOf(ident: string): InterfaceAddress;
  /** `PUT /ip/IDENT/ADDRESS`: takes this very address. @throws as {@link addressOf} */
  claim(ident: string, address: IpAddress): InterfaceAddress;
  /** `DELETE /ip/IDENT`. It is repeated until weaver runs. */
  release(ident: string): void;
}
