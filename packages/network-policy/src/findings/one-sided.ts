import { hasBit } from "../analyse/bits.ts";
import type { PolicyAnalysis } from "../analyse/policy-analysis.ts";
import { PortSet } from "../connections/port-set.ts";
import { type Workload, workloadName } from "../connections/workloads.ts";
import type { Direction, Policy } from "../policy/policy.ts";
import { closes } from "../policy/tier.ts";
import type { Finding } from "./finding.ts";

/**
 * Pairs that a rule of one side names by its pods and ports, while the other side's policies forbid all of it: a hole that
 * leads nowhere, or a forgotten half.
 */
export function oneSided(
  policies: readonly Policy[],
  all: readonly Workload[],
  analysis: PolicyAnalysis,
): readonly Finding[] {
  const placeOf = new Map<Workload, number>();
  let next = 0;
  for (const workload of all) {
    placeOf.set(workload, next);
    next += workload.pods.length;
  }
  const classOf = (workload: Workload) =>
    analysis.classes.classOf[placeOf.get(workload) as number] as number;
  return all.flatMap((source) =>
    all.flatMap((destination) => {
      if (source === destination) return [];
      return (["egress", "ingress"] as const).flatMap((side) => {
        const [own, peer] = side === "egress" ? [source, destination] : [destination, source];
        if (!isNamed(side, classOf(own), classOf(peer), policies, analysis)) return [];
        const lost = lostPorts(side, classOf(source), classOf(destination), analysis);
        if (lost === undefined) return [];
        const message =
          side === "egress"
            ? `may send ${lost} to ${workloadName(destination)}, whose ingress policies let nothing of it in`
            : `lets ${lost} in from ${workloadName(source)}, whose egress policies let nothing of it out`;
        return [
          {
            kind: "one-sided" as const,
            level: "warning" as const,
            object: workloadName(own),
            message,
          },
        ];
      });
    }),
  );
}

/** Whether a policy of the endpoint that closes it has a rule for that peer, and not for everybody. */
function isNamed(
  side: Direction,
  own: number,
  peer: number,
  policies: readonly Policy[],
  analysis: PolicyAnalysis,
): boolean {
  return policies.some(
    (policy) =>
      closes(policy, side) &&
      hasBit(analysis.classes.admittedBy(policy.subject), own) &&
      (policy[side] ?? []).some(
        (rule) =>
          rule.action === "Allow" &&
          rule.peers !== undefined &&
          hasBit(analysis.peersOf(rule), peer),
      ),
  );
}

/** What one side allows where the other allows none of it; nothing where they meet somewhere. */
function lostPorts(
  side: Direction,
  source: number,
  destination: number,
  analysis: PolicyAnalysis,
): PortSet | undefined {
  const allowed: number[] = [];
  for (const port of analysis.portClasses.keys()) {
    const matrix = analysis.matrix(port);
    const egress = hasBit(matrix.egress(source), destination);
    const ingress = hasBit(matrix.ingress(destination), source);
    if (egress && ingress) return undefined;
    if (side === "egress" ? egress : ingress) allowed.push(port);
  }
  return allowed.length === 0 ? undefined : new PortSet(analysis.portClasses, allowed);
}
