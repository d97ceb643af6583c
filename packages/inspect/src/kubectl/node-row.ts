import type { Node } from "@cnilab/core";
import { age } from "./human-duration.ts";

const ROLE_LABEL_PREFIX = "node-role.kubernetes.io/";

/** printers.go `printNode`. */
export function nodeRow(node: Node, now: number): string[] {
  const { metadata, status } = node;
  const info = status?.nodeInfo ?? {};
  const address = (type: string): string =>
    status?.addresses?.find((a) => a.type === type)?.address ?? "<none>";
  return [
    metadata.name,
    nodeStatus(node),
    nodeRoles(node),
    age(metadata.creationTimestamp, now),
    info["kubeletVersion"] ?? "",
    address("InternalIP"),
    address("ExternalIP"),
    info["osImage"] || "<unknown>",
    info["kernelVersion"] || "<unknown>",
    info["containerRuntimeVersion"] || "<unknown>",
  ];
}

function nodeStatus({ spec, status }: Node): string {
  const ready = status?.conditions?.find((c) => c.type === "Ready");
  const state = ready === undefined ? "Unknown" : ready.status === "True" ? "Ready" : "NotReady";
  return spec?.unschedulable ? `${state},SchedulingDisabled` : state;
}

/** `master,worker`; `<none>` where its labels name none. */
export function nodeRoles({ metadata }: Node): string {
  const found = new Set<string>();
  for (const [key, value] of Object.entries(metadata.labels ?? {})) {
    if (key.startsWith(ROLE_LABEL_PREFIX) && key.length > ROLE_LABEL_PREFIX.length) {
      found.add(key.slice(ROLE_LABEL_PREFIX.length));
    } else if (key === "kubernetes.io/role" && value !== "") {
      found.add(value);
    }
  }
  return found.size === 0 ? "<none>" : [...found].sort().join(",");
}
