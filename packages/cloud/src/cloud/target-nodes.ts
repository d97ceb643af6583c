import type { Node } from "@cnilab/core";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";

const EXCLUDE_LABEL = "node.kubernetes.io/exclude-from-external-load-balancers";
const TO_BE_DELETED = "ToBeDeletedByClusterAutoscaler";

/** Whether load balancers may use a node; readiness is the health check's business (KEP-3458). */
export function isEligible({ metadata, spec }: Node): boolean {
  if (metadata.labels?.[EXCLUDE_LABEL] !== undefined) return false;
  return !(spec?.taints ?? []).some(({ key }) => key === TO_BE_DELETED);
}

/** Nodes that one load balancer uses at most (ingress-gce pkg/neg/syncers/subsets.go `maxSubsetSizeNetLBCluster`). */
const MOST_NODES = 250;

/** Of many nodes, those that a Service's load balancer uses: by hash, so that few change when one comes or goes. */
export function subset(nodes: readonly string[], service: string): readonly string[] {
  if (nodes.length <= MOST_NODES) return nodes;
  const hashed = nodes.map((name) => ({
    name,
    hash: bytesToHex(sha256(utf8ToBytes(`${name}:${service}`))),
  }));
  hashed.sort((x, y) => (x.hash < y.hash ? -1 : 1));
  return hashed.slice(0, MOST_NODES).map(({ name }) => name);
}
