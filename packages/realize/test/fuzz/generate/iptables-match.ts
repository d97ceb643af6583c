import type { Choice } from "./choice.ts";
import { addressOf, netOf, type Plan } from "./plan.ts";

type Protocol = "tcp" | "udp" | "icmp";

/** A part of what a rule looks at. Parts of different protocols cannot stand in one rule. */
interface Part {
  readonly protocol?: Protocol;
  readonly text: string;
}

/** Where a rule stands, as far as it limits what the rule can say. */
export interface RulePlace {
  readonly netns: string;
  readonly family: 4 | 6;
  readonly table: string;
  readonly chain: string;
}

export interface MatchOptions {
  /** Hand-sent packets come one after the other: what counts or remembers packets can be compared. */
  readonly ordered?: boolean;
  /** The protocol that the target needs. */
  readonly protocol?: Protocol;
  /** The target comes with a destination of its own. */
  readonly hasDestination?: boolean;
}

/** What a rule looks at: one to three matches. */
export function iptablesMatch(
  plan: Plan,
  choice: Choice,
  place: RulePlace,
  { ordered = false, protocol, hasDestination = false }: MatchOptions = {},
): string {
  let chosen = protocol;
  const parts: Part[] = [];
  const makers = [...PARTS, ...(ordered ? ORDERED_PARTS : RANDOM_PARTS)];
  for (let left = choice.pick([1, 1, 2, 3]); left > 0; left--) {
    const part = choice.pick(makers)(plan, choice, place);
    if (part === undefined || (hasDestination && /^(! )?-d/.test(part.text))) continue;
    if (chosen !== undefined && part.protocol !== undefined && part.protocol !== chosen) continue;
    if (parts.some(({ text }) => firstWords(text) === firstWords(part.text))) continue;
    chosen ??= part.protocol;
    parts.push(part);
  }
  const basic = parts.filter(({ text }) => !text.startsWith("-m"));
  const extended = parts.filter(({ text }) => text.startsWith("-m"));
  const protocolWord = chosen === undefined ? [] : [`-p ${protocolName(chosen, place.family)}`];
  return [
    ...basic.map(({ text }) => text),
    ...protocolWord,
    ...extended.map(({ text }) => text),
  ].join(" ");
}

/** An option can be said once, a match as often as one likes; twice the same would tell nothing new. */
function firstWords(text: string): string {
  return text
    .replace(/^! /, "")
    .split(" ", text.startsWith("-m") ? 2 : 1)
    .join(" ");
}

function protocolName(protocol: Protocol, family: 4 | 6): string {
  return protocol === "icmp" && family === 6 ? "ipv6-icmp" : protocol;
}

type PartMaker = (plan: Plan, choice: Choice, place: RulePlace) => Part | undefined;

const not = (choice: Choice): string => (choice.chance(15) ? "! " : "");
const PORTS = { tcp: [80, 80, 8080, 81], udp: [53, 53, 5353, 54] } as const;
/** Chains of packets that have an input device, and an output device. */
const WITH_INPUT = ["PREROUTING", "INPUT", "FORWARD"];
const WITH_OUTPUT = ["OUTPUT", "FORWARD", "POSTROUTING"];

const address: PartMaker = (plan, choice, { family }) => {
  const target = choice.pick(plan.attachments);
  const value = choice.chance(60) ? netOf(family, target) : addressOf(family, target);
  return { text: `${not(choice)}${choice.pick(["-s", "-d"])} ${value}` };
};

const device: PartMaker = (plan, choice, { netns, chain }) => {
  const options = [
    ...(WITH_INPUT.includes(chain) ? ["-i"] : []),
    ...(WITH_OUTPUT.includes(chain) ? ["-o"] : []),
  ];
  if (options.length === 0) return undefined;
  const { dev } = choice.pick(plan.attachmentsOf(netns));
  return { text: `${not(choice)}${choice.pick(options)} ${choice.chance(25) ? "e+" : dev}` };
};

const ports: PartMaker = (_plan, choice) => {
  const protocol = choice.pick(["tcp", "tcp", "udp"] as const);
  const port = choice.pick(PORTS[protocol]);
  const said = choice.pick([`--dport ${port}`, `--dport ${port}`, "--sport 20000:20005"]);
  return { protocol, text: `-m ${protocol} ${not(choice)}${said}` };
};

const multiport: PartMaker = (_plan, choice) => {
  const protocol = choice.pick(["tcp", "udp"] as const);
  const said = choice.pick([
    "--dports 53,80,8080",
    "--dports 50:81",
    "--sports 20000:20003,20006",
    "--ports 80,53,20001",
  ]);
  return { protocol, text: `-m multiport ${not(choice)}${said}` };
};

