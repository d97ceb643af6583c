import type { Trace } from "@cnilab/linux";
import { formatEndpoint, formatIp, UdpDatagram } from "@cnilab/net";
import { type TracedStep, traceHops, tracePackets } from "./hops.ts";

/** The way of a trace's first packet in plain steps, a line for each namespace that it passes. */
export function plainWalk(trace: Trace, maxLines: number): string[] {
  const first = tracePackets(trace).find((p) => p.direction === "there");
  if (first === undefined) return [];
  const stops: { place: string; phrases: string[] }[] = [];
  for (const hop of traceHops(trace)) {
    if (hop.packet !== first.number) continue;
    const phrases = hop.steps.flatMap(phrase);
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
        ? [`bridge ${step.bridge.name} takes the frame: it is for its own MAC`]
        : [
            `bridge ${step.bridge.name} ${step.decision}s it to ${step.to.map((d) => d.name).join(", ")}`,
          ];
    case "encapsulate": {
      const { outer } = step;
      const port = outer.payload instanceof UdpDatagram ? outer.payload.dstPort : undefined;
      const to = port === undefined ? formatIp(outer.dst) : formatEndpoint(outer.dst, port);
      return [`${step.dev.name} wraps it: ${step.protocol}, ${formatIp(outer.src)} -> ${to}`];
    }
    case "decapsulate":
      return [`${step.dev.name} unwraps it`];
    case "deliver":
      return step.socket?.owner.startsWith("kernel ") === true ? [] : ["received"];
    case "drop":
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
