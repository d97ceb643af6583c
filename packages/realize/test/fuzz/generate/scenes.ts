import { addressIn, lengthOf, type Step } from "../topology.ts";
import type { Choice } from "./choice.ts";
import { addressOf, everything, type Plan, vip } from "./plan.ts";
import { post, secondAddress, send, source, target, targetNet, type Way, way } from "./way.ts";

/** State that packets of some way are sure to meet, and the packets: what is only random is seldom met. */
export function scenes(plan: Plan, choice: Choice): void {
  for (let n = choice.between(2, 5); n > 0; n--) {
    const scene = choice.pick(scenesOf(plan));
    scene(plan, choice, way(plan, choice));
  }
}

type Scene = (plan: Plan, choice: Choice, way: Way) => void;

const REFUSALS = ["blackhole", "unreachable", "prohibit", "throw"] as const;

/** Several routes to where it goes, by metric and by length. */
const metrics: Scene = (plan, choice, way) => {
  const netns = choice.pick([way.from.netns, ...way.routers]);
  const exact = `${target(way)}/${way.family === 4 ? 32 : 128}`;
  const dst = choice.pick([exact, exact, targetNet(way)]);
  const gateways = plan.neighboursOf(netns).map((a) => addressOf(way.family, a));
  for (const metric of choice.several([30, 10, 400, 20])) {
    const refusal = gateways.length === 0 || choice.chance(40);
    const by = refusal ? { type: choice.pick(REFUSALS) } : { via: choice.pick(gateways) };
    plan.add({ do: "route", netns, dst, metric, ...by });
  }
  send(plan, choice, way, target(way));
};

/** A mark that chooses the route, by all of its bits or by some. */
const marks: Scene = (plan, choice, way) => {
  const { family } = way;
  const [router = way.from.netns] = way.routers;
  const netns = choice.pick([router, way.from.netns]);
  const chain = netns === way.from.netns ? "OUTPUT" : "PREROUTING";
  const [value, mask] = choice.pick([
    [0x1, 0x1],
    [0x10, 0xf0],
    [0x12, 0xff],
    [0x4000, 0x4000],
    [0x7, 0xffffffff],
  ] as const);
  const mark = choice.pick([value, value | 0x100000, value | 0x3]).toString(16);
  const rule = `-d ${target(way)} -j MARK --set-xmark 0x${mark}/0xffffffff`;
  plan.add({ do: "iptables", netns, family, table: "mangle", chain, rule });
  const gateways = plan.neighboursOf(netns).map((a) => addressOf(family, a));
  const refusal = gateways.length === 0 || choice.chance(60);
  const by = refusal ? { type: choice.pick(REFUSALS) } : { via: choice.pick(gateways) };
  plan.add({ do: "route", netns, dst: everything(family), table: 120, ...by });
  const priority = choice.pick([90, 90, 32_767]);
  const fwmark = { value, mask };
  plan.add({
    do: "rule",
    netns,
    family,
    rule: { priority, fwmark, action: { table: 120 } },
  });
  send(plan, choice, way, target(way));
};

/** A set of networks with exceptions. */
const nomatch: Scene = (plan, choice, way) => {
  const { family } = way;
  const { netns, chain } = post(choice, way);
  const name = `nets${plan.steps.length}`;
  const bits = family === 4 ? [32, 31, 30, 28] : [128, 127, 126, 112];
  const [wide, narrow] = choice.pick([
    ["", " nomatch"],
    ["", " nomatch"],
    [" nomatch", ""],
    ["", ""],
  ] as const);
  const text = [
    `create ${name} hash:net family inet${family === 6 ? "6" : ""}`,
    `add ${name} ${targetNet(way)}${wide}`,
    `add ${name} ${target(way)}/${choice.pick(bits)}${narrow}`,
  ].join("\n");
  plan.add({ do: "ipset", netns, text });
  const verdict = choice.pick(["DROP", "REJECT"]);
  const rule = `-m set ${choice.chance(25) ? "! " : ""}--match-set ${name} dst -j ${verdict}`;
  plan.add({ do: "iptables", netns, family, table: "filter", chain, rule });
  send(plan, choice, way, target(way));
};

