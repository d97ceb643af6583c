/** What the ipset command refuses; the message is its own, without the leading `ipset v7.17: `. */
export class IpsetError extends Error {
  override readonly name = "IpsetError";
  /** Whether the kernel refused it, as opposed to the text being wrong. */
  readonly fromKernel: boolean;
  /** Line of the restored text, from 1 on; `undefined` outside of `restore`. */
  readonly line: number | undefined;

  constructor(message: string, fromKernel = false, line?: number) {
    super(line === undefined ? message : `Error in line ${line}: ${message}`);
    this.fromKernel = fromKernel;
    this.line = line;
  }
}

/** The text does not follow the syntax. */
export function syntaxError(message: string): IpsetError {
  return new IpsetError(`Syntax error: ${message}`);
}

/** The kernel says no (`IPSET_ERR_…` of include/uapi/linux/netfilter/ipset). */
export function kernelRefusal(message: string): IpsetError {
  return new IpsetError(message, true);
}
