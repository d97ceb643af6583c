import type { PluginArguments } from "../corefile/directive-cursor.ts";
import { GoPattern } from "../corefile/go-pattern.ts";
import {
  type DnsMessage,
  type Question,
  type Rcode,
  type ResourceRecord,
  replyTo,
} from "../message/message.ts";
import { fqdn, isDomainName, normalizeName } from "../message/name.ts";
import { targetOf, withTarget } from "../message/record-data.ts";
import { RCODES, typeNumber } from "../message/record-types.ts";
import type { PluginSetup } from "../server/plugin.ts";
import {
  clientWritten,
  type DnsRequest,
  type Handler,
  type Respond,
  withQuestion,
} from "../server/request.ts";

/** What a rule does to the answer, record by record. */
interface ResponseRule {
  record?(record: ResourceRecord): ResourceRecord;
  rcode?(rcode: Rcode): Rcode;
}

interface Rule {
  /** Whether the rules after it are left out where it applies. */
  readonly stop: boolean;
  /** The new question and what becomes of the answer; undefined where the rule does not apply. */
  apply(question: Question, name: string): Rewritten | undefined;
}

interface Rewritten {
  readonly question: Question;
  readonly response: readonly ResponseRule[];
}

const MATCHES = ["exact", "prefix", "suffix", "substring", "regex"] as const;
type Match = (typeof MATCHES)[number];

/** CoreDNS `plugin/rewrite`: name, type, class, ttl and rcode rules. */
export const setupRewrite: PluginSetup = (uses) => {
  const rules = uses.map(parseRule);
  return (next) => new Rewrite(next, rules);
};

function parseRule(use: PluginArguments): Rule {
  // The words may stand on lines of their own between braces.
  const inBraces = use.properties.flatMap(({ name, args }) => [
    name.text,
    ...args.map(({ text }) => text),
  ]);
  const words = use.args.length < 2 ? [...use.words, ...inBraces] : use.words;
  const [first = ""] = words;
  const mode = first.toLowerCase();
  const stop = mode !== "continue";
  const [type = "", ...args] = mode === "continue" || mode === "stop" ? words.slice(1) : words;
  switch (type.toLowerCase()) {
    case "name":
      return nameRule(use, stop, args);
    case "type":
      return typeRule(use, stop, args);
    case "class":
      if (args.length !== 2) throw use.error("class rules must have exactly two arguments");
      return classRule(stop, args as [string, string]);
    case "ttl":
      return ttlRule(use, stop, args);
    case "rcode":
      return rcodeRule(use, stop, args);
    case "":
      throw use.error("no rule type specified for rewrite");
    case "answer":
      throw use.error("response rewrites must begin with a name rule");
    case "edns0":
    case "cname":
      throw use.error(`${type} rules are not modelled; known: name, type, class, ttl, rcode`);
    default:
      throw use.error(`invalid rule type "${type}"; known: name, type, class, ttl, rcode`);
  }
}

function matchOf(use: PluginArguments, text: string): Match {
  const match = MATCHES.find((each) => each === text.toLowerCase());
  if (match !== undefined) return match;
  throw use.error(
    `it knows only exact, prefix, suffix, substring, and regex name matching, not: ${text}`,
  );
}

function regexp(use: PluginArguments, text: string, replacement = ""): GoPattern {
  const pattern = GoPattern.compile(text);
  if (pattern === undefined) throw use.error(`invalid regex matching pattern: ${text}`);
  const used = new Set(replacement.match(/\{[0-9]+\}/g) ?? []);
  if (used.size > pattern.groupCount) {
    throw use.error(
      `the rewrite regex pattern (${replacement}) uses more subexpressions than its corresponding matching regex pattern (${text})`,
    );
  }
  return pattern;
}

/** `{1}` and the like in `replacement` stand for what the pattern's groups have. */
function replaced(pattern: GoPattern, replacement: string, text: string): string | undefined {
  const match = pattern.exec(text);
  return match?.groups.reduce((out, group, i) => out.replaceAll(`{${i}}`, group), replacement);
}