/** A set of intervals that begins, ends or has a gap where it goes. */
const intervals: Scene = (plan, choice, way) => {
  const { family, to } = way;
  const { netns, chain } = post(choice, way);
  const at = (host: number): string => addressIn(family, to.subnet, host);
  const bits = choice.between(1, 4);
  const first = to.host & ~((1 << bits) - 1);
  const prefix = `${at(first)}/${(family === 4 ? 32 : 128) - bits}`;
  const elements = choice.pick([
    prefix,
    prefix,
    `${at(0)}-${at(to.host)}`,
    `${at(to.host)}-${at(200)}`,
    `${at(to.host + 1)}-${at(200)}`,
    at(to.host),
  ]);
  const table = `inet scene${plan.steps.length}`;
  const [word, type] = family === 4 ? ["ip", "ipv4_addr"] : ["ip6", "ipv6_addr"];
  const hook = chain.toLowerCase();
  for (const text of [
    `add table ${table}`,
    `add set ${table} s { type ${type}; flags interval; }`,
    `add element ${table} s { ${elements} }`,
    `add chain ${table} c { type filter hook ${hook} priority ${choice.between(11, 19)}; }`,
    `add rule ${table} c ${word} daddr ${choice.chance(30) ? "!= " : ""}@s ${choice.pick(["drop", "reject"])}`,
  ]) {
    plan.add({ do: "nftables", netns, text });
  }
  send(plan, choice, way, target(way));
};

const REJECT_WITH = {
  4: [
    "icmp-port-unreachable",
    "icmp-host-unreachable",
    "icmp-net-unreachable",
    "icmp-proto-unreachable",
    "icmp-host-prohibited",
    "icmp-net-prohibited",
    "icmp-admin-prohibited",
  ],
  6: [
    "icmp6-port-unreachable",
    "icmp6-addr-unreachable",
    "icmp6-no-route",
    "icmp6-adm-prohibited",
    "icmp6-policy-fail",
    "icmp6-reject-route",
  ],
} as const;

/** Rules that reject what goes there, or the answers: each protocol in its own way. */
const rejects: Scene = (plan, choice, way) => {
  const { family } = way;
  const answers = choice.chance(20);
  const { netns, chain } = post(choice, way, answers);
  const icmp = family === 4 ? "icmp" : "ipv6-icmp -m icmp6 --icmpv6-type 128";
  for (const protocol of ["tcp", "udp", icmp]) {
    const kind = choice.pick(REJECT_WITH[family]);
    const rejectWith = protocol === "tcp" && choice.chance(30) ? "tcp-reset" : kind;
    const rule = `${answers ? "-s" : "-d"} ${target(way)} -p ${protocol} -j REJECT --reject-with ${rejectWith}`;
    plan.add({ do: "iptables", netns, family, table: "filter", chain, rule });
  }
  send(plan, choice, way, target(way));
};

/** A filter by what connection tracking knows, which may see one direction only. */
const states: Scene = (plan, choice, way) => {
  const { family } = way;
  const { netns, chain } = post(choice, way, choice.chance(50));
  const [seen, unseen] = choice.pick([
    [`-s ${target(way)}`, `-d ${target(way)}`],
    [`-d ${target(way)}`, `-s ${target(way)}`],
  ] as const);
  if (choice.chance(85)) {
    const rule = `${unseen} -j CT --notrack`;
    for (const raw of ["PREROUTING", "OUTPUT"]) {
      plan.add({ do: "iptables", netns, family, table: "raw", chain: raw, rule });
    }
  }
  const state = choice.pick(["NEW", "NEW", "INVALID", "INVALID", "ESTABLISHED"]);
  const verdict = choice.pick(["DROP", "REJECT"]);
  const match = `${choice.pick(["", seen, seen])} -m conntrack --ctstate ${state}`.trim();
  plan.add({
    do: "iptables",
    netns,
    family,
    table: "filter",
    chain,
    rule: `${match} -j ${verdict}`,
  });
  send(plan, choice, way, target(way));
  const flow = { netns: way.from.netns, dst: target(way), dstPort: 80, length: 0 };
  plan.add({ do: "flow", flow: { ...flow, protocol: "tcp" } });
};

