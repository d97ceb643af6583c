import { formatOrigin } from "@cnilab/core";
import type {
  BpfMapStep,
  BridgeStep,
  ConntrackStep,
  DatapathStep,
  DropStep,
  FilterStep,
  HookStep,
  IpvsStep,
  NatStep,
  NeighbourStep,
  NetDevice,
  RouteStep,
  TunnelStep,
} from "@cnilab/linux";
import {
  flowActionsText,
  flowMatchText,
  Geneve,
  HOOK_NAMES,
  NF_ACCEPT,
  NF_DROP,
  NF_QUEUE,
  RT_TABLE_LOCAL,
  RT_TABLE_MAIN,
  Tun,
  Vxlan,
  Wireguard,
} from "@cnilab/linux";
import {
  BROADCAST_MAC,
  EspPacket,
  formatEndpoint,
  formatIp,
  formatMac,
  IpPacket,
  isGroupMac,
  type Payload,
  SleevePacket,
  UdpDatagram,
} from "@cnilab/net";
import { routeText, tableName } from "../iproute/routes.ts";
import { DROP_EXPLANATIONS } from "./drop-explanations.ts";
import type { TracedStep } from "./hops.ts";
import { addressText, frameText, type NameOf } from "./packet-text.ts";
import { proxyReason } from "./proxy-reasons.ts";
import { isTunnelSocket } from "./tunnel-socket.ts";

/** From which level on a line is worth reading. */
export type Weight = "summary" | "normal" | "verbose";

/** A step in words. */
export interface StepText {
  /** One word: what kind of thing happens. */
  readonly label: string;
  readonly text: string;
  /** Further lines: a rule's own text, what caused it, how to mend it. */
  readonly more: readonly string[];
  /** For a verbose trace only, behind the text. */
  readonly detail?: string;
  readonly weight: Weight;
  /** Words that `explain` knows. */
  readonly terms: readonly string[];
}

/** Says in plain words what a step did, and why. */
export function stepText({ step, before, idle }: TracedStep, nameOf?: NameOf): StepText {
  switch (step.kind) {
    case "receive":
    case "transmit": {
      return {
        label: step.kind === "receive" ? "in" : "out",
        text: step.dev.name,
        more: [],
        detail: frameText(step.frame, step.dev.isEthernet),
        weight: "normal",
        terms: [step.dev.kind],
      };
    }
    case "bridge":
      return bridgeText(step, before?.frame.payload, nameOf);
    case "neighbour":
      return neighbourText(step, nameOf);
    case "route":
      return routeStepText(step, nameOf);
    case "rule":
      return ruleText(step, idle);
    case "hook":
      return hookText(step);
    case "conntrack":
      return conntrackText(step);
    case "nat":
      return natText(step);
    case "ipvs":
      return ipvsText(step);
    case "encapsulate":
    case "decapsulate":
      return tunnelText(step);
    case "fragment": {
      const text = `cut into ${step.count} fragments that fit an MTU of ${step.mtu}`;
      return line("fragment", text, "summary", ["fragmentation", "MTU"]);
    }
    case "reassemble":
      return line("reassemble", `${step.count} fragments are one packet again`, "normal", [
        "fragmentation",
      ]);
    case "forward": {
      const from = step.from === undefined ? "" : ` from ${step.from.name}`;
      const text = `passes it on${from} to ${step.to.name}, TTL now ${step.ttl}`;
      return line("forward", text, "normal", ["ip_forward", "TTL"]);
    }
    case "send":
      return line(
        "send",
        `${step.socket?.owner ?? "the kernel"} sends ${step.text}`,
        "summary",
        [],
      );
    case "deliver": {
      const tunnel = isTunnelSocket(step);
      const owner = step.socket?.owner ?? "the kernel";
      return line("deliver", `${owner} receives ${step.text}`, tunnel ? "verbose" : "summary", []);
    }
    case "drop":
      return dropText(step);
    case "bpf-map":
      return bpfMapText(step);
    case "bpf": {
      const { hook, program, verdict, lookups } = step;
      const at = step.dev === undefined ? hook : `${step.dev.name} ${hook}`;
      const asked = lookups === 1 ? "1 map look-up" : `${lookups} map look-ups`;
      return line("bpf", `${at}: ${program} says ${verdict}, after ${asked}`, "summary", ["eBPF"]);
    }
    case "datapath":
      return datapathText(step);
    case "note": {
      const dev = step.dev === undefined ? "" : `${step.dev.name}: `;
      return line("note", `${dev}${step.text}`, "normal", []);
    }
  }
}