const tcpFlags: PartMaker = (_plan, choice) => {
  const said = choice.pick([
    "--tcp-flags FIN,SYN,RST,ACK SYN",
    "--tcp-flags SYN,ACK SYN,ACK",
    "--tcp-flags RST RST",
    "--tcp-flags PSH,ACK PSH,ACK",
  ]);
  return { protocol: "tcp", text: `-m tcp ${not(choice)}${said}` };
};

const icmp: PartMaker = (_plan, choice, { family }) => {
  if (family === 4) {
    const type = choice.pick(["8", "8", "0", "3", "3/1", "3/3", "3/4", "11"]);
    return { protocol: "icmp", text: `-m icmp ${not(choice)}--icmp-type ${type}` };
  }
  // Not what neighbour discovery lives on.
  const type = choice.pick(["128", "128", "129", "1", "1/4", "2", "3"]);
  return { protocol: "icmp", text: `-m icmp6 --icmpv6-type ${type}` };
};

const protocolOnly: PartMaker = (_plan, choice, { family }) => {
  const protocol = choice.pick(["tcp", "udp", "icmp"] as const);
  return {
    protocol,
    text: family === 6 && protocol === "icmp" ? "-m icmp6 --icmpv6-type 128" : "",
  };
};

const conntrack: PartMaker = (plan, choice, { family, table }) => {
  if (table === "raw") return undefined;
  const target = choice.pick(plan.attachments);
  const said = choice.pick([
    "--ctstate NEW",
    "--ctstate RELATED,ESTABLISHED",
    "--ctstate ESTABLISHED",
    "--ctstate RELATED",
    "--ctstate INVALID",
    "--ctstate DNAT",
    "--ctstate SNAT",
    "--ctstate UNTRACKED",
    "--ctstatus SEEN_REPLY",
    "--ctstatus CONFIRMED",
    "--ctdir ORIGINAL",
    "--ctdir REPLY",
    `--ctorigdst ${netOf(family, target)}`,
    `--ctreplsrc ${addressOf(family, target)}`,
    "--ctproto 17",
    "--ctorigdstport 80",
  ]);
  const plain = said.startsWith("--ctdir");
  return { text: `-m conntrack ${plain ? "" : not(choice)}${said}` };
};

const addrtype: PartMaker = (_plan, choice, { family, chain }) => {
  const side = choice.pick(["--dst-type", "--dst-type", "--src-type"]);
  const type = choice.pick([
    "LOCAL",
    "LOCAL",
    "UNICAST",
    "UNREACHABLE",
    ...(family === 4 ? ["BLACKHOLE", "PROHIBIT", "BROADCAST"] : []),
  ]);
  const limit = chain === "PREROUTING" || chain === "INPUT" ? ["", " --limit-iface-in"] : [""];
  return { text: `-m addrtype ${not(choice)}${side} ${type}${choice.pick(limit)}` };
};

const mark: PartMaker = (_plan, choice) => ({
  text: `-m ${choice.pick(["mark", "mark", "connmark"])} ${not(choice)}--mark ${choice.pick(["0x1/0x1", "0x2/0x3", "0x0/0x3", "0x3"])}`,
});

const iprange: PartMaker = (plan, choice, { family }) => {
  const target = choice.pick(plan.attachments);
  const [from, to] = [1, 9].map((host) => addressOf(family, { ...target, host }));
  return { text: `-m iprange ${not(choice)}--${choice.pick(["src", "dst"])}-range ${from}-${to}` };
};

/** No length of a bare TCP segment: the kernel's have options that the model's lack. */
const length: PartMaker = (_plan, choice) => ({
  text: `-m length ${not(choice)}--length ${choice.pick(["0:200", "92", "1300:", "1400:1500", "84"])}`,
});

const ttl: PartMaker = (_plan, choice, { family }) => {
  const [name, option] = family === 4 ? ["ttl", "ttl"] : ["hl", "hl"];
  const said = choice.pick(["-eq 64", "-eq 63", "-lt 4", "-gt 62", "-eq 62"]);
  return { text: `-m ${name} --${option}${said}` };
};

const rpfilter: PartMaker = (_plan, choice, { table, chain }) => {
  if (chain !== "PREROUTING" || (table !== "raw" && table !== "mangle")) return undefined;
  const flags = choice.pick(["", " --loose", " --validmark", " --accept-local"]);
  return { text: `-m rpfilter${flags}${choice.chance(60) ? " --invert" : ""}` };
};

