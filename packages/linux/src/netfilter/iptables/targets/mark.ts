import {
  type OptionValues,
  type Target,
  type TargetExtension,
  type TargetVerdict,
  XT_CONTINUE,
} from "../extension.ts";
import { parameterProblem } from "../iptables-error.ts";
import { hex, type Masked, parseMasked, parseUint } from "../numbers.ts";
import type { Walk } from "../walk.ts";

const OPERATIONS = ["set-xmark", "set-mark", "and-mark", "or-mark", "xor-mark"] as const;
const OPTIONS = OPERATIONS.map((name) => ({ name, args: 1 }) as const);

/** Bits to clear, and bits to toggle then: what all forms come down to. */
function changeOf(values: OptionValues, name: string): Masked | undefined {
  const given = OPERATIONS.filter((option) => values.has(option));
  const [option] = given;
  if (option === undefined) return undefined;
  if (given.length > 1) {
    throw parameterProblem(`${name}: "--${given[1]}" may not be given together with "--${option}"`);
  }
  const word = values.required(option);
  const masked = option.startsWith("set") ? parseMasked(word) : unmasked(word);
  if (masked === undefined) {
    throw parameterProblem(
      `${name}: bad integer value for option "--${option}", or out of range.\n`,
    );
  }
  const { value, mask } = masked;
  switch (option) {
    case "set-xmark":
      return masked;
    case "set-mark":
      return { value, mask: (mask | value) >>> 0 };
    case "and-mark":
      return { value: 0, mask: ~value >>> 0 };
    case "or-mark":
      return { value, mask: value };
    case "xor-mark":
      return { value, mask: 0 };
  }
}

function unmasked(word: string): Masked | undefined {
  const value = parseUint(word);
  return value === undefined ? undefined : { value, mask: 0xffffffff };
}

function applied(mark: number, { value, mask }: Masked): number {
  return ((mark & ~mask) ^ value) >>> 0;
}

class MarkTarget implements Target {
  readonly #change: Masked;

  constructor(change: Masked) {
    this.#change = change;
  }

  run({ skb }: Walk): TargetVerdict {
    skb.mark = applied(skb.mark, this.#change);
    return XT_CONTINUE;
  }

  effect({ skb }: Walk): string {
    return `mark ${hex(skb.mark)}`;
  }

  get text(): string {
    return `-j MARK --set-xmark ${hex(this.#change.value)}/${hex(this.#change.mask)}`;
  }
}

export const mark: TargetExtension = {
  name: "MARK",
  options: OPTIONS,
  parse(values) {
    const change = changeOf(values, "MARK");
    if (change === undefined) {
      throw parameterProblem(
        "MARK: One of the --set-xmark, --{and,or,xor,set}-mark options is required",
      );
    }
    return new MarkTarget(change);
  },
};

/** The mark of the packet's connection (net/netfilter/xt_connmark.c). */
abstract class ConnmarkTarget implements Target {
  readonly needsConntrack = true;
  abstract readonly text: string;

  run(walk: Walk): TargetVerdict {
    if (walk.skb.ct !== undefined) this.change(walk);
    return XT_CONTINUE;
  }

  protected abstract change(walk: Walk): void;

  abstract effect(walk: Walk): string;
}

function setConnectionMark(walk: Walk, mark: number): void {
  const { ct } = walk.skb;
  if (ct === undefined || ct.mark === mark) return;
  ct.mark = mark;
  // What later packets of the connection meet may depend on its mark.
  walk.netns.network.recording?.unrepeatable();
  walk.netns.network.touch();
}

class SetConnmark extends ConnmarkTarget {
  readonly #change: Masked;

  constructor(change: Masked) {
    super();
    this.#change = change;
  }

  protected change(walk: Walk): void {
    setConnectionMark(walk, applied(walk.skb.ct?.mark ?? 0, this.#change));
  }

  effect(walk: Walk): string {
    return `connection mark ${hex(walk.skb.ct?.mark ?? 0)}`;
  }

  get text(): string {
    return `-j CONNMARK --set-xmark ${hex(this.#change.value)}/${hex(this.#change.mask)}`;
  }
}

/** Copies bits between the packet's mark and the connection's. */
class CopyConnmark extends ConnmarkTarget {
  readonly #direction: "save" | "restore";
  readonly #nfMask: number;
  readonly #ctMask: number;

  constructor(direction: "save" | "restore", nfMask: number, ctMask: number) {
    super();
    this.#direction = direction;
    this.#nfMask = nfMask;
    this.#ctMask = ctMask;
  }

  protected change(walk: Walk): void {
    const { skb } = walk;
    const connection = skb.ct?.mark ?? 0;
    if (this.#direction === "save") {
      setConnectionMark(walk, ((connection & ~this.#ctMask) ^ (skb.mark & this.#nfMask)) >>> 0);
    } else {
      skb.mark = ((skb.mark & ~this.#nfMask) ^ (connection & this.#ctMask)) >>> 0;
    }
  }

  effect({ skb }: Walk): string {
    return this.#direction === "save"
      ? `connection mark ${hex(skb.ct?.mark ?? 0)}`
      : `mark ${hex(skb.mark)}`;
  }

  get text(): string {
    return `-j CONNMARK --${this.#direction}-mark --nfmask ${hex(this.#nfMask)} --ctmask ${hex(this.#ctMask)}`;
  }
}

function copyOf(values: OptionValues): CopyConnmark | undefined {
  const direction = values.has("save-mark")
    ? "save"
    : values.has("restore-mark")
      ? "restore"
      : undefined;
  const mask = values.parsed("mask", (word) => parseUint(word));
  const nfMask = mask ?? values.parsed("nfmask", (word) => parseUint(word)) ?? 0xffffffff;
  const ctMask = mask ?? values.parsed("ctmask", (word) => parseUint(word)) ?? 0xffffffff;
  return direction && new CopyConnmark(direction, nfMask, ctMask);
}

export const connmark: TargetExtension = {
  name: "CONNMARK",
  options: [
    ...OPTIONS,
    { name: "save-mark", args: 0 },
    { name: "restore-mark", args: 0 },
    { name: "nfmask", args: 1 },
    { name: "ctmask", args: 1 },
    { name: "mask", args: 1 },
  ],
  parse(values) {
    const change = changeOf(values, "CONNMARK");
    const copy = copyOf(values);
    if (change !== undefined && copy === undefined) return new SetConnmark(change);
    if (change === undefined && copy !== undefined) return copy;
    throw parameterProblem("CONNMARK target: No operation specified");
  },
};
