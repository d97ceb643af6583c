import type { Origin } from "@cnilab/core";

/** Of a rule that drops what no policy has let through: one for all policies. */
export function npcOrigin(direction: "ingress" | "egress"): Origin {
  return {
    kind: "DaemonSet",
    namespace: "kube-system",
    name: "weave-net",
    detail: `${direction}, no policy allows this`,
    enforcesPolicy: true,
  };
}
