import type { IpFamily } from "@cnilab/net";
import {
  type Match,
  type MatchExtension,
  type OptionSpec,
  OptionValues,
  type RuleContext,
  type Target,
  type TargetExtension,
} from "./extension.ts";
import { findMatchExtension, findTargetExtension, matchOfProtocol } from "./extensions.ts";
import {
  type AddressTest,
  HeaderMatch,
  type InterfaceTest,
  isWholeRange,
  parseAddress,
  parseInterface,
  parseProtocol,
} from "./header-match.ts";
import { Complaint, parameterProblem } from "./iptables-error.ts";
import type { ChainName } from "./rule.ts";
import { Rule } from "./rule.ts";

/** Packets and bytes that a rule is to start with. */
export interface InitialCount {
  readonly packets: number;
  readonly bytes: number;
}

export interface ParsedRules {
  /** One for each pair of addresses that the rule lists; none for `-4` or `-6` in the other family's tool. */
  readonly rules: readonly Rule[];
  /** `-c` */
  readonly count: InitialCount | undefined;
}

/** Options that every rule can have, with the letters that are short for them. */
const RULE_OPTIONS: readonly (OptionSpec & { readonly letter?: string })[] = [
  { name: "source", aliases: ["src"], letter: "s", args: 1, invertible: true },
  { name: "destination", aliases: ["dst"], letter: "d", args: 1, invertible: true },
  { name: "protocol", aliases: ["proto"], letter: "p", args: 1, invertible: true },
  { name: "in-interface", letter: "i", args: 1, invertible: true },
  { name: "out-interface", letter: "o", args: 1, invertible: true },
  { name: "fragment", letter: "f", args: 0, invertible: true },
  { name: "jump", letter: "j", args: 1 },
  { name: "goto", letter: "g", args: 1 },
  { name: "match", letter: "m", args: 1 },
  { name: "set-counters", letter: "c", args: 2 },
  { name: "ipv4", letter: "4", args: 0 },
  { name: "ipv6", letter: "6", args: 0 },
];

/** `XT_EXTENSION_MAXNAMELEN`, its closing zero not counted. */
const MAX_TARGET_NAME = 28;

/** An extension that the rule loads, and what it says to it. */
interface Loaded<E> {
  readonly extension: E;
  readonly values: OptionValues;
}

/** Reads the words of one rule, as `do_parse` of iptables 1.8.9 does. */
export class RuleParser {
  readonly #family: IpFamily;
  readonly #words: readonly string[];
  readonly #place: ChainName;
  #at = 0;
  #inverted = false;

  #src: readonly AddressTest[] | undefined;
  #dst: readonly AddressTest[] | undefined;
  #in: InterfaceTest | undefined;
  #out: InterfaceTest | undefined;
  #protocol: { readonly protocol: number; readonly inverted: boolean } | undefined;
  #fragment: boolean | undefined;
  #jump: { readonly name: string; readonly goto: boolean } | undefined;
  #count: InitialCount | undefined;
  #onlyFamily: IpFamily | undefined;
  readonly #matches: Loaded<MatchExtension>[] = [];
  #target: Loaded<TargetExtension> | undefined;

  constructor(family: IpFamily, words: readonly string[], place: ChainName) {
    this.#family = family;
    this.#words = words;
    this.#place = place;
  }

