import {
  type OptionSpec,
  type OptionValues,
  type RulePlace,
  type Target,
  type TargetExtension,
  type TargetVerdict,
  XT_CONTINUE,
} from "../extension.ts";
import { parameterProblem } from "../iptables-error.ts";
import { parseUint } from "../numbers.ts";
import { demandTable } from "../rule-refusal.ts";
import type { Walk } from "../walk.ts";
import { quoteWord } from "../words.ts";

/** Tells of a packet and lets it go on. A trace shows that it did; there is no log to read otherwise. */
class LogTarget implements Target {
  readonly text: string;
  readonly #effect: string;

  constructor(name: string, options: string, prefix: string) {
    this.text = `-j ${name}${options}`;
    this.#effect = prefix === "" ? name : `${name} "${prefix}"`;
  }

  run(): TargetVerdict {
    return XT_CONTINUE;
  }

  effect(): string {
    return this.#effect;
  }
}

/** syslog(3), by number. */
const LEVELS = ["emerg", "alert", "crit", "error", "warning", "notice", "info", "debug"];
const LEVEL_ALIASES: Readonly<Record<string, number>> = { panic: 0, err: 3, warn: 4 };
const WARNING = 4;
const LOG_PREFIX_MAX = 29;
const NFLOG_PREFIX_MAX = 63;

function parseLevel(text: string): number {
  const level =
    parseUint(text, 7) ?? LEVEL_ALIASES[text.toLowerCase()] ?? LEVELS.indexOf(text.toLowerCase());
  if (level < 0) throw parameterProblem(`log-level "${text}" unknown`);
  return level;
}

function parsePrefix(values: OptionValues, option: string, max: number): string {
  const prefix = values.word(option) ?? "";
  if (prefix.length > max) {
    throw parameterProblem(`Maximum prefix length ${max} for --${option}`);
  }
  if (prefix.includes("\n")) throw parameterProblem(`Newlines not allowed in --${option}`);
  return prefix;
}

/** In the order in which iptables-save prints them. */
const LOG_FLAGS: readonly OptionSpec[] = [
  "log-tcp-sequence",
  "log-tcp-options",
  "log-ip-options",
  "log-uid",
  "log-macdecode",
].map((name) => ({ name, args: 0 }));

export const log: TargetExtension = {
  name: "LOG",
  options: [{ name: "log-level", args: 1 }, { name: "log-prefix", args: 1 }, ...LOG_FLAGS],
  parse(values) {
    const prefix = parsePrefix(values, "log-prefix", LOG_PREFIX_MAX);
    const level = values.parsed("log-level", parseLevel) ?? WARNING;
    let options = prefix === "" ? "" : ` --log-prefix ${quoteWord(prefix)}`;
    if (level !== WARNING) options += ` --log-level ${level}`;
    for (const { name } of LOG_FLAGS) if (values.has(name)) options += ` --${name}`;
    return new LogTarget("LOG", options, prefix);
  },
};

export const nflog: TargetExtension = {
  name: "NFLOG",
  options: [
    { name: "nflog-prefix", args: 1 },
    { name: "nflog-group", args: 1 },
    // Taken for the sake of old rules, and without effect (libxt_NFLOG.c).
    { name: "nflog-range", args: 1 },
    { name: "nflog-size", args: 1 },
    { name: "nflog-threshold", args: 1 },
  ],
  parse(values) {
    const prefix = parsePrefix(values, "nflog-prefix", NFLOG_PREFIX_MAX);
    const number = (option: string, max: number) =>
      values.parsed(option, (word) => parseUint(word, max)) ?? 0;
    const group = number("nflog-group", 0xffff);
    const size = number("nflog-size", 0xffffffff);
    const threshold = number("nflog-threshold", 0xffff);
    number("nflog-range", 0xffffffff);
    let options = prefix === "" ? "" : ` --nflog-prefix ${quoteWord(prefix)}`;
    if (group > 0) options += ` --nflog-group ${group}`;
    if (size > 0) options += ` --nflog-size ${size}`;
    if (threshold > 1) options += ` --nflog-threshold ${threshold}`;
    return new LogTarget("NFLOG", options, prefix);
  },
};

/** Makes the kernel tell of every rule the packet meets from here on; a trace does so anyway. */
export const trace: TargetExtension = {
  name: "TRACE",
  options: [],
  parse: () => new TraceTarget(),
};

class TraceTarget implements Target {
  readonly text = "-j TRACE";

  run(_walk: Walk): TargetVerdict {
    return XT_CONTINUE;
  }

  effect(): string {
    return "TRACE";
  }

  check(place: RulePlace): void {
    demandTable(place, "raw");
  }
}
