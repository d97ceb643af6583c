import { formatOrigin, type Origin } from "@cnilab/core";
import type { FilterRule, Trace } from "@cnilab/linux";
import { tracePackets } from "./hops.ts";
import { type TraceLeg, traceLegs } from "./legs.ts";
import type { NameOf } from "./packet-text.ts";
import { proxyReason } from "./proxy-reasons.ts";

/**
 * What Services did to a connection, a line each: who chose which endpoint and why, and where the source was rewritten and why.
 * Empty where none had a hand in it.
 */
export function serviceSummary(trace: Trace, nameOf?: NameOf): string[] {
  const first = firstPackets(trace);
  const lines = new Set<string>();
  let service: Origin | undefined;
  let choice: string | undefined;
  let rewrites: string | undefined;
  for (const step of trace.steps) {
    if (!first.has(step.packet)) continue;
    const node = step.netns.kernel.hostname;
    if (step.kind === "rule") {
      if (step.rule.origin?.kind === "Service") service = step.rule.origin;
      const reason = proxyReason(step.rule, step.effect);
      if (reason?.about === "endpoint") choice = reason.text;
      // The mark says why; that it is there when the packet leaves says no more.
      if (reason?.about === "source") rewrites ??= reason.text;
      else if (/^(masquerade|snat)/i.test(step.effect)) rewrites ??= ruleName(step.rule);
      continue;
    }
    if (step.kind === "ipvs" && step.event === "new") {
      service = step.service.origin ?? service;
      choice = `${step.scheduler}, ${step.detail}`;
    }
    if (step.kind !== "nat" || step.reply) continue;
    if (step.manip === "source") {
      const why = rewrites === undefined ? "" : `: ${rewrites}`;
      lines.add(`${node} rewrites the source ${host(step.from)} to ${host(step.to)}${why}`);
      rewrites = undefined;
      continue;
    }
    const by = service === undefined ? "" : ` for Service ${service.namespace}/${service.name}`;
    const who = nameOf?.(host(step.to));
    const named = who === undefined ? step.to : `${step.to} (${who})`;
    lines.add(`${node} chooses ${named}${by}${choice === undefined ? "" : `: ${choice}`}`);
    choice = undefined;
  }
  return [...lines];
}

const DNS_PORT = 53;

/**
 * The first packet of each leg, without those that only asked for a name, unless there are no others; where no program has sent
 * anything, the first one there.
 */
function firstPackets(trace: Trace): ReadonlySet<number> {
  const legs = traceLegs(trace);
  const asks = ({ asked }: TraceLeg) => asked?.protocol === "UDP" && asked.dstPort === DNS_PORT;
  const told = legs.every(asks) ? legs : legs.filter((leg) => !asks(leg));
  const numbers = told.flatMap(({ there }) => [...there].slice(0, 1));
  if (numbers.length > 0) return new Set(numbers);
  const first = tracePackets(trace).find((p) => p.direction === "there");
  return new Set(first === undefined ? [] : [first.number]);
}

/** A rule that is not kube-proxy's, by its place and by who made it. */
function ruleName({ location, origin }: FilterRule): string {
  return `a rule of ${location}${origin === undefined ? "" : `, from ${formatOrigin(origin)}`}`;
}

/** `10.0.0.1` of `10.0.0.1:80`, `fd00::1` of `[fd00::1]:80`. */
function host(endpoint: string): string {
  const bracketed = /^\[(.*)\]/.exec(endpoint)?.[1];
  if (bracketed !== undefined) return bracketed;
  return endpoint.split(":").length === 2 ? (endpoint.split(":")[0] as string) : endpoint;
}
