import type { Choice } from "./choice.ts";
import { addressOf, netOf, type Plan } from "./plan.ts";

/** Where a rule stands, as far as it limits what the rule can say. */
export interface NftPlace {
  readonly netns: string;
  readonly table: NftTablePlan;
  readonly hook: string;
  /** Fields of both families cannot stand in one rule. */
  readonly family: 4 | 6;
}

export interface NftTablePlan {
  readonly netns: string;
  readonly family: "ip" | "ip6" | "inet";
  readonly name: string;
  /** Named sets by what their key is, and maps. */
  readonly sets: NftSetPlan[];
}

export interface NftSetPlan {
  readonly name: string;
  readonly key: NftKey;
  readonly family: 4 | 6;
  readonly kind: "set" | "vmap";
}

/** What a rule looks up: fields of a packet, as sets' types name them, and values that packets have. */
export interface NftKey {
  readonly type: string;
  readonly expression: string;
  /** A value, or where `interval` allows it several. */
  value(plan: Plan, choice: Choice, interval: boolean): string;
}

/** One family that the table sees. */
export const familyOf = (choice: Choice, { family }: NftTablePlan): 4 | 6 =>
  family === "inet" ? choice.family() : family === "ip" ? 4 : 6;

const side = (choice: Choice): string => choice.pick(["saddr", "daddr"]);

export function addressKey(choice: Choice, family: 4 | 6): NftKey {
  return {
    type: family === 4 ? "ipv4_addr" : "ipv6_addr",
    expression: `${family === 4 ? "ip" : "ip6"} ${side(choice)}`,
    value(plan, c, interval) {
      const target = c.pick(plan.attachments);
      if (!interval) return addressOf(family, target);
      if (c.chance(60)) return netOf(family, target);
      return `${addressOf(family, { ...target, host: 1 })}-${addressOf(family, { ...target, host: 5 })}`;
    },
  };
}

const PORT: NftKey = {
  type: "inet_service",
  expression: "th dport",
  value: (_plan, choice, interval) =>
    choice.pick(interval ? ["80", "53", "50-79", "8000-9000"] : ["80", "53", "81", "5353", "8080"]),
};

const PROTOCOL: NftKey = {
  type: "inet_proto",
  expression: "meta l4proto",
  value: (_plan, choice) => choice.pick(["tcp", "udp", "icmp", "ipv6-icmp"]),
};

const DEVICE: NftKey = {
  type: "ifname",
  expression: "iifname",
  value: (plan, choice) => `"${choice.pick(plan.attachments).dev}"`,
};

const MARK: NftKey = {
  type: "mark",
  expression: "meta mark",
  value: (_plan, choice) => choice.pick(["0x1", "0x2", "0x3", "0x0"]),
};

/** A key of one field, or of several. */
export function nftKey(choice: Choice, family: 4 | 6): NftKey {
  const address = (): NftKey => addressKey(choice, family);
  return concatenation(
    choice.pick<() => NftKey[]>([
      () => [address()],
      () => [address()],
      () => [PORT],
      () => [DEVICE],
      () => [MARK],
      () => [PROTOCOL],
      () => [address(), PORT],
      () => [address(), PROTOCOL, PORT],
      () => [address(), address()],
      () => [DEVICE, address()],
      () => [PROTOCOL, PORT],
    ])(),
  );
}

function concatenation(parts: readonly NftKey[]): NftKey {
  return {
    type: parts.map(({ type }) => type).join(" . "),
    expression: parts.map(({ expression }) => expression).join(" . "),
    value: (plan, choice, interval) =>
      parts.map((part) => part.value(plan, choice, interval)).join(" . "),
  };
}

/** Elements that do not overlap, as the kernel refuses those that do. */
export function elements(
  plan: Plan,
  choice: Choice,
  key: NftKey,
  interval: boolean,
): readonly string[] {
  const values = Array.from({ length: choice.between(1, 4) }, () =>
    key.value(plan, choice, interval),
  );
  return interval ? values.slice(0, 1) : [...new Set(values)];
}