function nameRule(use: PluginArguments, stop: boolean, args: readonly string[]): Rule {
  if (args.length < 2) throw use.error("too few arguments for a name rule");
  const [kind, from, to, ...answers] =
    args.length === 2 ? ["exact", ...args] : (args as readonly [string, string, string]);
  const match = matchOf(use, kind as string);
  const { auto, rules } = answerRules(use, match, answers);
  const source = match === "regex" ? (from as string) : normalizeName(from as string);
  const target = normalizeName(to as string);
  const pattern = match === "regex" ? regexp(use, source, to as string) : undefined;
  const rename = (name: string): string | undefined => {
    switch (match) {
      case "exact":
        return name === source ? target : undefined;
      // A prefix has no dot at its end on purpose; CoreDNS puts one there all the same.
      case "prefix":
        return name.startsWith(source) ? target + name.slice(source.length) : undefined;
      case "suffix":
        return name.endsWith(source)
          ? name.slice(0, name.length - source.length) + target
          : undefined;
      case "substring":
        return name.includes(source) ? name.replaceAll(source, target) : undefined;
      default:
        return replaced(pattern as GoPattern, target, name);
    }
  };
  return {
    stop,
    apply: (question, name) => {
      const renamed = rename(name);
      if (renamed === undefined) return undefined;
      const back =
        match === "exact" || auto ? renameBack(match, renamed, name, source, target) : [];
      return { question: { ...question, name: renamed }, response: [...back, ...rules] };
    },
  };
}

/** The rules that give an answer's records the name that was asked. */
function renameBack(
  match: Match,
  from: string,
  to: string,
  source: string,
  target: string,
): ResponseRule[] {
  if (match !== "suffix") return renaming((name) => remapped(name, from, to));
  return renaming((name) =>
    name.endsWith(target) ? name.slice(0, name.length - target.length) + source : name,
  );
}

function remapped(name: string, from: string, to: string): string {
  if (name === from) return to;
  return name.endsWith(`.${from}`) ? name.slice(0, name.length - from.length) + to : name;
}

function renaming(rename: (name: string) => string): ResponseRule[] {
  return [{ record: renamingOwners(rename) }, { record: renamingTargets(rename) }];
}

function renamingOwners(
  rename: (name: string) => string,
): (record: ResourceRecord) => ResourceRecord {
  return (record) => ({ ...record, name: rename(record.name) });
}

function renamingTargets(
  rename: (name: string) => string,
): (record: ResourceRecord) => ResourceRecord {
  return (record) => {
    const target = targetOf(record.type, record.data);
    if (target === undefined || target === "") return record;
    const renamed = rename(target);
    return renamed === target
      ? record
      : { ...record, data: withTarget(record.type, record.data, renamed) };
  };
}

function answerRules(
  use: PluginArguments,
  match: Match,
  args: readonly string[],
): { readonly auto: boolean; readonly rules: readonly ResponseRule[] } {
  let auto = false;
  let names = 0;
  const rules: ResponseRule[] = [];
  if (args.length === 1) throw use.error(`invalid arguments for ${match} rule`);
  for (let at = 0; at < args.length; ) {
    if (at === 0 && args[0] !== "answer") {
      throw use.error(
        `exceeded the number of arguments for a non-answer rule argument for ${match} rule`,
      );
    }
    if (args[at] === "answer") at++;
    const kind = args[at++];
    if (kind === "auto") {
      auto = true;
      continue;
    }
    if (kind !== "name" && kind !== "value") {
      throw use.error(`invalid type "${kind ?? ""}" for answer rule for ${match} rule`);
    }
    const [from, to] = args.slice(at, at + 2);
    if (from === undefined || to === undefined) {
      throw use.error(`${kind} answer rule for ${match} rule: 2 arguments required`);
    }
    const pattern = regexp(use, from, to);
    const target = normalizeName(to);
    const rename = (name: string): string => replaced(pattern, target, name) ?? name;
    rules.push({ record: kind === "name" ? renamingOwners(rename) : renamingTargets(rename) });
    if (kind === "name") names++;
    at += 2;
  }
  if (auto && names > 0) {
    throw use.error("auto name answer rule cannot be combined with explicit name answer rules");
  }
  return { auto, rules };
}

function typeRule(use: PluginArguments, stop: boolean, args: readonly string[]): Rule {
  if (args.length !== 2) throw use.error("type rules must have exactly two arguments");
  for (const type of args) {
    if (typeNumber(type) === undefined) throw use.error(`invalid type "${type.toUpperCase()}"`);
  }
  const [from, to] = args.map((type) => type.toUpperCase()) as [string, string];
  return {
    stop,
    apply: (question) =>
      question.type === from ? { question: { ...question, type: to }, response: [] } : undefined,
  };
}

function classRule(stop: boolean, [from, to]: readonly [string, string]): Rule {
  return {
    stop,
    apply: (question) =>
      (question.class ?? "IN") === from.toUpperCase()
        ? { question: { ...question, class: to.toUpperCase() }, response: [] }
        : undefined,
  };
}

