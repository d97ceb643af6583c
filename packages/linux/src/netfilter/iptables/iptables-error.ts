import type { IpFamily } from "@cnilab/net";

/** What the tool would print on standard error, without its closing hint at `--help`. */
export class IptablesError extends Error {
  override readonly name = "IptablesError";
  /** Line of the restored text, from 1 on; `undefined` for a single command. */
  readonly line: number | undefined;

  constructor(message: string, line: number | undefined) {
    super(message);
    this.line = line;
  }
}

/**
 * How the tool words an error:
 * - `parameter`: text it cannot make sense of (`xtables_error`)
 * - `argument`: a word where none is expected
 * - `lookup`: a chain or rule that is not there, or there already
 * - `kernel`: the kernel refused the change
 * - `line`: a line of restored text where no table is open
 * - `commit`: restored text ends before its COMMIT
 */
export type ComplaintKind = "parameter" | "argument" | "lookup" | "kernel" | "line" | "commit";

/** An error before it is known which program met it, and on which line. */
export class Complaint extends Error {
  override readonly name = "Complaint";
  readonly kind: ComplaintKind;

  constructor(kind: ComplaintKind, text: string) {
    super(text);
    this.kind = kind;
  }

  /** The words of iptables 1.8.9 for a single command. */
  ofCommand(family: IpFamily): IptablesError {
    const program = family === 4 ? "iptables" : "ip6tables";
    const text = {
      parameter: `${program} ${VERSION}: ${this.message}`,
      argument: this.message,
      lookup: `${program}: ${this.message}`,
      kernel: `${program} ${VERSION}:  ${this.message}`,
      line: this.message,
      commit: this.message,
    }[this.kind];
    return new IptablesError(text, undefined);
  }

  /** The words of iptables-restore 1.8.9. */
  ofRestore(family: IpFamily, line: number): IptablesError {
    const program = family === 4 ? "iptables-restore" : "ip6tables-restore";
    const text = {
      parameter: `${program} ${VERSION}: ${this.message}\nError occurred at line: ${line}`,
      argument: `${this.message}\nError occurred at line: ${line}`,
      lookup: `${program}: line ${line} failed: ${this.message}`,
      kernel: `${program} ${VERSION}: \nline ${line}: ${this.message}`,
      line: `${program}: line ${line} failed`,
      commit: `${program}: ${this.message}`,
    }[this.kind];
    return new IptablesError(text, line);
  }
}

const VERSION = "v1.8.9 (nf_tables)";

/** Text that the tool cannot make sense of. */
export function parameterProblem(text: string): Complaint {
  return new Complaint("parameter", text);
}

export const NO_SUCH_CHAIN = "No chain/target/match by that name.";
export const NO_SUCH_RULE = "Bad rule (does a matching rule exist in that chain?).";
export const CHAIN_EXISTS = "Chain already exists.";
