import type { Choice } from "./choice.ts";
import {
  asksTransport,
  elements,
  familyOf,
  type NftPlace,
  type NftTablePlan,
  nftKey,
  nftMatch,
} from "./nftables-match.ts";
import { addressOf, netOf, type Plan, vip } from "./plan.ts";

/** A table with sets, base chains and rules in one namespace. */
export function nftables(plan: Plan, choice: Choice, ordered = false): void {
  const netns = choice.pick([...plan.routers, ...plan.routers, ...plan.hosts]);
  const family = choice.pick(["ip", "ip6", "inet", "inet"] as const);
  const table: NftTablePlan = { netns, family, name: `t${plan.steps.length}`, sets: [] };
  const add = (text: string): void => plan.add({ do: "nftables", netns, text });
  add(`add table ${family} ${table.name}`);
  choice.some(3, () => addSet(plan, choice, table));
  for (const chain of choice.several(BASE_CHAINS)) {
    const { name, type, hook, priority } = chain;
    const spec = `type ${type} hook ${hook} priority ${priority + choice.between(1, 9)}`;
    // A policy that drops needs rules that let through what shall pass.
    const policy = type === "filter" && choice.chance(6) ? " policy drop;" : "";
    const head = `${family} ${table.name} ${name}`;
    add(`add chain ${head} { ${spec};${policy} }`);
    if (policy !== "") add(`add rule ${head} ct state established,related counter accept`);
    const place = (): NftPlace => ({ netns, table, hook, family: familyOf(choice, table) });
    const jump = choice.chance(25) ? `u${name}` : undefined;
    if (jump !== undefined) {
      add(`add chain ${family} ${table.name} ${jump}`);
      choice.some(2, () => addRule(plan, choice, place(), type, jump, ordered));
    }
    for (let n = choice.between(1, 3); n > 0; n--) {
      addRule(plan, choice, place(), type, name, ordered);
    }
    if (jump !== undefined) {
      const how = choice.pick([`jump ${jump}`, `goto ${jump}`]);
      add(`add rule ${head} ${nftMatch(plan, choice, place(), { ordered })} counter ${how}`);
    }
  }
}

/** Priorities that iptables does not have: which of two equal ones is first depends on who came first. */
const BASE_CHAINS = [
  { name: "pre", type: "filter", hook: "prerouting", priority: -300 },
  { name: "mangle", type: "filter", hook: "prerouting", priority: -150 },
  { name: "nat", type: "nat", hook: "prerouting", priority: -100 },
  { name: "input", type: "filter", hook: "input", priority: 0 },
  { name: "forward", type: "filter", hook: "forward", priority: 0 },
  { name: "output", type: "filter", hook: "output", priority: 0 },
  { name: "outnat", type: "nat", hook: "output", priority: -100 },
  { name: "reroute", type: "route", hook: "output", priority: -150 },
  { name: "post", type: "filter", hook: "postrouting", priority: 50 },
  { name: "postnat", type: "nat", hook: "postrouting", priority: 100 },
] as const;

type ChainType = (typeof BASE_CHAINS)[number]["type"];

function addSet(plan: Plan, choice: Choice, table: NftTablePlan): void {
  const { netns } = table;
  const family = familyOf(choice, table);
  const key = nftKey(choice, family);
  const interval = choice.chance(40);
  const name = `s${table.sets.length + 1}`;
  const head = `${table.family} ${table.name} ${name}`;
  const flags = interval ? " flags interval;" : "";
  const keys = elements(plan, choice, key, interval);
  const add = (text: string): void => plan.add({ do: "nftables", netns, text });
  if (choice.chance(55)) {
    add(`add set ${head} { type ${key.type};${flags} }`);
    add(`add element ${head} { ${keys.join(", ")} }`);
    table.sets.push({ name, key, family, kind: "set" });
    return;
  }
  const verdicts = keys.map(
    (k) => `${k} : ${choice.pick(["accept", "drop", "continue", "return"])}`,
  );
  add(`add map ${head} { type ${key.type} : verdict;${flags} }`);
  add(`add element ${head} { ${verdicts.join(", ")} }`);
  table.sets.push({ name, key, family, kind: "vmap" });
}

function addRule(
  plan: Plan,
  choice: Choice,
  place: NftPlace,
  type: ChainType,
  chain: string,
  ordered: boolean,
): void {
  const { table, netns } = place;
  const head = `add rule ${table.family} ${table.name} ${chain}`;
  plan.add({
    do: "nftables",
    netns,
    text: `${head} ${ruleText(plan, choice, place, type, ordered)}`,
  });
}