export interface NftMatchOptions {
  /** Hand-sent packets come one after the other: what counts packets can be compared. */
  readonly ordered?: boolean;
  /** Whether the match may ask for the transport protocol, which a rule can do once. */
  readonly transport?: boolean;
}

/** What a rule looks at: up to three matches. */
export function nftMatch(
  plan: Plan,
  choice: Choice,
  place: NftPlace,
  { ordered = false, transport = true }: NftMatchOptions = {},
): string {
  const parts: string[] = [];
  const makers = [...PARTS, ...(ordered ? ORDERED_PARTS : RANDOM_PARTS)];
  for (let left = choice.pick([1, 1, 1, 2, 2, 3]); left > 0; left--) {
    const part = choice.pick(makers)(plan, choice, place);
    if (part === undefined) continue;
    if (asksTransport(part) && (!transport || parts.some(asksTransport))) continue;
    parts.push(part);
  }
  return parts.join(" ");
}

export const asksTransport = (text: string): boolean =>
  /\b(tcp|udp|th|icmp|icmpv6|l4proto|ip protocol|nexthdr)\b/.test(text);

type PartMaker = (plan: Plan, choice: Choice, place: NftPlace) => string | undefined;

const not = (choice: Choice): string => (choice.chance(20) ? "!= " : "");

const address: PartMaker = (plan, choice, { family }) => {
  const { expression, value } = addressKey(choice, family);
  const values = (): string => value(plan, choice, choice.chance(50));
  if (choice.chance(70)) return `${expression} ${not(choice)}${values()}`;
  return `${expression} ${not(choice)}{ ${values()} }`;
};

const port: PartMaker = (_plan, choice) => {
  const protocol = choice.pick(["tcp", "tcp", "udp", "th"]);
  // `th` says nothing of the protocol, which the kernel then does not ask either.
  const guard = protocol === "th" ? `meta l4proto { tcp, udp } ` : "";
  const value = choice.pick(["80", "53", "{ 53, 80, 8080 }", "1-100", "> 80", "{ 50-60, 80 }"]);
  const negated = value.startsWith(">") ? "" : not(choice);
  return `${guard}${protocol} ${choice.chance(85) ? "dport" : "sport"} ${negated}${value}`;
};

const tcpFlags: PartMaker = (_plan, choice) =>
  choice.pick([
    "tcp flags syn / fin,syn,rst,ack",
    "tcp flags & (syn | ack) == syn | ack",
    "tcp flags & rst != 0",
    "tcp flags syn",
    "tcp flags != syn / syn,ack",
  ]);

const icmp: PartMaker = (_plan, choice, { family }) =>
  family === 4
    ? `icmp ${choice.pick(["type echo-request", "type echo-reply", "type destination-unreachable", "type { echo-request, echo-reply }", "code port-unreachable", "code 1"])}`
    : `icmpv6 ${choice.pick(["type echo-request", "type echo-reply", "type destination-unreachable", "type packet-too-big", "type { echo-request, echo-reply }", "code 4"])}`;

const ct: PartMaker = (plan, choice, { family }) => {
  const word = family === 4 ? "ip" : "ip6";
  const target = choice.pick(plan.attachments);
  return choice.pick([
    "ct state new",
    "ct state established,related",
    "ct state invalid",
    "ct state { new, established }",
    "ct state vmap { invalid : drop, established : accept }",
    "ct direction original",
    "ct direction reply",
    "ct status dnat",
    "ct status snat",
    "ct status & seen-reply == 0",
    `ct mark ${not(choice)}0x1`,
    `ct original ${word} daddr ${netOf(family, target)}`,
    `ct reply ${word} saddr ${addressOf(family, target)}`,
    "meta l4proto tcp ct original proto-dst 80",
    "ct protocol tcp",
    "ct zone 0",
  ]);
};

