import { formatOrigin, type Origin } from "@cnilab/core";
import {
  type FilterStep,
  flowActionsText,
  flowMatchText,
  HOOK_NAMES,
  NF_ACCEPT,
  NF_DROP,
  NF_QUEUE,
  type Trace,
} from "@cnilab/linux";
import { formatIp, formatMac, UdpDatagram } from "@cnilab/net";
import { routeText } from "../iproute/routes.ts";
import { DROP_EXPLANATIONS } from "./drop-explanations.ts";
import { namespaceName, type TracedStep, traceHops, tracePackets } from "./hops.ts";
import { frameText, type NameOf } from "./packet-text.ts";
import { stepText } from "./step-text.ts";

/** A trace as data. Fields are only ever added; `version` grows when one changes its meaning. */
export interface TraceJson {
  readonly version: 1;
  readonly packets: readonly TracePacketJson[];
  readonly hops: readonly TraceHopJson[];
}

/** One packet: as its sender made it, and how it ended. */
export interface TracePacketJson {
  readonly number: number;
  /** `there`: sent where the trace starts. `back`: answers. `neighbour`: ARP and neighbour discovery. */
  readonly direction: "there" | "back" | "neighbour";
  readonly end: "delivered" | "dropped" | "unfinished";
  /** Which of several legs it belongs to, from 1 on. */
  readonly leg?: number;
  readonly protocol?: string;
  readonly src?: string;
  readonly dst?: string;
  readonly srcPort?: number;
  readonly dstPort?: number;
  /** Bytes from the network header on. */
  readonly length?: number;
  readonly info?: string;
}

/** Steps of one packet in one network namespace. */
export interface TraceHopJson {
  readonly packet: number;
  readonly node: string;
  /** Empty for the node's own namespace. */
  readonly netns: string;
  /** The name of the namespace's own address, as `default/web-0`, where one is known. */
  readonly name?: string;
  readonly steps: readonly TraceStepJson[];
}

/** The rule that a step is about, and the object that caused it. */
export interface RuleJson {
  /** As `nat KUBE-SERVICES`. */
  readonly location: string;
  /** In the syntax of the tool that lists it. */
  readonly rule: string;
  readonly origin?: OriginJson;
}

export interface OriginJson extends Origin {
  /** `Kind namespace/name (detail)`. */
  readonly text: string;
}