function line(
  label: string,
  text: string,
  weight: Weight,
  terms: readonly string[],
  more: readonly string[] = [],
): StepText {
  return { label, text, more, weight, terms };
}

function bridgeText(step: BridgeStep, packet: unknown, nameOf: NameOf | undefined): StepText {
  const { bridge, mac } = step;
  const ports = step.to.map((dev) => dev.name).join(", ");
  if (step.decision === "forward") {
    const text = `${bridge.name} knows ${formatMac(mac)} behind ${ports} and sends it there`;
    return line("bridge", text, "normal", ["bridge", "FDB"]);
  }
  if (step.decision === "flood") {
    const why =
      mac === BROADCAST_MAC
        ? "is a broadcast"
        : isGroupMac(mac)
          ? "is for a group"
          : `is for ${formatMac(mac)}, which the FDB does not know`;
    const text = `the frame ${why}: ${bridge.name} floods it to ${ports === "" ? "no port" : ports}`;
    return line("bridge", text, "normal", ["bridge", "FDB", "flood"]);
  }
  const own = `the frame is for ${bridge.name}'s own MAC ${formatMac(mac)}`;
  const leaves = packet instanceof IpPacket && !step.netns.isLocalAddress(packet.dst);
  if (!leaves || step.from === bridge) {
    return line("bridge", `${own}, so it goes up to the IP stack`, "normal", ["bridge", "FDB"]);
  }
  return line(
    "bridge",
    `${own}, as the pod sent it to its gateway: the node's IP stack takes it`,
    "normal",
    ["bridge", "bridge miss"],
    [
      `guides call this a "bridge miss", as if the bridge had looked for ${addressText(packet.dst, nameOf)} and not found it;`,
      "in truth a bridge looks at MACs alone, and it found this one: its own",
    ],
  );
}

function datapathText({ datapath, event, from, flow, to }: DatapathStep): StepText {
  const { name } = datapath;
  const ports = to.length === 0 ? "no port" : to.join(", ");
  if (event === "execute") {
    const text = `the program has ${name} send the frame to ${ports}`;
    return line("datapath", text, "normal", ["openvswitch", "upcall"]);
  }
  const origin = `port ${from?.number} (${from?.name}) of ${name}`;
  if (flow === undefined) {
    const text = `no flow fits a frame from ${origin}: the program is asked`;
    return line("datapath", text, "summary", ["openvswitch", "upcall"]);
  }
  const rule = `${flowMatchText(flow.match)}, actions:${flowActionsText(flow.actions)}`;
  const text = `a flow takes the frame from ${origin} to ${ports}`;
  return line("datapath", text, "normal", ["openvswitch", "megaflow"], [rule]);
}

function neighbourText({ dev, ip, mac, state }: NeighbourStep, nameOf?: NameOf): StepText {
  const how = typeof ip === "number" ? "ARP" : "neighbour discovery";
  const who = addressText(ip, nameOf);
  const terms = ["neighbour", how];
  if (mac === undefined) {
    const text = `asks on ${dev.name} who has ${who} (${how}); the packet waits for the answer`;
    return line("neighbour", text, "normal", terms);
  }
  return line(
    "neighbour",
    `${who} is at ${formatMac(mac)} on ${dev.name} (${state})`,
    "normal",
    terms,
  );
}