const meta: PartMaker = (plan, choice, { netns, table, family }) => {
  const { dev } = choice.pick(plan.attachmentsOf(netns));
  return choice.pick([
    `iifname ${not(choice)}"${dev}"`,
    `oifname ${not(choice)}"${dev}"`,
    `iifname "e*"`,
    `oif "${dev}"`,
    "meta l4proto { tcp, udp }",
    "meta l4proto tcp",
    ...(table.family === "inet" ? [`meta nfproto ipv${family}`] : []),
    `meta mark ${not(choice)}0x1`,
    "meta mark & 0x3 == 0x2",
    "meta pkttype host",
    "meta length < 100",
    "meta length 1300-1500",
    `meta skuid ${choice.pick(["0", "1000"])}`,
  ]);
};

const fib: PartMaker = (_plan, choice, { hook, table }) => {
  const input = hook === "prerouting" || hook === "input" || hook === "forward";
  const type = choice.pick(["local", "local", "unicast", "blackhole", "broadcast"]);
  return choice.pick([
    `fib daddr type ${not(choice)}${type}`,
    `fib daddr type ${type}`,
    `fib saddr type ${type}`,
    ...(input && table.family !== "inet" ? [`fib daddr . iif type ${type}`] : []),
    ...(hook === "prerouting"
      ? [
          "fib saddr . iif oif missing",
          "fib saddr . mark . iif oif missing",
          "fib saddr oif exists",
        ]
      : []),
    // nft_fib_validate: which device a route leads to can be asked before routing alone.
    ...(hook === "prerouting" ? ["fib daddr oif exists"] : []),
  ]);
};

const header: PartMaker = (_plan, choice, { family }) =>
  family === 4
    ? choice.pick([
        "ip ttl 64",
        "ip ttl < 4",
        "ip protocol { tcp, icmp }",
        "ip length > 1000",
        "ip frag-off & 0x3fff != 0",
        "ip dscp af11",
      ])
    : choice.pick([
        "ip6 hoplimit 64",
        "ip6 nexthdr { tcp, udp }",
        "ip6 length < 100",
        "ip6 dscp cs0",
      ]);

const anonymous: PartMaker = (plan, choice, { family }) => {
  const key = nftKey(choice, family);
  const interval = choice.chance(40);
  return `${key.expression} ${not(choice)}{ ${elements(plan, choice, key, interval).join(", ")} }`;
};

const named: PartMaker = (_plan, choice, { table, family }) => {
  const sets = table.sets.filter((set) => set.kind === "set" && set.family === family);
  if (sets.length === 0) return undefined;
  const { name, key } = choice.pick(sets);
  return `${key.expression} ${not(choice)}@${name}`;
};

const PARTS: readonly PartMaker[] = [
  address,
  address,
  port,
  port,
  tcpFlags,
  icmp,
  ct,
  ct,
  ct,
  meta,
  meta,
  fib,
  header,
  anonymous,
  anonymous,
  named,
  named,
];

/** Flows have several outcomes then, of which the kernel shows one. */
const RANDOM_PARTS: readonly PartMaker[] = [
  (_plan, choice) => `numgen random mod ${choice.between(2, 3)} ${choice.below(2)}`,
];

const ORDERED_PARTS: readonly PartMaker[] = [
  (_plan, choice) =>
    `limit rate ${choice.pick(["", "over "])}1/hour burst ${choice.between(1, 4)} packets`,
  (_plan, choice) => `quota ${choice.pick(["", "over "])}${choice.pick([100, 300, 2000])} bytes`,
  (_plan, choice) => {
    const modulus = choice.between(2, 4);
    return `numgen inc mod ${modulus} ${choice.below(modulus)}`;
  },
  (_plan, choice) => `numgen inc mod 3 < ${choice.between(1, 2)}`,
];