/** A link with two networks: which address does a packet come from? */
const sources: Scene = (plan, choice, way) => {
  const { family, from } = way;
  const gateway = plan.neighboursOf(from.netns).find((a) => a.subnet === from.subnet);
  if (gateway === undefined) return;
  const next = secondAddress(family, gateway);
  const add = ({ netns, dev }: { netns: string; dev: string }, address: string): void => {
    plan.add({ do: "address", netns, dev, address: `${address}/${lengthOf(family)}` });
  };
  add(from, secondAddress(family, from));
  add(gateway, next);
  if (choice.chance(30)) add(from, addressIn(family, from.subnet, from.host + 100));
  const dst = `${target(way)}/${family === 4 ? 32 : 128}`;
  const src = choice.chance(30)
    ? { src: choice.pick([source(way), secondAddress(family, from)]) }
    : {};
  if (from.subnet !== way.to.subnet) {
    plan.add({ do: "route", netns: from.netns, dst, via: next, ...src });
  }
  if (choice.chance(40)) {
    const rule = "-j MASQUERADE";
    const place = { table: "nat", chain: "POSTROUTING" } as const;
    plan.add({ do: "iptables", netns: from.netns, family, ...place, rule });
  }
  send(plan, choice, way, next);
  send(plan, choice, way, target(way));
};

/** A host takes somebody behind its router for a neighbour. */
const proxies: Scene = (plan, choice, way) => {
  const { family, from, to } = way;
  const router = plan.attachments.find((a) => a.subnet === from.subnet && a.host === 1);
  if (router === undefined || to.subnet === from.subnet) return;
  const dst = choice.pick([`${target(way)}/${family === 4 ? 32 : 128}`, targetNet(way)]);
  plan.add({ do: "route", netns: from.netns, dst, dev: from.dev, metric: 5 });
  if (family === 4 && choice.chance(60)) {
    const conf = choice.pick(["all", router.dev]);
    plan.set(router.netns, `net/ipv4/conf/${conf}/proxy_arp`, 1);
  } else {
    if (family === 6) plan.set(router.netns, `net/ipv6/conf/${router.dev}/proxy_ndp`, 1);
    plan.add({ do: "proxy", netns: router.netns, dev: router.dev, address: target(way) });
  }
  send(plan, choice, way, target(way));
};

/** Links become narrower on the way; sometimes nobody tells of it. */
const narrows: Scene = (plan, choice, way) => {
  const { family, from, routers, to } = way;
  for (const [i, netns] of routers.entries()) {
    const dev = deviceTowards(plan, netns, routers[i + 1] ?? to.netns);
    if (dev !== undefined)
      plan.add({ do: "mtu", netns, dev, mtu: choice.pick([1440, 1400, 1280]) - 40 * i });
    if (choice.chance(50)) keepTooBigSecret(plan, family, netns);
  }
  const flow = { netns: from.netns, dst: target(way), dstPort: 53 };
  for (const length of [1300, 1440, 3000, 4000]) {
    plan.add({ do: "flow", flow: { ...flow, protocol: "udp", length } });
  }
  plan.add({ do: "flow", flow: { ...flow, protocol: "tcp", dstPort: 80, length: 0 } });
};

function deviceTowards(plan: Plan, netns: string, next: string): string | undefined {
  const there = new Set(plan.attachmentsOf(next).map((a) => a.subnet));
  return plan.attachmentsOf(netns).find((a) => there.has(a.subnet))?.dev;
}

