import type { Node, NodeContext } from "@cnilab/core";
import { type IpFamily, type Prefix, tryParsePrefix } from "@cnilab/net";
import { CiliumNodes } from "../agent/cilium-nodes.ts";
import type { ClusterCilium } from "../agent/cluster-cilium.ts";
import { podCidrsOf } from "../operator/cluster-pool.ts";
import type { RangeFinder } from "./pod-cidr-source.ts";

/** Where other tools than the controller manager write a node's range (pkg/annotation/k8s.go V4CIDRName, V6CIDRName, and their older names). */
const ANNOTATIONS: Readonly<Record<IpFamily, readonly string[]>> = {
  4: ["network.cilium.io/ipv4-pod-cidr", "io.cilium.network.ipv4-pod-cidr"],
  6: ["network.cilium.io/ipv6-pod-cidr", "io.cilium.network.ipv6-pod-cidr"],
};

/** Of the CiliumNode, from the operator. */
export function ciliumNodeRanges(node: string, cluster: ClusterCilium): RangeFinder {
  const nodes = () => cluster.part(CiliumNodes);
  return {
    watch: (found) =>
      nodes().listenTo(node, (object) => {
        if (object !== undefined) found(podCidrsOf(object));
      }),
    waitsFor: () => {
      const error = nodes().get(node)?.status?.ipam?.["operator-status"]?.error;
      return error ?? `waiting for the operator to write spec.ipam.podCIDRs of CiliumNode ${node}`;
    },
  };
}

/** Of the Node, from the controller manager. */
export function kubernetesRanges(
  { api, name, clock }: NodeContext,
  families: readonly IpFamily[],
): RangeFinder {
  return {
    watch: (found) => {
      // It hardly ever waits: the range is there before the agent is. Until then it looks again as the real one does (pkg/k8s/init.go WaitForNodeInformation).
      let ended = false;
      const look = () => {
        const node = api.get("Node", name);
        const ranges = node === undefined ? [] : nodeRanges(node);
        found(ranges);
        const complete = families.every((f) => ranges.some((r) => r.family === f));
        if (!complete && !ended)
          clock.schedule(RETRY_MS, () => ended || look(), { background: true });
      };
      look();
      return () => {
        ended = true;
      };
    },
    waitsFor: () => `waiting for spec.podCIDRs of Node ${name}`,
  };
}

const RETRY_MS = 500;

function nodeRanges({ metadata, spec }: Node): Prefix[] {
  const given = (spec?.podCIDRs ?? [spec?.podCIDR ?? ""])
    .map(tryParsePrefix)
    .filter((p) => p !== undefined);
  const annotated = ([4, 6] as const).flatMap((family) => {
    const text = ANNOTATIONS[family]
      .map((key) => metadata.annotations?.[key])
      .find((t) => t !== undefined);
    const range = text === undefined ? undefined : tryParsePrefix(text);
    return range?.family === family ? [range] : [];
  });
  return [...given, ...annotated.filter((a) => given.every((g) => g.family !== a.family))];
}