const packetType: PartMaker = (_plan, choice) => ({
  text: `-m pkttype ${not(choice)}--pkt-type ${choice.pick(["unicast", "broadcast", "multicast"])}`,
});

const tos: PartMaker = (_plan, choice) => ({
  text: choice.pick(["-m tos --tos 0x10/0x10", "-m dscp --dscp 0x0a", "-m dscp ! --dscp 0x00"]),
});

const owner: PartMaker = (_plan, choice, { chain }) =>
  chain === "OUTPUT" || chain === "POSTROUTING"
    ? { text: `-m owner ${not(choice)}--uid-owner ${choice.pick(["0", "0", "1000"])}` }
    : undefined;

const physdev: PartMaker = (plan, choice, { netns, chain }) => {
  const bridge = plan.bridges.find((b) => b.netns === netns);
  if (bridge === undefined) return undefined;
  const port = `p${bridge.subnet}-${choice.below(bridge.ports)}`;
  const said = [
    "--physdev-is-in",
    ...(WITH_INPUT.includes(chain) ? [`--physdev-in ${port}`] : []),
    ...(chain === "FORWARD" || chain === "POSTROUTING"
      ? ["--physdev-is-bridged", "--physdev-is-bridged", "--physdev-is-out"]
      : []),
    ...(chain === "FORWARD" ? [`--physdev-out ${port} --physdev-is-bridged`] : []),
  ];
  return { text: `-m physdev ${not(choice)}${choice.pick(said)}` };
};

const set: PartMaker = (plan, choice, { netns, family }) => {
  const sets = plan.ipsets.filter(
    (s) => s.netns === netns && (s.family === undefined || s.family === family),
  );
  if (sets.length === 0) return undefined;
  const { name, dimensions } = choice.pick(sets);
  const directions = Array.from({ length: dimensions }, () => choice.pick(["src", "dst"]));
  return { text: `-m set ${not(choice)}--match-set ${name} ${directions.join()}` };
};

const comment: PartMaker = (_plan, choice) => ({
  text: `-m comment --comment ${choice.pick(['"a rule"', "default/web:http"])}`,
});

const tcpmss: PartMaker = (_plan, choice) => ({
  protocol: "tcp",
  text: `-m tcp --tcp-flags SYN,RST SYN -m tcpmss ${not(choice)}--mss ${choice.pick(["1:1400", "1401:1460", "1400:65535"])}`,
});

const PARTS: readonly PartMaker[] = [
  address,
  address,
  address,
  device,
  ports,
  ports,
  multiport,
  tcpFlags,
  icmp,
  protocolOnly,
  conntrack,
  conntrack,
  addrtype,
  mark,
  mark,
  iprange,
  length,
  ttl,
  rpfilter,
  packetType,
  tos,
  owner,
  physdev,
  set,
  set,
  comment,
  tcpmss,
];

const nth: PartMaker = (_plan, choice) => {
  const every = choice.between(2, 4);
  return {
    text: `-m statistic --mode nth ${not(choice)}--every ${every} --packet ${choice.below(every)}`,
  };
};

const limit: PartMaker = (_plan, choice) => ({
  text: `-m limit --limit ${choice.pick(["1/hour", "2/day"])} --limit-burst ${choice.between(1, 4)}`,
});

const hashlimit: PartMaker = (_plan, choice) => {
  const mode = choice.pick(["srcip", "dstip", "srcip,dstport"]);
  const name = `h${choice.below(2)}${mode.replaceAll(",", "")}`;
  return {
    text: `-m hashlimit --hashlimit-upto 1/hour --hashlimit-burst ${choice.between(1, 3)} --hashlimit-mode ${mode} --hashlimit-name ${name}`,
  };
};

const recent: PartMaker = (_plan, choice) => {
  const what = choice.pick([
    "--set",
    "--rcheck",
    "--update --seconds 60 --hitcount 2",
    "--remove",
    "--rcheck --hitcount 3",
  ]);
  return { text: `-m recent ${not(choice)}${what} --name seen --rsource` };
};

const random: PartMaker = (_plan, choice) => ({
  text: `-m statistic --mode random ${not(choice)}--probability ${choice.pick(["0.5", "0.33"])}`,
});

/** Flows have several outcomes then, of which the kernel shows one. */
const RANDOM_PARTS: readonly PartMaker[] = [random];

const ORDERED_PARTS: readonly PartMaker[] = [nth, nth, limit, hashlimit, recent, recent];