function routeStepText(step: RouteStep, nameOf: NameOf | undefined): StepText {
  const dst = addressText(step.dst, nameOf);
  const { route, nexthop } = step;
  if (route === undefined) {
    return line("route", `no route holds ${dst}`, "summary", ["route table", "LPM"]);
  }
  const origin = route.origin === undefined ? [] : [`from ${formatOrigin(route.origin)}`];
  const several = route.nexthops.length;
  // Of a multipath route the first line is its prefix, the others are its nexthops.
  const lines = routeText(route).trimEnd().split("\n");
  const text = several > 1 ? `${lines[0]?.trim()}, ${several} nexthops` : (lines[0] as string);
  if (route.table === RT_TABLE_LOCAL && route.type === "local") {
    const why = `${dst} is an address of this namespace itself (table local)`;
    return line("route", why, "normal", ["route table"], origin);
  }
  const table = route.table === RT_TABLE_MAIN ? "" : `  [table ${tableName(route.table)}]`;
  const why =
    route.prefix.length === 0
      ? `nothing closer holds ${dst}, so the default route does`
      : `the longest prefix that holds ${dst} is ${route.prefix}`;
  const way =
    nexthop?.gateway === undefined
      ? ""
      : nexthop.onlink
        ? `; ${formatIp(nexthop.gateway)} counts as a neighbour on ${nexthop.dev?.name} (onlink)`
        : `; the next hop is ${addressText(nexthop.gateway, nameOf)}${several > 1 ? ", by a hash over the flow" : ""}`;
  const terms = ["route table", "LPM", ...(nexthop?.onlink ? ["onlink"] : [])];
  return line("route", `${text}${table}`, "summary", terms, [`${why}${way}`, ...origin]);
}

function ruleText({ rule, effect, evaluated }: FilterStep, idle: boolean): StepText {
  const cause = rule.origin === undefined ? [] : [`from ${formatOrigin(rule.origin)}`];
  const reason = proxyReason(rule, effect);
  const why = reason === undefined ? [] : [`why: ${reason.text}`];
  const rank = `${evaluated} ${evaluated === 1 ? "rule" : "rules"} evaluated in the chain`;
  const chain = rule.location.split(" ").at(-1) ?? "";
  // That nothing came of it, or that nothing objected, is worth a line only to those who want all.
  const agreed = rule.text.startsWith("-P ") && effect === "ACCEPT";
  const weight = idle || agreed ? "verbose" : "normal";
  return line(
    "rule",
    `${rule.location}: ${effect}`,
    weight,
    ["chain", chain],
    [`${rule.text}  (${rank})`, ...cause, ...why],
  );
}

const VERDICTS = { [NF_DROP]: "DROP", [NF_ACCEPT]: "ACCEPT", [NF_QUEUE]: "QUEUE" } as const;

function hookText({ table, hook, verdict, evaluated }: HookStep): StepText {
  const name = verdict in VERDICTS ? VERDICTS[verdict as keyof typeof VERDICTS] : "STOLEN";
  const count = `${evaluated} ${evaluated === 1 ? "rule" : "rules"} evaluated`;
  const weight = evaluated === 0 && verdict === NF_ACCEPT ? "verbose" : "normal";
  return line("hook", `${HOOK_NAMES[hook]}, ${table}: ${name} after ${count}`, weight, [
    "hook",
    "verdict",
  ]);
}

const CONNTRACK_EVENTS: Readonly<Record<ConntrackStep["event"], string>> = {
  new: "the first packet of a connection",
  established: "belongs to a connection that has seen both directions",
  reply: "an answer within a connection",
  related: "is about another connection, as an ICMP error is",
  untracked: "not tracked, as a rule said",
  invalid: "makes no sense for any connection",
  confirmed: "the connection is in the table now",
  parked: "waits before its connection is confirmed",
};

function conntrackText({ event, entry, detail }: ConntrackStep): StepText {
  const why = detail === "" ? "" : ` (${detail})`;
  const mark = entry === undefined || entry.mark === 0 ? "" : `, mark 0x${entry.mark.toString(16)}`;
  const text = `${CONNTRACK_EVENTS[event]}${why}${mark}`;
  return line("conntrack", text, event === "confirmed" ? "verbose" : "normal", ["conntrack"]);
}

/** In an answer the other end is put back: its source, where the destination was translated. */
function natText({ manip, from, to, reply }: NatStep): StepText {
  const translated = (manip === "source") === reply ? "DNAT" : "SNAT";
  const text = reply
    ? `the answer gets back the ${manip} that the client knows: ${from} -> ${to}`
    : `the ${manip} changes: ${from} -> ${to}`;
  return line(reply ? `un-${translated}` : translated, text, "summary", [translated, "NAT"]);
}