  /** @throws Complaint */
  parse(): ParsedRules {
    while (this.#at < this.#words.length) this.#word();
    if (this.#inverted) throw parameterProblem("nothing appropriate following !");
    this.#checkInterfaces();
    const context: RuleContext = {
      family: this.#family,
      protocol: this.#protocol?.protocol ?? 0,
      protocolInverted: this.#protocol?.inverted ?? false,
    };
    if (context.protocolInverted && context.protocol === 0) {
      throw parameterProblem("rule would never match protocol");
    }
    const matches = this.#matches.map((m): Match => m.extension.parse(m.values, context));
    const target: Target | undefined = this.#target?.extension.parse(this.#target.values, context);
    const skipped = this.#onlyFamily !== undefined && this.#onlyFamily !== this.#family;
    return { rules: skipped ? [] : this.#rules(matches, target), count: this.#count };
  }

  /** One rule for each pair of a source and a destination. */
  #rules(matches: readonly Match[], target: Target | undefined): Rule[] {
    const jump = this.#jump;
    const action =
      target !== undefined
        ? { target }
        : jump === undefined
          ? undefined
          : { chain: jump.name, goto: jump.goto };
    const protocol = this.#protocol?.protocol === 0 ? undefined : this.#protocol;
    const rules: Rule[] = [];
    for (const src of this.#src ?? [undefined]) {
      for (const dst of this.#dst ?? [undefined]) {
        const header = new HeaderMatch({
          src: src !== undefined && isWholeRange(src) ? undefined : src,
          dst: dst !== undefined && isWholeRange(dst) ? undefined : dst,
          in: this.#in,
          out: this.#out,
          protocol,
          fragment: this.#fragment,
        });
        rules.push(new Rule(header, matches, action));
      }
    }
    return rules;
  }

  /** Takes in one option with what follows it. */
  #word(): void {
    const word = this.#words[this.#at++] as string;
    if (word === "!") {
      if (this.#inverted) throw parameterProblem("multiple consecutive ! not allowed");
      this.#inverted = true;
      return;
    }
    if (word.startsWith("--") && word.length > 2) this.#longOption(word.slice(2));
    else if (word.startsWith("-") && word.length > 1) this.#shortOption(word);
    else throw new Complaint("argument", `Bad argument \`${word}'`);
    this.#inverted = false;
  }

  #longOption(text: string): void {
    const equals = text.indexOf("=");
    const name = equals < 0 ? text : text.slice(0, equals);
    const attached = equals < 0 ? undefined : text.slice(equals + 1);
    if (this.#takeOption(name, attached, findExact)) return;
    if (this.#takeOption(name, attached, findBeginning)) return;
    const implied = this.#loadOfProtocol();
    const spec = implied && findBeginning(implied.extension.options, name);
    if (implied === undefined || spec === undefined) {
      throw parameterProblem(`unknown option "--${name}"`);
    }
    this.#extensionOption(spec, implied.values, attached);
  }

  /** Takes in an option of the rule itself, of its target or of a match, the one loaded last first. */
  #takeOption(name: string, attached: string | undefined, find: FindOption): boolean {
    const own = find(RULE_OPTIONS, name);
    if (own !== undefined) {
      this.#ruleOption(own, attached);
      return true;
    }
    const target = this.#target;
    if (target !== undefined && this.#takeFrom(target, name, attached, find)) return true;
    for (let i = this.#matches.length - 1; i >= 0; i--) {
      const match = this.#matches[i] as Loaded<MatchExtension>;
      if (this.#takeFrom(match, name, attached, find)) return true;
    }
    return false;
  }

  #takeFrom(
    { extension, values }: Loaded<{ readonly options: readonly OptionSpec[] }>,
    name: string,
    attached: string | undefined,
    find: FindOption,
  ): boolean {
    const spec = find(extension.options, name);
    if (spec === undefined) return false;
    this.#extensionOption(spec, values, attached);
    return true;
  }

  /** `-p tcp` loads the match of that name once an option asks for it. */
  #loadOfProtocol(): Loaded<MatchExtension> | undefined {
    if (this.#protocol === undefined) return undefined;
    const extension = matchOfProtocol(this.#family, this.#protocol.protocol);
    if (extension === undefined || this.#matches.some((m) => m.extension === extension))
      return undefined;
    return this.#load(extension);
  }

  #load(extension: MatchExtension): Loaded<MatchExtension> {
    const loaded = { extension, values: new OptionValues(extension.names[0] as string) };
    this.#matches.push(loaded);
    return loaded;
  }

  #shortOption(word: string): void {
    const spec = RULE_OPTIONS.find((option) => option.letter === word.charAt(1));
    if (spec === undefined) throw this.#unknownLetter(word.charAt(1));
    const attached = word.length > 2 ? word.slice(2) : undefined;
    if (attached !== undefined && spec.args === 0) throw this.#unknownLetter(attached.charAt(0));
    this.#ruleOption(spec, attached);
  }

  #unknownLetter(letter: string): Complaint {
    if (letter === "w") return parameterProblem("You cannot use `-w' from iptables-restore");
    return parameterProblem(`unknown option "-${letter}"`);
  }

  /** The words that belong to an option. */
  #take(spec: OptionSpec, attached: string | undefined): string[] {
    if (this.#inverted && !spec.invertible) {
      throw parameterProblem(
        spec.name === "jump" || spec.name === "goto" || spec.name === "match"
          ? `cannot have ! before -${spec.name.charAt(0)}`
          : `option "--${spec.name}" cannot be inverted.`,
      );
    }
    const args = attached === undefined ? [] : [attached];
    while (args.length < spec.args) {
      const next = this.#words[this.#at++];
      if (next === undefined)
        throw parameterProblem(`option "--${spec.name}" requires an argument`);
      args.push(next);
    }
    return args;
  }

  #extensionOption(spec: OptionSpec, values: OptionValues, attached: string | undefined): void {
    const args = this.#take(spec, attached);
    values.set(spec.name, { args, inverted: this.#inverted });
  }

  #ruleOption(spec: OptionSpec, attached: string | undefined): void {
    const args = this.#take(spec, attached);
    const word = args[0] as string;
    const inverted = this.#inverted;
    switch (spec.name) {
      case "source":
        this.#once("s", this.#src);
        this.#src = this.#addresses(word);
        return;
      case "destination":
        this.#once("d", this.#dst);
        this.#dst = this.#addresses(word);
        return;
      case "protocol":
        this.#once("p", this.#protocol);
        this.#protocol = { protocol: parseProtocol(word), inverted };
        return;
      case "in-interface":
        this.#once("i", this.#in);
        this.#in = interfaceTest(word, inverted);
        return;
      case "out-interface":
        this.#once("o", this.#out);
        this.#out = interfaceTest(word, inverted);
        return;
      case "fragment":
        if (this.#family === 6) throw this.#unknownLetter("f");
        this.#once("f", this.#fragment);
        this.#fragment = !inverted;
        return;
      case "match":
        this.#load(findMatchExtension(this.#family, word));
        return;
      case "jump":
      case "goto":
        this.#jumpTo(word, spec.name === "goto");
        return;
      case "set-counters":
        this.#count = parseCount(word, args[1] as string);
        return;
      case "ipv4":
      case "ipv6":
        this.#onlyFamily = spec.name === "ipv4" ? 4 : 6;
        return;
    }
  }

  #once(letter: string, value: unknown): void {
    if (value !== undefined) throw parameterProblem(`multiple -${letter} flags not allowed`);
  }

  #addresses(list: string): AddressTest[] {
    const words = list.split(",");
    if (words.length > 1 && this.#inverted) {
      throw parameterProblem("! not allowed with multiple source or destination IP addresses");
    }
    return words.map((word) => ({ ...parseAddress(word, this.#family), inverted: this.#inverted }));
  }

  #jumpTo(name: string, goto: boolean): void {
    this.#once("j", this.#jump);
    if (name === "") throw parameterProblem("Invalid target name (too short)");
    if (name.length > MAX_TARGET_NAME) {
      throw parameterProblem(`Invalid target name \`${name}' (${MAX_TARGET_NAME} chars max)`);
    }
    this.#jump = { name, goto };
    if (goto) return;
    const extension = findTargetExtension(this.#family, name);
    if (extension !== undefined) this.#target = { extension, values: new OptionValues(name) };
  }

  #checkInterfaces(): void {
    const { chain } = this.#place;
    if (this.#out !== undefined && (chain === "PREROUTING" || chain === "INPUT")) {
      throw parameterProblem(`Can't use -o with ${chain}\n`);
    }
    if (this.#in !== undefined && (chain === "POSTROUTING" || chain === "OUTPUT")) {
      throw parameterProblem(`Can't use -i with ${chain}\n`);
    }
  }
}

/** `+` alone asks for nothing, `! +` for what cannot be. */
function interfaceTest(word: string, inverted: boolean): InterfaceTest | undefined {
  const test = parseInterface(word, inverted);
  return test.isPrefix && test.name === "" && !inverted ? undefined : test;
}

type FindOption = (options: readonly OptionSpec[], name: string) => OptionSpec | undefined;

function findExact(options: readonly OptionSpec[], name: string): OptionSpec | undefined {
  for (const spec of options) {
    if (spec.name === name || spec.aliases?.includes(name) === true) return spec;
  }
  return undefined;
}

/** getopt_long(3): an option's name may be cut, if no other one begins so. */
function findBeginning(options: readonly OptionSpec[], name: string): OptionSpec | undefined {
  const exact = findExact(options, name);
  if (exact !== undefined) return exact;
  const fits = (known: string) => known.startsWith(name);
  const found = options.filter((spec) => fits(spec.name) || spec.aliases?.some(fits));
  return found.length === 1 ? found[0] : undefined;
}

function parseCount(packets: string, bytes: string): InitialCount {
  if (!/^[0-9]+$/.test(packets) || !/^[0-9]+$/.test(bytes)) {
    throw parameterProblem("-c packet counter not numeric");
  }
  return { packets: Number(packets), bytes: Number(bytes) };
}
