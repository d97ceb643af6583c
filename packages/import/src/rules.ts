import type { FibRule, FibRuleAction, NetNamespace } from "@cnilab/linux";
import { type IpFamily, Prefix } from "@cnilab/net";
import type { Fields } from "./fields.ts";
import { IP_PROTOCOLS, ROUTE_TYPES, TABLES } from "./kernel-names.ts";
import type { SavedNamespace } from "./saved-namespace.ts";
import type { Unmodelled } from "./unmodelled.ts";

/** Conditions of rules that the model does not have: such a rule is left out. */
const UNMODELLED = [
  "uid_start",
  "uid_end",
  "uidrange",
  "l3mdev",
  "tun_id",
  "suppress_ifgroup",
  "realms",
  "nat",
];

export function rulesFile(family: IpFamily): string {
  return `rules${family}.json`;
}

/** Puts the saved rules in place of those that a namespace starts with. @throws InputError */
export function addRules(
  netns: NetNamespace,
  saved: SavedNamespace,
  family: IpFamily,
  unmodelled: Unmodelled,
): void {
  if (!saved.files.has(rulesFile(family))) return;
  const rules: FibRule[] = [];
  for (const fields of saved.files.objects(rulesFile(family))) {
    const unknown = UNMODELLED.find((name) => fields.has(name));
    if (unknown === undefined) rules.push(readRule(fields, family));
    else {
      const which = String(fields.number("priority"));
      unmodelled.note(saved.node, `IPv${family} rules with ${unknown}, left out`, which);
    }
  }
  const fib = netns.fib(family);
  if (JSON.stringify(rules) === JSON.stringify(fib.rules)) return;
  while (fib.rules.length > 0) fib.deleteRule(() => true);
  const seen = new Set<string>();
  for (const rule of rules) {
    // The second of two that are equal is never asked.
    const text = JSON.stringify(rule);
    if (!seen.has(text)) fib.addRule(rule);
    seen.add(text);
  }
  netns.network.touch();
}

function readRule(fields: Fields, family: IpFamily): FibRule {
  const from = readPrefix(fields, "src", family);
  const to = readPrefix(fields, "dst", family);
  const iif = fields.stringOr("iif", undefined);
  const oif = fields.stringOr("oif", undefined);
  const value = fields.numberOr("fwmark", undefined);
  const tos = fields.numberOr("tos", 0);
  const ipProtocol = fields.named("ipproto", IP_PROTOCOLS);
  const sport = readPorts(fields, "sport");
  const dport = readPorts(fields, "dport");
  const suppress = fields.numberOr("suppress_prefixlen", undefined);
  return {
    priority: fields.numberOr("priority", 0),
    ...(fields.has("not") ? { not: true } : {}),
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    ...(iif === undefined ? {} : { iif }),
    ...(oif === undefined ? {} : { oif }),
    ...(value === undefined
      ? {}
      : { fwmark: { value, mask: fields.numberOr("fwmask", 0xffffffff) } }),
    ...(tos === 0 ? {} : { tos }),
    ...(ipProtocol === undefined ? {} : { ipProtocol }),
    ...(sport === undefined ? {} : { sport }),
    ...(dport === undefined ? {} : { dport }),
    ...(suppress === undefined ? {} : { suppressPrefixLength: suppress }),
    action: readAction(fields),
  };
}

function readAction(fields: Fields): FibRuleAction {
  const target = fields.numberOr("goto", undefined);
  if (target !== undefined) return { goto: target };
  if (!fields.has("action")) return { table: fields.named("table", TABLES) ?? 254 };
  const action = fields.stringOrNumber("action");
  if (action === "nop") return { type: "nop" };
  const type = REFUSALS[fields.named("action", ROUTE_TYPES) ?? 0];
  if (type === undefined) throw fields.error("action", `"${action}" is no action of a rule`);
  return { type };
}

const REFUSALS: Readonly<Record<number, "blackhole" | "unreachable" | "prohibit">> = {
  6: "blackhole",
  7: "unreachable",
  8: "prohibit",
};

/** `src` and `srclen`; `undefined` for all addresses. */
function readPrefix(fields: Fields, name: string, family: IpFamily): Prefix | undefined {
  const text = fields.stringOr(name, "all");
  if (text === "all") return undefined;
  const length = fields.numberOr(`${name}len`, family === 4 ? 32 : 128);
  if (length > (family === 4 ? 32 : 128)) throw fields.error(`${name}len`, "is too long");
  return new Prefix(fields.addressOf(name, family), length);
}

function readPorts(fields: Fields, name: string): { first: number; last: number } | undefined {
  const only = fields.numberOr(name, undefined);
  if (only !== undefined) return { first: only, last: only };
  const first = fields.numberOr(`${name}_start`, undefined);
  if (first === undefined) return undefined;
  return { first, last: fields.number(`${name}_end`) };
}
