import type { Cluster, Connection } from "@cnilab/cluster";
import { isPolicyKind, isPolicyOrigin, type Origin, objectKey } from "@cnilab/core";
import type { ReachMember } from "../reach-members.ts";
import type { Pair, PairOutcome } from "./finding.ts";

/** Of a pair of which nobody is there to speak. */
export const NOT_RUNNING: PairOutcome = { verdict: "not running", reason: "an end does not run" };

/** Sends packets from each pair's source to its destination, each time as if nobody had spoken before. */
export function reachOutcomes(
  cluster: Cluster,
  members: ReadonlyMap<string, ReachMember>,
  pairs: readonly Pair[],
): PairOutcome[] {
  return pairs.map(({ source, destination, protocol, port }) => {
    const [from, to] = [members.get(source), members.get(destination)];
    if (from === undefined || to === undefined) return NOT_RUNNING;
    cluster.forgetConnections();
    return outcome(
      cluster.connect({
        from: cluster.endpoint(objectKey(from.pod)),
        to: cluster.endpoint(objectKey(to.pod)),
        protocol,
        port,
      }),
    );
  });
}

function outcome({ verdict, reason, drops }: Connection): PairOutcome {
  const origin = drops.find(({ rule }) => isPolicyOrigin(rule?.origin))?.rule?.origin;
  if (origin === undefined) return { verdict, reason };
  return { verdict, reason, blockedBy: nameOf(origin) };
}

/** `default/deny-all`, with the kind before it where it is no NetworkPolicy, and a word where no policy made the rule. */
function nameOf({ kind, namespace, name, enforcesPolicy }: Origin): string {
  const key = namespace === undefined ? name : `${namespace}/${name}`;
  const whole = kind === "NetworkPolicy" ? key : `${kind} ${key}`;
  return enforcesPolicy === true && !isPolicyKind(kind)
    ? `default deny, as no policy allows it (rule of ${whole})`
    : whole;
}