function keepTooBigSecret(plan: Plan, family: 4 | 6, netns: string): void {
  const match =
    family === 4 ? "-p icmp -m icmp --icmp-type 3/4" : "-p ipv6-icmp -m icmp6 --icmpv6-type 2";
  const place = { table: "filter", chain: "OUTPUT" } as const;
  plan.add({ do: "iptables", netns, family, ...place, rule: `${match} -j DROP` });
}

/** Members of a bridge among themselves: isolated ports, and one port with two hosts behind it. */
const bridges: Scene = (plan, choice) => {
  if (plan.bridges.length === 0) return;
  const { netns, subnet, ports } = choice.pick(plan.bridges);
  const bridge = `br${subnet}`;
  const family = choice.family();
  const members = plan.attachments.filter((a) => a.subnet === subnet && a.host > 1 && a.host < 40);
  const talk = (from: string, to: string): void => {
    const flow = { netns: from, dst: to, dstPort: 80, length: 0, protocol: "tcp" } as const;
    plan.add({ do: "flow", flow });
    plan.add({ do: "flow", flow: { ...flow, dstPort: 53, length: 64, protocol: "udp" } });
  };
  const [one, other] = members;
  // The guests of an earlier scene have these addresses.
  const taken = plan.attachments.some((a) => a.subnet === subnet && a.host === 41);
  if (one === undefined || taken) return;
  if (other !== undefined && choice.chance(60)) {
    for (let port = 0; port < ports; port++) {
      if (choice.chance(75)) plan.add({ do: "isolated", netns, bridge, port });
    }
    talk(one.netns, addressOf(family, other));
    talk(other.netns, addressOf(family, one));
    return;
  }
  const guest = plan.host();
  const macvlan = { owner: one.netns, lower: one.dev, netns: guest, subnet, host: 41 };
  plan.add({ do: "macvlan", ...macvlan, mode: choice.pick(["vepa", "vepa", "bridge"] as const) });
  plan.attach(guest, subnet, 41, `e${subnet}`);
  // A packet to the other one behind the same port comes back by it, or not.
  for (let port = 0; port < ports; port++) {
    if (choice.chance(75)) plan.add({ do: "hairpin", netns, bridge, port });
  }
  const second = plan.host();
  plan.add({ do: "macvlan", ...macvlan, netns: second, host: 42, mode: "vepa" });
  plan.attach(second, subnet, 42, `e${subnet}`);
  talk(guest, addressIn(family, subnet, 42));
  talk(second, addressIn(family, subnet, 41));
};

/** A router that asks whether the sender is where it should be. */
const reversePaths: Scene = (plan, choice, way) => {
  const [router] = way.routers;
  if (router === undefined) return;
  const family = 4;
  const conf = choice.pick(["all", "all", choice.pick(plan.attachmentsOf(router)).dev]);
  plan.set(router, `net/ipv4/conf/${conf}/rp_filter`, choice.pick([1, 1, 2]));
  if (choice.chance(50)) {
    const dst = `${addressOf(family, way.from)}/${choice.pick([32, 31, 28])}`;
    const gateways = plan.neighboursOf(router).map((a) => addressOf(family, a));
    const by = choice.chance(40) ? { type: choice.pick(REFUSALS) } : { via: choice.pick(gateways) };
    plan.add({ do: "route", netns: router, dst, metric: 7, ...by });
  }
  const dst = addressOf(family, way.to);
  send(plan, choice, way, dst);
  const stranger = choice.pick([addressOf(family, choice.pick(plan.attachments)), "198.51.100.7"]);
  const spoofed = { src: stranger, spoofed: true, netns: way.from.netns };
  plan.add({ do: "flow", flow: { ...spoofed, protocol: "udp", dst, dstPort: 53, length: 64 } });
};

