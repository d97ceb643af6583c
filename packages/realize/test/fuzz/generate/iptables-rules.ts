import type { Choice } from "./choice.ts";
import { iptablesMatch, type MatchOptions, type RulePlace } from "./iptables-match.ts";
import { addressOf, netOf, type Plan, vip } from "./plan.ts";

/** A rule of iptables with any match and target that its table and chain take. */
export function iptablesRule(plan: Plan, choice: Choice, options: MatchOptions = {}): void {
  const netns = choice.pick([...plan.routers, ...plan.routers, ...plan.hosts]);
  const family = choice.family();
  if (choice.chance(20)) userChain(plan, choice, netns, family, options);
  else single(plan, choice, { netns, family, ...choice.pick(PLACES) }, options);
}

/** Filtering and NAT weigh most, as they do in life. */
const PLACES = [
  { table: "filter", chain: "FORWARD" },
  { table: "filter", chain: "FORWARD" },
  { table: "filter", chain: "FORWARD" },
  { table: "filter", chain: "INPUT" },
  { table: "filter", chain: "INPUT" },
  { table: "filter", chain: "OUTPUT" },
  { table: "nat", chain: "PREROUTING" },
  { table: "nat", chain: "PREROUTING" },
  { table: "nat", chain: "OUTPUT" },
  { table: "nat", chain: "POSTROUTING" },
  { table: "nat", chain: "POSTROUTING" },
  { table: "nat", chain: "INPUT" },
  { table: "mangle", chain: "PREROUTING" },
  { table: "mangle", chain: "FORWARD" },
  { table: "mangle", chain: "OUTPUT" },
  { table: "mangle", chain: "POSTROUTING" },
  { table: "mangle", chain: "INPUT" },
  { table: "raw", chain: "PREROUTING" },
  { table: "raw", chain: "OUTPUT" },
] as const;

function single(plan: Plan, choice: Choice, place: RulePlace, options: MatchOptions): void {
  rule(plan, choice, place, target(plan, choice, place), options);
}

/** A rule whose match has what the target needs. */
function rule(
  plan: Plan,
  choice: Choice,
  place: RulePlace,
  { protocol, text }: Target,
  options: MatchOptions,
  chain: string = place.chain,
): void {
  const matched = iptablesMatch(plan, choice, place, {
    ...options,
    ...(protocol === undefined ? {} : { protocol }),
    hasDestination: text.startsWith("-d"),
  });
  plan.add({ do: "iptables", ...place, chain, rule: `${matched} ${text}`.trim() });
}

/** A chain of one's own with two rules or three, and a rule that leads there. */
function userChain(
  plan: Plan,
  choice: Choice,
  netns: string,
  family: 4 | 6,
  options: MatchOptions,
): void {
  const place = { netns, family, ...choice.pick(PLACES) };
  const name = `USER-${place.chain}-${choice.below(3)}`;
  for (let n = choice.between(1, 3); n > 0; n--) {
    const what = choice.chance(25) ? { text: "-j RETURN" } : target(plan, choice, place);
    rule(plan, choice, place, what, options, name);
  }
  rule(plan, choice, place, { text: `${choice.pick(["-j", "-j", "-g"])} ${name}` }, options);
}

interface Target {
  /** Without which the target is refused. */
  readonly protocol?: "tcp" | "udp";
  readonly text: string;
}

function target(plan: Plan, choice: Choice, place: RulePlace): Target {
  switch (place.table) {
    case "filter":
      return filterTarget(choice, place.family);
    case "nat":
      return natTarget(plan, choice, place);
    case "raw":
      return rawTarget(choice);
    default:
      return mangleTarget(choice, place);
  }
}

function filterTarget(choice: Choice, family: 4 | 6): Target {
  switch (choice.below(8)) {
    case 0:
    case 1:
      return { text: "-j DROP" };
    case 2:
      return { text: "-j ACCEPT" };
    case 3:
      return { protocol: "tcp", text: "-j REJECT --reject-with tcp-reset" };
    case 4:
      return { text: choice.pick(["-j RETURN", "-j CONNMARK --set-mark 0x1", ""]) };
    default:
      return { text: `-j REJECT${choice.pick(REJECT_WITH[family])}` };
  }
}

