import { NF_ACCEPT, NF_DROP } from "../../hooks.ts";
import { type Target, type TargetExtension, type TargetVerdict, XT_RETURN } from "../extension.ts";

/** ACCEPT, DROP and RETURN. */
export class VerdictTarget implements Target {
  readonly name: string;
  readonly verdict: TargetVerdict;

  constructor(name: string, verdict: TargetVerdict) {
    this.name = name;
    this.verdict = verdict;
  }

  run(): TargetVerdict {
    return this.verdict;
  }

  effect(): string {
    return this.name;
  }

  get text(): string {
    return `-j ${this.name}`;
  }
}

function verdict(name: string, value: TargetVerdict): TargetExtension {
  const target = new VerdictTarget(name, value);
  return { name, options: [], parse: () => target };
}

export const accept: TargetExtension = verdict("ACCEPT", NF_ACCEPT);
export const drop: TargetExtension = verdict("DROP", NF_DROP);
export const returnTarget: TargetExtension = verdict("RETURN", XT_RETURN);