/** A virtual address that is translated on the way, also where nobody serves what it stands for. */
const translations: Scene = (plan, choice, way) => {
  const { family, to, routers, from } = way;
  const [router] = routers;
  const netns = router !== undefined && choice.chance(70) ? router : from.netns;
  const chain = netns === from.netns ? "OUTPUT" : "PREROUTING";
  const end = (port: number): string =>
    family === 4 ? `${target(way)}:${port}` : `[${target(way)}]:${port}`;
  for (const [protocol, port, real] of [
    ["tcp", 8080, choice.pick([80, 80, 81])],
    ["udp", 5353, choice.pick([53, 53, 54])],
  ] as const) {
    const match = `-d ${vip(family)} -p ${protocol} -m ${protocol} --dport ${port}`;
    const rule = `${match} -j DNAT --to-destination ${end(real)}`;
    plan.add({ do: "iptables", netns, family, table: "nat", chain, rule });
  }
  if (choice.chance(50)) {
    const masquerading = choice.pick([netns, ...routers]);
    const place = { table: "nat", chain: "POSTROUTING" } as const;
    plan.add({ do: "iptables", netns: masquerading, family, ...place, rule: "-j MASQUERADE" });
  }
  if (choice.chance(25)) {
    const rule = `-j REJECT --reject-with ${choice.pick(REJECT_WITH[family])}`;
    const place = { table: "filter", chain: "INPUT" } as const;
    plan.add({ do: "iptables", netns: to.netns, family, ...place, rule });
  }
  const flow = { netns: from.netns, dst: vip(family) };
  const ttl = choice.chance(30) ? { ttl: choice.between(1, 3) } : {};
  const flows: Step[] = [
    { do: "flow", flow: { ...flow, ...ttl, protocol: "tcp", dstPort: 8080, length: 0 } },
    { do: "flow", flow: { ...flow, ...ttl, protocol: "udp", dstPort: 5353, length: 64 } },
    { do: "flow", flow: { ...flow, protocol: "udp", dstPort: 5353, length: 4000 } },
  ];
  for (const step of flows) plan.add(step);
};

/** Both ends of a tunnel talk through it, and so do those behind them. */
const tunnels: Scene = (plan, choice, way) => {
  const { family } = way;
  const [one, other] = plan.attachments.filter(({ dev }) => dev.startsWith("vx"));
  if (one === undefined || other === undefined) return;
  const inside: Way = { family, from: one, to: other, routers: [] };
  send(plan, choice, inside, addressOf(family, other));
  const near = plan.neighboursOf(one.netns).find((a) => plan.hosts.includes(a.netns));
  const far = plan.neighboursOf(other.netns).find((a) => plan.hosts.includes(a.netns));
  if (near === undefined || far === undefined || near === far) return;
  const through: Way = { family, from: near, to: far, routers: [one.netns, other.netns] };
  const dst = `${target(through)}/${family === 4 ? 32 : 128}`;
  plan.add({ do: "route", netns: one.netns, dst, via: addressOf(family, other) });
  if (choice.chance(60)) keepTooBigSecret(plan, family, one.netns);
  const flow = { netns: near.netns, dst: target(through), dstPort: 80, length: 0 };
  plan.add({ do: "flow", flow: { ...flow, protocol: "tcp" } });
  // Just too long for the tunnel, as links of the usual MTUs leave room in it.
  for (const mtu of [1500, 1450, 1400, 1280]) {
    const length = mtu - 50 - 28 + choice.between(0, 14);
    plan.add({ do: "flow", flow: { ...flow, protocol: "udp", dstPort: 53, length } });
  }
};

const SCENES: readonly Scene[] = [
  metrics,
  marks,
  nomatch,
  intervals,
  rejects,
  states,
  sources,
  proxies,
  narrows,
  reversePaths,
  translations,
];

/** Those that a network has what they need for. */
function scenesOf(plan: Plan): readonly Scene[] {
  const hasTunnel = plan.attachments.some(({ dev }) => dev.startsWith("vx"));
  return [
    ...SCENES,
    ...(hasTunnel ? [tunnels, tunnels] : []),
    ...(plan.bridges.length > 0 ? [bridges] : []),
  ];
}