/** What happened. `text` says it in words; the other fields depend on `kind`. */
export type TraceStepJson = { readonly text: string } & (
  | {
      readonly kind: "receive" | "transmit";
      readonly dev: string;
      readonly frame: string;
      /** Virtual milliseconds. */
      readonly time: number;
    }
  | {
      readonly kind: "bridge";
      readonly bridge: string;
      readonly from: string;
      readonly decision: "forward" | "flood" | "local";
      readonly mac: string;
      readonly to: readonly string[];
    }
  | {
      readonly kind: "neighbour";
      readonly dev: string;
      readonly ip: string;
      /** Absent while it is asked for. */
      readonly mac?: string;
      readonly state: string;
    }
  | {
      readonly kind: "route";
      readonly direction: "input" | "output";
      readonly dst: string;
      /** As `ip route` prints it; absent where there is none. */
      readonly route?: string;
      readonly prefix?: string;
      readonly table?: number;
      readonly via?: string;
      readonly dev?: string;
      readonly origin?: OriginJson;
    }
  | (RuleJson & {
      readonly kind: "rule";
      readonly effect: string;
      /** Rules evaluated in the chain up to this one. */
      readonly evaluated: number;
    })
  | {
      readonly kind: "hook";
      readonly hook: string;
      readonly table: string;
      readonly verdict: "ACCEPT" | "DROP" | "STOLEN" | "QUEUE";
      readonly evaluated: number;
    }
  | { readonly kind: "conntrack"; readonly event: string; readonly detail: string }
  | {
      readonly kind: "nat";
      readonly manip: "source" | "destination";
      readonly from: string;
      readonly to: string;
      readonly reply: boolean;
    }
  | (RuleJson & {
      readonly kind: "ipvs";
      readonly event: "new" | "established" | "reply" | "no-server";
      readonly scheduler: string;
      /** Empty where there is none. */
      readonly server: string;
      readonly detail: string;
    })
  | {
      readonly kind: "encapsulate" | "decapsulate";
      readonly dev: string;
      readonly protocol: string;
      readonly src: string;
      readonly dst: string;
      /** Of the outer UDP header, where there is one. */
      readonly srcPort?: number;
      readonly dstPort?: number;
    }
  | { readonly kind: "fragment" | "reassemble"; readonly count: number; readonly mtu: number }
  | {
      readonly kind: "forward";
      readonly from?: string;
      readonly to: string;
      readonly ttl: number;
    }
  | { readonly kind: "send" | "deliver"; readonly owner?: string }
  | {
      readonly kind: "drop";
      readonly reason: string;
      readonly dev?: string;
      readonly detail: string;
      readonly hint: string;
      readonly rule?: RuleJson;
    }
  | {
      readonly kind: "bpf-map";
      readonly dev?: string;
      readonly program: string;
      readonly operation: string;
      readonly map: string;
      readonly key: string;
      /** Absent where there was none. */
      readonly value?: string;
      readonly origin?: OriginJson;
    }
  | {
      readonly kind: "bpf";
      readonly dev?: string;
      readonly hook: string;
      readonly program: string;
      readonly verdict: string;
      /** Map look-ups of the run. */
      readonly lookups: number;
    }
  | {
      readonly kind: "datapath";
      readonly datapath: string;
      readonly event: "hit" | "miss" | "execute";
      /** The port it came in by. */
      readonly from?: string;
      /** As `ovs-dpctl dump-flows` prints what it asks for. */
      readonly flow?: string;
      readonly actions?: string;
      readonly to: readonly string[];
    }
  | { readonly kind: "note"; readonly dev?: string }
);

/** A trace as plain data that survives `JSON.stringify`. */
export function traceJson(trace: Trace, options: { readonly nameOf?: NameOf } = {}): TraceJson {
  return {
    version: 1,
    packets: tracePackets(trace).map(({ number, direction, end, summary, leg }) => {
      const part = leg === undefined ? {} : { leg };
      if (summary === undefined) return { number, direction, end, ...part };
      const { srcPort, dstPort, ...rest } = summary;
      return {
        number,
        direction,
        ...part,
        end,
        ...rest,
        ...(srcPort === undefined ? {} : { srcPort }),
        ...(dstPort === undefined ? {} : { dstPort }),
      };
    }),
    hops: traceHops(trace).map(({ packet, netns, steps }) => ({
      packet,
      node: netns.kernel.hostname,
      netns: netns.name,
      ...named(namespaceName(netns, options.nameOf)),
      steps: steps.map((step) => stepJson(step, options.nameOf)),
    })),
  };
}

function named(name: string | undefined): { readonly name?: string } {
  return name === undefined ? {} : { name };
}