const REJECT_WITH = {
  4: [
    "",
    "",
    " --reject-with icmp-host-prohibited",
    " --reject-with icmp-net-unreachable",
    " --reject-with icmp-host-unreachable",
    " --reject-with icmp-proto-unreachable",
    " --reject-with icmp-net-prohibited",
    " --reject-with icmp-admin-prohibited",
  ],
  6: [
    "",
    "",
    " --reject-with icmp6-adm-prohibited",
    " --reject-with icmp6-no-route",
    " --reject-with icmp6-addr-unreachable",
    " --reject-with icmp6-policy-fail",
    " --reject-with icmp6-reject-route",
  ],
} as const;

function natTarget(plan: Plan, choice: Choice, { netns, family, chain }: RulePlace): Target {
  const target = choice.pick(plan.attachments);
  const own = choice.pick(plan.attachmentsOf(netns));
  if (chain === "POSTROUTING" || chain === "INPUT") {
    const source = choice.chance(70)
      ? addressOf(family, own)
      : addressOf(family, { ...own, host: 61 });
    const snat: Target[] = [
      { text: `-j SNAT --to-source ${source}` },
      { text: `-j NETMAP --to ${netOf(family, own)}` },
      { protocol: "udp", text: `-j SNAT --to-source ${withPort(family, source, "30000-30100")}` },
    ];
    if (chain === "INPUT") return snat[0] as Target;
    return choice.pick([
      ...snat,
      { text: "-j MASQUERADE" },
      { text: "-j MASQUERADE" },
      { text: "-j MASQUERADE --random-fully" },
      { protocol: "tcp", text: "-j MASQUERADE --to-ports 40000-40100" },
    ]);
  }
  const address = addressOf(family, target);
  return choice.pick([
    { text: `-d ${vip(family)} -j DNAT --to-destination ${address}` },
    {
      protocol: "tcp",
      text: `-d ${vip(family)} -j DNAT --to-destination ${withPort(family, address, "80")}`,
    },
    {
      protocol: "udp",
      text: `-d ${vip(family)} -j DNAT --to-destination ${withPort(family, address, "53")}`,
    },
    { text: `-j DNAT --to-destination ${address}` },
    { protocol: "tcp", text: "-j REDIRECT --to-ports 80" },
    { protocol: "udp", text: "-j REDIRECT --to-ports 53" },
    {
      text: `-d ${family === 4 ? "10.96.0.0/24" : "fd00:96::/64"} -j NETMAP --to ${netOf(family, target)}`,
    },
    { text: "-j ACCEPT" },
  ]);
}

const withPort = (family: 4 | 6, address: string, port: string): string =>
  family === 4 ? `${address}:${port}` : `[${address}]:${port}`;

function rawTarget(choice: Choice): Target {
  return {
    text: choice.pick([
      "-j CT --notrack",
      "-j CT --notrack",
      "-j CT --zone 5",
      "-j DROP",
      "-j ACCEPT",
    ]),
  };
}

function mangleTarget(choice: Choice, { family, chain }: RulePlace): Target {
  const hopLimit = family === 4 ? ["TTL", "ttl"] : ["HL", "hl"];
  return choice.pick<Target>([
    { text: "-j MARK --set-xmark 0x1/0x1" },
    { text: "-j MARK --set-xmark 0x2/0x3" },
    { text: "-j MARK --xor-mark 0x3" },
    { text: "-j CONNMARK --set-xmark 0x1/0x1" },
    { text: "-j CONNMARK --save-mark" },
    { text: "-j CONNMARK --restore-mark" },
    { text: `-j ${hopLimit[0]} --${hopLimit[1]}-set ${choice.pick([1, 2, 30, 200])}` },
    { text: `-j ${hopLimit[0]} --${hopLimit[1]}-dec 1` },
    { text: "-j TOS --set-tos 0x10/0x10" },
    { text: "-j DSCP --set-dscp 0x0a" },
    ...(chain === "FORWARD" || chain === "POSTROUTING" || chain === "OUTPUT"
      ? [{ text: "-j DROP" }]
      : [{ text: "-j ACCEPT" }]),
    ...(chain === "PREROUTING" || chain === "INPUT" ? [] : [clamp(choice)]),
  ]);
}

/** TCPMSS demands that the rule looks at SYN alone. */
function clamp(choice: Choice): Target {
  const how = choice.pick(["--clamp-mss-to-pmtu", "--set-mss 1200"]);
  return { protocol: "tcp", text: `-m tcp --tcp-flags SYN,RST SYN -j TCPMSS ${how}` };
}
