import type { Trace } from "@cnilab/linux";
import { formatEndpoint, formatIp, UdpDatagram } from "@cnilab/net";
import { type TracedStep, traceHops, tracePackets } from "./hops.ts";
import { isTunnelSocket } from "./tunnel-socket.ts";

/** The way of a trace's first packet in plain steps, a line for each namespace that it passes. */
export function plainWalk(trace: Trace, maxLines: number): string[] {
  const there = tracePackets(trace).filter((p) => p.direction === "there");
  // Some tunnels send a packet of their own with the first one inside.
  const first = there.filter((p) => p.summary?.info === there[0]?.summary?.info);
  const numbers = new Set(first.map((p) => p.number));
  const stops: { place: string; phrases: string[] }[] = [];
  for (const hop of traceHops(trace)) {
    if (!numbers.has(hop.packet)) continue;
    const phrases = inner(hop.steps).flatMap(phrase);
    if (phrases.length === 0) continue;
    const last = stops.at(-1);
    // ARP in between cuts one stay into two hops.
    if (last?.place === hop.place) last.phrases.push(...phrases);
    else stops.push({ place: hop.place, phrases });
  }
  const lines = stops.map(
    ({ place, phrases }, i) => `${i + 1} ${shortPlace(place)}: ${phrases.join("; ")}`,
  );
  return lines.length <= maxLines ? lines : [...lines.slice(0, maxLines - 1), "…"];
}

/** Steps without the way of the tunnel itself, once the packet is in it. */
function inner(steps: readonly TracedStep[]): readonly TracedStep[] {
  const wrapped = steps.findIndex(({ step }) => step.kind === "encapsulate");
  return steps.filter(({ step }, i) => wrapped < 0 || i <= wrapped || step.kind !== "route");
}

/** What a person should know of a step; nothing of most. */
function phrase({ step }: TracedStep): string[] {
  switch (step.kind) {
    case "route": {
      const { route, nexthop } = step;
      if (route === undefined || nexthop === undefined || route.type !== "unicast") return [];
      const gateway = nexthop.gateway === undefined ? "" : ` via ${formatIp(nexthop.gateway)}`;
      const prefix = route.prefix.length === 0 ? "default" : String(route.prefix);
      return [`route ${prefix}${gateway} dev ${nexthop.dev?.name}`];
    }
    case "bridge":
      return step.decision === "local"
        ? [`bridge ${step.bridge.name} finds its own MAC on the frame, so the node routes it`]
        : [`${step.bridge.name} ${step.decision}s it to ${step.to.map((d) => d.name).join(", ")}`];
    case "datapath": {
      const { datapath, event, to } = step;
      if (event === "miss") return [`${datapath.name} has no flow for it and asks its program`];
      return to.length === 0 ? [] : [`${datapath.name} sends it to ${to.join(", ")}`];
    }
    case "encapsulate": {
      const { outer } = step;
      const port = outer.payload instanceof UdpDatagram ? outer.payload.dstPort : undefined;
      const to = port === undefined ? formatIp(outer.dst) : formatEndpoint(outer.dst, port);
      return [`${step.dev.name} wraps it: ${step.protocol}, ${formatIp(outer.src)} -> ${to}`];
    }
    case "decapsulate":
      return [`${step.dev.name} unwraps it`];
    case "deliver":
      return isTunnelSocket(step) ? [] : ["received"];
    case "drop":
      // A copy that a program has captured, or a switch has flooded, ends where nobody it is for looks at it.
      if (step.reason === "OTHERHOST") return [];
      return [`lost: ${step.reason} ${step.detail}`.trim()];
    default:
      return [];
  }
}

/** Namespaces of pods have long names. */
function shortPlace(place: string): string {
  const [node, netns = ""] = place.split("/");
  return netns === "host" ? `${node}` : "pod";
}
