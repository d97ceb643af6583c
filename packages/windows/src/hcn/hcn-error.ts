/** What a call of the Host Compute Network API fails with; the message is this model's own. */
export class HcnError extends Error {
  override readonly name = "HcnError";
  /** As `HCN_E_ENDPOINT_NOT_FOUND` (winerror.h), without the prefix. */
  readonly code:
    | "NETWORK_NOT_FOUND"
    | "ENDPOINT_NOT_FOUND"
    | "LOAD_BALANCER_NOT_FOUND"
    | "NETWORK_ALREADY_EXISTS"
    | "ENDPOINT_ALREADY_ATTACHED"
    | "ADDR_INVALID_OR_RESERVED"
    | "INVALID_NETWORK"
    | "INVALID_POLICY"
    | "PORT_ALREADY_EXISTS";

  constructor(code: HcnError["code"], message: string) {
    super(message);
    this.code = code;
  }
}