/** `[MATCH] NAME` of ttl and rcode rules. */
function nameTest(use: PluginArguments, args: readonly string[]): (name: string) => boolean {
  const [kind, text] = args.length === 1 ? ["exact", ...args] : args;
  const match = matchOf(use, kind as string);
  if (match === "regex") {
    const pattern = regexp(use, text as string);
    return (name) => pattern.test(name);
  }
  const wanted = normalizeName(text as string);
  return (name) => {
    if (match === "exact") return name === wanted;
    if (match === "prefix") return name.startsWith(wanted);
    return match === "suffix" ? name.endsWith(wanted) : name.includes(wanted);
  };
}

function ttlRule(use: PluginArguments, stop: boolean, args: readonly string[]): Rule {
  if (args.length < 2 || args.length > 3) throw use.error("ttl rules have two or three arguments");
  const text = args.at(-1) as string;
  const range = /^([0-9]*)(-?)([0-9]*)$/.exec(text);
  const [, low = "", dash = "", high = ""] = range ?? [];
  const least = low === "" ? 0 : Number(low);
  const most = dash === "" ? least : high === "" ? 2_147_483_647 : Number(high);
  const valid =
    range !== null && (low !== "" || high !== "") && least <= most && most <= 0xffffffff;
  if (!valid) throw use.error(`invalid TTL '${text}' for a ttl rule`);
  const test = nameTest(use, args.slice(0, -1));
  const bounded = (record: ResourceRecord): ResourceRecord => ({
    ...record,
    ttl: Math.min(Math.max(record.ttl, least), most),
  });
  return {
    stop,
    apply: (question, name) =>
      test(name) ? { question, response: [{ record: bounded }] } : undefined,
  };
}

function rcodeRule(use: PluginArguments, stop: boolean, args: readonly string[]): Rule {
  if (args.length < 3 || args.length > 4)
    throw use.error("rcode rules have three or four arguments");
  const [old, replacement] = args.slice(-2).map((text) => {
    const named = RCODES.find((each) => each === text.toUpperCase());
    const numbered = /^[0-9]+$/.test(text) ? RCODES[Number(text)] : undefined;
    const rcode = named ?? numbered;
    if (rcode === undefined) throw use.error(`invalid RCODE '${text}' for a rcode rule`);
    return rcode;
  }) as [Rcode, Rcode];
  const test = nameTest(use, args.slice(0, -2));
  const rcode = (found: Rcode): Rcode => (found === old ? replacement : found);
  return {
    stop,
    apply: (question, name) => (test(name) ? { question, response: [{ rcode }] } : undefined),
  };
}

class Rewrite implements Handler {
  readonly #next: Handler;
  readonly #rules: readonly Rule[];

  constructor(next: Handler, rules: readonly Rule[]) {
    this.#next = next;
    this.#rules = rules;
  }

  serve(request: DnsRequest, respond: Respond): void {
    let { question } = request;
    const response: ResponseRule[] = [];
    for (const rule of this.#rules) {
      const rewritten = rule.apply(question, question.name.toLowerCase());
      if (rewritten === undefined) continue;
      if (!isDomainName(rewritten.question.name)) {
        respond({
          rcode: "SERVFAIL",
          error: `invalid name after rewrite: ${rewritten.question.name}`,
        });
        return;
      }
      question = { ...rewritten.question, name: fqdn(rewritten.question.name) };
      response.push(...rewritten.response);
      if (rule.stop) break;
    }
    if (question === request.question && response.length === 0) {
      this.#next.serve(request, respond);
      return;
    }
    // The last rule that changed the question is the first to be undone.
    response.reverse();
    this.#next.serve(withQuestion(request, question), (reply) => {
      const written =
        reply.message ??
        (clientWritten(reply.rcode) ? undefined : replyTo(request.message, reply.rcode));
      if (written === undefined) return respond(reply);
      const { error } = reply;
      const message = restored(written, request, response);
      respond({ message, rcode: "NOERROR", ...(error === undefined ? {} : { error }) });
    });
  }
}

function restored(
  message: DnsMessage,
  request: DnsRequest,
  rules: readonly ResponseRule[],
): DnsMessage {
  const each = (records: readonly ResourceRecord[]): readonly ResourceRecord[] =>
    records.map((record) => rules.reduce((out, rule) => rule.record?.(out) ?? out, record));
  return {
    ...message,
    rcode: rules.reduce((out, rule) => rule.rcode?.(out) ?? out, message.rcode),
    question: [request.question, ...message.question.slice(1)],
    answer: each(message.answer),
    authority: each(message.authority),
    additional: each(message.additional),
  };
}
