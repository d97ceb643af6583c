import type { Comparison } from "./comparison.ts";
import type { NodePortOutcome } from "./finding.ts";
import { nameOf } from "./heading.ts";
import { alike, pick, pickAny } from "./names-in-text.ts";

const CLIENT = "the client";

/** Whose address a server sees of a client outside, and why it is not the client's. */
export function explainSources({ findings, nodePort }: Comparison): string {
  if (nodePort === undefined) return "";
  const names = findings.map(nameOf);
  const groups = alike(nodePort.found, (each) => fate(each?.cluster));
  const texts = groups.flatMap((group) => {
    const outcome = nodePort.found[group[0] as number]?.cluster;
    if (outcome === undefined) return [];
    const who = pick(names, group);
    switch (fate(outcome)) {
      case "hidden":
        return [
          `the node that was asked took the client's place on ${who}, so that answers come back through it`,
        ];
      case "seen":
        return [`the server sees the client itself on ${who}`];
      default:
        return [`nobody answers on ${pickAny(names, group)} (${outcome.verdict})`];
    }
  });
  const local = nodePort.found.every((each) => fate(each?.local) === "seen");
  const rest = local ? "; with Local only nodes that have a pod answer, and the address stays" : "";
  return texts.length === 0 ? "" : `At a NodePort with policy Cluster ${texts.join("; ")}${rest}.`;
}

function fate(outcome: NodePortOutcome | undefined): string {
  if (outcome?.seenAs === undefined) return outcome?.verdict ?? "";
  return outcome.seenAs.who === CLIENT ? "seen" : "hidden";
}