function stepJson(traced: TracedStep, nameOf: NameOf | undefined): TraceStepJson {
  const { step } = traced;
  const { text } = stepText(traced, nameOf);
  switch (step.kind) {
    case "receive":
    case "transmit": {
      const { kind, dev, frame, time } = step;
      return { kind, text, dev: dev.name, frame: frameText(frame, dev.isEthernet), time };
    }
    case "bridge": {
      const { kind, bridge, from, decision, mac, to } = step;
      return {
        kind,
        text,
        bridge: bridge.name,
        from: from.name,
        decision,
        mac: formatMac(mac),
        to: to.map((dev) => dev.name),
      };
    }
    case "neighbour": {
      const { kind, dev, ip, mac, state } = step;
      const known = mac === undefined ? {} : { mac: formatMac(mac) };
      return { kind, text, dev: dev.name, ip: formatIp(ip), ...known, state };
    }
    case "route": {
      const { kind, direction, dst, route, nexthop } = step;
      return {
        kind,
        text,
        direction,
        dst: formatIp(dst),
        ...(route === undefined
          ? {}
          : {
              route: routeText(route).trim(),
              prefix: route.prefix.toString(),
              table: route.table,
            }),
        ...(nexthop?.gateway === undefined ? {} : { via: formatIp(nexthop.gateway) }),
        ...(nexthop?.dev === undefined ? {} : { dev: nexthop.dev.name }),
        ...originJson(route?.origin),
      };
    }
    case "rule": {
      const { kind, rule, effect, evaluated } = step;
      return { kind, text, ...ruleJson(rule), effect, evaluated };
    }
    case "hook": {
      const { kind, hook, table, evaluated } = step;
      const verdict = verdictName(step.verdict);
      return { kind, text, hook: HOOK_NAMES[hook], table, verdict, evaluated };
    }
    case "conntrack":
      return { kind: step.kind, text, event: step.event, detail: step.detail };
    case "nat": {
      const { kind, manip, from, to, reply } = step;
      return { kind, text, manip, from, to, reply };
    }
    case "ipvs": {
      const { kind, event, service, scheduler, server, detail } = step;
      return { kind, text, event, ...ruleJson(service), scheduler, server, detail };
    }
    case "encapsulate":
    case "decapsulate": {
      const { kind, dev, protocol, outer } = step;
      const { payload } = outer;
      const ports =
        payload instanceof UdpDatagram
          ? { srcPort: payload.srcPort, dstPort: payload.dstPort }
          : {};
      const ends = { src: formatIp(outer.src), dst: formatIp(outer.dst) };
      return { kind, text, dev: dev.name, protocol, ...ends, ...ports };
    }
    case "fragment":
    case "reassemble":
      return { kind: step.kind, text, count: step.count, mtu: step.mtu };
    case "forward": {
      const from = step.from === undefined ? {} : { from: step.from.name };
      return { kind: step.kind, text, ...from, to: step.to.name, ttl: step.ttl };
    }
    case "send":
    case "deliver":
      return {
        kind: step.kind,
        text,
        ...(step.socket === undefined ? {} : { owner: step.socket.owner }),
      };
    case "drop": {
      const { kind, reason, dev, detail, rule } = step;
      return {
        kind,
        text,
        reason,
        ...(dev === undefined ? {} : { dev: dev.name }),
        detail,
        hint: DROP_EXPLANATIONS[reason].hint,
        ...(rule === undefined ? {} : { rule: ruleJson(rule) }),
      };
    }
    case "bpf-map": {
      const { kind, dev, program, operation, map, key, value, origin } = step;
      return {
        kind,
        text,
        ...(dev === undefined ? {} : { dev: dev.name }),
        program,
        operation,
        map: map.name,
        key,
        ...(value === undefined ? {} : { value }),
        ...originJson(origin),
      };
    }
    case "bpf": {
      const { kind, dev, hook, program, verdict, lookups } = step;
      const at = dev === undefined ? {} : { dev: dev.name };
      return { kind, text, ...at, hook, program, verdict, lookups };
    }
    case "datapath": {
      const { kind, datapath, event, from, flow, to } = step;
      return {
        kind,
        text,
        datapath: datapath.name,
        event,
        ...(from === undefined ? {} : { from: from.name }),
        ...(flow === undefined
          ? {}
          : { flow: flowMatchText(flow.match), actions: flowActionsText(flow.actions) }),
        to,
      };
    }
    case "note":
      return { kind: step.kind, text, ...(step.dev === undefined ? {} : { dev: step.dev.name }) };
  }
}

function verdictName(verdict: number): "ACCEPT" | "DROP" | "STOLEN" | "QUEUE" {
  switch (verdict) {
    case NF_ACCEPT:
      return "ACCEPT";
    case NF_DROP:
      return "DROP";
    case NF_QUEUE:
      return "QUEUE";
    default:
      return "STOLEN";
  }
}

function ruleJson({ location, text, origin }: FilterStep["rule"]): RuleJson {
  return { location, rule: text, ...originJson(origin) };
}

function originJson(origin: Origin | undefined): { readonly origin?: OriginJson } {
  return origin === undefined ? {} : { origin: { ...origin, text: formatOrigin(origin) } };
}