function ipvsText({ event, service, scheduler, server, detail }: IpvsStep): StepText {
  const cause = service.origin === undefined ? [] : [`from ${formatOrigin(service.origin)}`];
  const more = [service.text, ...cause];
  switch (event) {
    case "new":
      return line("ipvs", `${scheduler} chooses ${server}: ${detail}`, "summary", ["IPVS"], more);
    case "no-server":
      return line("ipvs", `${scheduler} chooses nobody: ${detail}`, "summary", ["IPVS"], more);
    case "established":
      return line("ipvs", `the connection goes on to ${server}`, "normal", ["IPVS"]);
    case "reply":
      return line("ipvs", `an answer of ${server}`, "normal", ["IPVS"]);
  }
}

function bpfMapText({ program, operation, map, key, value, origin }: BpfMapStep): StepText {
  const cause = origin === undefined ? [] : [`from ${formatOrigin(origin)}`];
  const what = value === undefined ? "nothing" : value;
  switch (operation) {
    case "lookup":
      return line(
        "bpf map",
        `${program}: ${map.name} has for ${key}: ${what}`,
        "normal",
        ["eBPF"],
        cause,
      );
    case "update":
      return line("bpf map", `${program} writes ${key}: ${what} to ${map.name}`, "normal", [
        "eBPF",
      ]);
    case "delete":
      return line("bpf map", `${program} deletes ${key} from ${map.name}`, "normal", ["eBPF"]);
    case "tail-call":
      return line("bpf map", `${program} goes on with ${what}, ${map.name}[${key}]`, "verbose", [
        "eBPF",
      ]);
    case "missed tail-call":
      return line("bpf map", `${program} finds no program at ${map.name}[${key}]`, "summary", [
        "eBPF",
      ]);
    default:
      return line(
        "bpf map",
        `${program} fails to change ${key} in ${map.name}: ${operation}`,
        "summary",
        ["eBPF"],
      );
  }
}

function tunnelText({ kind, dev, outer, protocol }: TunnelStep): StepText {
  const { payload } = outer;
  const udp = payload instanceof UdpDatagram ? payload : undefined;
  const ends =
    udp === undefined
      ? `${formatIp(outer.src)} > ${formatIp(outer.dst)}`
      : `UDP ${formatEndpoint(outer.src, udp.srcPort)} > ${formatEndpoint(outer.dst, udp.dstPort)}`;
  const terms = tunnelTerms(dev, payload);
  if (kind === "decapsulate") {
    return line(
      "unwrap",
      `${dev.name} takes it out of ${protocol} from ${formatIp(outer.src)}`,
      "summary",
      terms,
    );
  }
  return line("wrap", `${dev.name} puts it into ${protocol}: ${ends}`, "summary", terms);
}

function tunnelTerms(dev: NetDevice, carried: Payload): string[] {
  if (carried instanceof EspPacket) return ["ESP", "SPI", "XFRM"];
  const inUdp = carried instanceof UdpDatagram ? carried.payload : undefined;
  if (inUdp instanceof SleevePacket) return ["sleeve"];
  if (dev instanceof Vxlan) return ["VXLAN", "VTEP", "VNI"];
  const isOther = dev instanceof Geneve || dev instanceof Wireguard || dev instanceof Tun;
  return isOther ? ["tunnel"] : ["IPIP"];
}

function dropText(step: DropStep): StepText {
  const { meaning, hint } = DROP_EXPLANATIONS[step.reason];
  const where = step.dev === undefined ? "" : ` at ${step.dev.name}`;
  const detail = step.detail === "" ? "" : ` (${step.detail})`;
  const rule = step.rule === undefined ? [] : [`${step.rule.location}: ${step.rule.text}`];
  const cause = step.rule?.origin === undefined ? [] : [`from ${formatOrigin(step.rule.origin)}`];
  // Copies of a flooded frame end at everybody it is not for.
  const weight = step.reason === "OTHERHOST" ? "verbose" : "summary";
  return line(
    "DROP",
    `${step.reason}${where}: ${meaning}${detail}`,
    weight,
    [step.reason],
    [...rule, ...cause, `hint: ${hint}`],
  );
}
