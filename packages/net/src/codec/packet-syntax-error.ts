/** What can be wrong with bytes that should have been a packet. */
export type PacketFault =
  | "truncated"
  | "bad version"
  | "bad header length"
  | "bad length"
  | "bad option length";

/** Bytes that are not a packet of the protocol they should be of. */
export class PacketSyntaxError extends Error {
  override readonly name = "PacketSyntaxError";
  /** The protocol whose header is wrong, such as `IPv4`. */
  readonly protocol: string;
  readonly fault: PacketFault;

  constructor(protocol: string, fault: PacketFault, detail: string) {
    super(`${protocol} packet with ${detail} (${fault})`);
    this.protocol = protocol;
    this.fault = fault;
  }
}
