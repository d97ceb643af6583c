import type { IpFamily } from "@cnilab/net";
import type { NetNamespace } from "../../net-namespace.ts";
import type { NfVerdict } from "../hooks.ts";
import { parameterProblem } from "./iptables-error.ts";
import type { Walk } from "./walk.ts";

/** What the rule says apart from an extension's own options. */
export interface RuleContext {
  readonly family: IpFamily;
  /** IP protocol number that `-p` names; 0 for any. */
  readonly protocol: number;
  /** `! -p` */
  readonly protocolInverted: boolean;
}

/** An option of a match or target, without its leading `--`. */
export interface OptionSpec {
  readonly name: string;
  /** Other names that mean the same. */
  readonly aliases?: readonly string[];
  /** Words that follow it. */
  readonly args: 0 | 1 | 2;
  /** Whether `!` may stand before it. */
  readonly invertible?: boolean;
}

/** An option as a rule gives it. */
export interface OptionValue {
  readonly args: readonly string[];
  readonly inverted: boolean;
}

/** The options that a rule gives to one match or target. */
export class OptionValues {
  readonly extension: string;
  readonly #values: Map<string, OptionValue> = new Map();

  constructor(extension: string) {
    this.extension = extension;
  }

  set(name: string, value: OptionValue): void {
    if (this.#values.has(name)) {
      throw parameterProblem(`${this.extension}: option "--${name}" can only be used once.\n`);
    }
    this.#values.set(name, value);
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  find(name: string): OptionValue | undefined {
    return this.#values.get(name);
  }

  /** The first word behind the option; `undefined` where it is not given. */
  word(name: string): string | undefined {
    return this.#values.get(name)?.args[0];
  }

  isInverted(name: string): boolean {
    return this.#values.get(name)?.inverted ?? false;
  }

  /** The first word behind an option that must be there. */
  required(name: string): string {
    const word = this.word(name);
    if (word === undefined) {
      throw parameterProblem(`${this.extension}: option "--${name}" must be specified\n`);
    }
    return word;
  }

  /** The value of an option made by `parse`, which returns `undefined` for what it does not understand. */
  parsed<T>(name: string, parse: (text: string) => T | undefined): T | undefined {
    const word = this.word(name);
    if (word === undefined) return undefined;
    const value = parse(word);
    if (value === undefined) throw this.badValue(name, word);
    return value;
  }

  badValue(name: string, word: string): Error {
    return parameterProblem(`${this.extension}: Bad value for "--${name}" option: "${word}"`);
  }
}

/** A condition of a rule. Immutable, as a chain layer shares it between namespaces. */
export interface Match {
  /** As iptables-save prints it, from `-m` on. */
  readonly text: string;
  /** Whether the answer depends on the packet alone and asking leaves no trace, so that it may be left out. */
  readonly pure: boolean;
  /** Asking leaves traces elsewhere alone: it may not be left out, but rules of many namespaces can have it. */
  readonly stateless?: boolean;
  /** Destination ports besides which it never matches, where it is pure and names a few. */
  readonly dstPorts?: readonly number[] | undefined;
  /** Sets that it asks. */
  readonly sets?: readonly string[];
  /** Whether it looks at connections, so that they must be tracked. */
  readonly needsConntrack?: boolean;
  matches(walk: Walk): boolean;
  /** Called when a rule with it is made: whether it works there. @throws Complaint */
  check?(place: RulePlace): void;
  /** Called before a rule with it joins a namespace: whether what it names is there. @throws Complaint */
  resolve?(netns: NetNamespace, place: RulePlace): void;
}

/** Goes on with the next rule (`XT_CONTINUE`). */
export const XT_CONTINUE = -1;
/** Goes back to the calling chain (`XT_RETURN`). */
export const XT_RETURN = -2;
export type TargetVerdict = NfVerdict | typeof XT_CONTINUE | typeof XT_RETURN;

/** What a rule does. Immutable, as a chain layer shares it between namespaces. */
export interface Target {
  /** As iptables-save prints it, from `-j` on. */
  readonly text: string;
  /** Sets that it changes. */
  readonly sets?: readonly string[];
  /** Whether it has said by itself why it drops; otherwise the rule is named. */
  readonly dropsItself?: boolean;
  /** Whether it acts on connections, so that they must be tracked. */
  readonly needsConntrack?: boolean;
  run(walk: Walk): TargetVerdict;
  /** For traces, after it ran: what came of it. */
  effect(walk: Walk): string;
  /** Called when a rule with it is made: whether it works there. @throws Complaint */
  check?(place: RulePlace): void;
  /** Called before a rule with it joins a namespace: whether what it names is there. @throws Complaint */
  resolve?(netns: NetNamespace, place: RulePlace): void;
}

/** Where a rule stands. */
export interface RulePlace {
  readonly family: IpFamily;
  readonly table: string;
  readonly chain: string;
  readonly protocol: number;
}

export interface MatchExtension {
  /** Names that `-m` takes for it; the first is printed. */
  readonly names: readonly string[];
  /** `undefined` for both. */
  readonly family?: IpFamily;
  readonly options: readonly OptionSpec[];
  /** @throws Complaint */
  parse(values: OptionValues, context: RuleContext): Match;
}

export interface TargetExtension {
  readonly name: string;
  readonly family?: IpFamily;
  readonly options: readonly OptionSpec[];
  /** @throws Complaint */
  parse(values: OptionValues, context: RuleContext): Target;
}

/** `! ` where an option is inverted. */
export function not(inverted: boolean): string {
  return inverted ? "! " : "";
}
