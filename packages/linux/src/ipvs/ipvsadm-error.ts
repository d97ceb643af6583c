/** What ipvsadm refuses; the message is its own. */
export class IpvsadmError extends Error {
  override readonly name = "IpvsadmError";
  /** Whether the kernel refused it, as opposed to the text being wrong. */
  readonly fromKernel: boolean;
  /** Line of the restored text, from 1 on; `undefined` for a single command. */
  readonly line: number | undefined;

  constructor(message: string, fromKernel = false, line?: number) {
    super(message);
    this.fromKernel = fromKernel;
    this.line = line;
  }
}