function ruleText(
  plan: Plan,
  choice: Choice,
  place: NftPlace,
  type: ChainType,
  ordered: boolean,
): string {
  const { table, family, hook } = place;
  const maps = table.sets.filter((set) => set.kind === "vmap" && set.family === family);
  if (maps.length > 0 && choice.chance(25)) {
    const { name, key } = choice.pick(maps);
    const transport = !asksTransport(key.expression);
    const match = nftMatch(plan, choice, place, { ordered, transport });
    return `${match} counter ${key.expression} vmap @${name}`;
  }
  if (type !== "nat" && choice.chance(12)) {
    const key = nftKey(choice, family);
    const pairs = elements(plan, choice, key, choice.chance(40)).map(
      (k) => `${k} : ${choice.pick(["accept", "drop", "continue"])}`,
    );
    return `counter ${key.expression} vmap { ${pairs.join(", ")} }`;
  }
  if (type === "nat") return natRule(plan, choice, place, ordered);
  const mangles = type === "route" || hook === "prerouting";
  const statement = mangles
    ? mangle(choice, place)
    : hook === "postrouting"
      ? choice.pick(["drop", "accept", "meta mark set 0x1"])
      : choice.pick([
          "drop",
          "drop",
          "accept",
          "return",
          "",
          ...REJECTS.map((r) => r(choice, place)),
        ]);
  const transport = !asksTransport(statement);
  const match = nftMatch(plan, choice, place, { ordered, transport });
  // A rule about TCP alone says so before it counts.
  const [guard, verdict] = statement.startsWith(TCP_ONLY)
    ? [TCP_ONLY, statement.slice(TCP_ONLY.length)]
    : ["", statement];
  return `${match} ${guard}counter ${verdict}`;
}

const TCP_ONLY = "meta l4proto tcp ";

const REJECTS: readonly ((choice: Choice, place: NftPlace) => string)[] = [
  () => "reject",
  () => `${TCP_ONLY}reject with tcp reset`,
  (choice, { family }) =>
    family === 4
      ? `reject with icmp ${choice.pick(["host-unreachable", "net-unreachable", "prot-unreachable", "admin-prohibited", "host-prohibited"])}`
      : `reject with icmpv6 ${choice.pick(["no-route", "admin-prohibited", "addr-unreachable", "policy-fail", "reject-route"])}`,
  (choice, { table }) =>
    table.family === "inet"
      ? `reject with icmpx ${choice.pick(["host-unreachable", "no-route", "admin-prohibited", "port-unreachable"])}`
      : "reject",
];

function mangle(choice: Choice, { family, hook }: NftPlace): string {
  return choice.pick([
    "meta mark set 0x1",
    "meta mark set meta mark | 0x2",
    "meta mark set ct mark",
    "ct mark set 0x1",
    "ct mark set meta mark",
    family === 4 ? "ip ttl set 3" : "ip6 hoplimit set 3",
    family === 4 ? "ip dscp set af11" : "ip6 dscp set af11",
    "accept",
    "drop",
    ...(hook === "prerouting" ? ["notrack"] : []),
  ]);
}

function natRule(plan: Plan, choice: Choice, place: NftPlace, ordered: boolean): string {
  const { table, hook, netns, family } = place;
  const any = nftMatch(plan, choice, place, { ordered });
  const match = nftMatch(plan, choice, place, { ordered, transport: false });
  const word = family === 4 ? "ip" : "ip6";
  // In a table of both families the rule must say which one an address is of.
  const say = table.family === "inet" ? ` ${word}` : "";
  const target = choice.pick(plan.attachments);
  const address = addressOf(family, target);
  const withPort = (port: number): string =>
    family === 4 ? `${address}:${port}` : `[${address}]:${port}`;
  const guard = table.family === "inet" ? `meta nfproto ipv${family} ` : "";
  if (hook === "postrouting") {
    const own = choice.pick(plan.attachmentsOf(netns));
    return choice.pick([
      `${any} counter masquerade`,
      `${any} counter masquerade`,
      `${any} counter masquerade random`,
      `${any} counter masquerade fully-random`,
      `${match} ${TCP_ONLY}counter masquerade to :40000-40100`,
      `${any} ${guard}counter snat${say} to ${addressOf(family, own)}`,
      `${any} ${guard}counter snat${say} prefix to ${netOf(family, own)}`,
      `${any} counter accept`,
    ]);
  }
  const virtual = `${word} daddr ${vip(family)}`;
  return choice.pick([
    `${virtual} counter dnat${say} to ${address}`,
    `${virtual} tcp dport { 80, 8080 } counter dnat${say} to ${withPort(80)}`,
    `${virtual} udp dport 5353 counter dnat${say} to ${withPort(53)}`,
    `${virtual} meta l4proto { tcp, udp } counter dnat${say} to ${word} daddr . th dport map { ${vip(family)} . 80 : ${address} . 80, ${vip(family)} . 8080 : ${address} . 80, ${vip(family)} . 53 : ${address} . 53 }`,
    ...(ordered
      ? []
      : [
          `${virtual} counter dnat${say} to numgen random mod 2 map { 0 : ${address}, 1 : ${addressOf(family, choice.pick(plan.attachments))} }`,
        ]),
    `${match} tcp dport 8080 counter redirect to :80`,
    `${match} udp dport 5353 counter redirect to :53`,
    `${any} ${guard}counter dnat${say} to ${address}`,
    `${any} counter accept`,
  ]);
}
