import type { Namespace, Node } from "@cnilab/core";
import { age } from "../human-duration.ts";
import { nodeRoles } from "../node-row.ts";
import { type Description, rfc1123 } from "./description.ts";
import type { RelatedObjects } from "./related-objects.ts";

/** Fields that are shown, and that nothing else here reads. */
interface ShownCondition {
  readonly lastHeartbeatTime?: string;
}

const SYSTEM_INFO = [
  ["Machine ID", "machineID"],
  ["System UUID", "systemUUID"],
  ["Boot ID", "bootID"],
  ["Kernel Version", "kernelVersion"],
  ["OS Image", "osImage"],
  ["Operating System", "operatingSystem"],
  ["Architecture", "architecture"],
  ["Container Runtime Version", "containerRuntimeVersion"],
  ["Kubelet Version", "kubeletVersion"],
] as const;

/** `kubectl describe node` (pkg/describe `describeNode`), without leases and without sums of requests and limits. */
export function describeNode(to: Description, node: Node, related: RelatedObjects): void {
  const { metadata, spec = {}, status = {} } = node;
  to.field("Name", metadata.name);
  to.field("Roles", nodeRoles(node));
  to.labels("Labels", metadata.labels);
  to.annotations("Annotations", metadata.annotations);
  to.field("CreationTimestamp", rfc1123(metadata.creationTimestamp));
  const taints = [...(spec.taints ?? [])].sort((x, y) =>
    `${x.effect},${x.key}` < `${y.effect},${y.key}` ? -1 : 1,
  );
  to.list(
    "Taints",
    taints.map(({ key, value, effect }) => `${key}${value ? `=${value}` : ""}:${effect}`),
  );
  to.field("Unschedulable", spec.unschedulable ?? false);
  if (status.conditions?.length) {
    to.line(0, "Conditions:");
    to.line(0, "  Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage");
    to.line(1, "----\t------\t-----------------\t------------------\t------\t-------");
    for (const condition of status.conditions) {
      const { type, status: state, lastTransitionTime, reason = "", message = "" } = condition;
      const { lastHeartbeatTime = lastTransitionTime } = condition as ShownCondition;
      const times = `${rfc1123(lastHeartbeatTime)} \t${rfc1123(lastTransitionTime)}`;
      to.line(1, `${type} \t${state} \t${times} \t${reason} \t${message}`);
    }
  }
  to.line(0, "Addresses:");
  for (const { type, address } of status.addresses ?? []) to.line(1, `${type}:\t${address}`);
  const { capacity } = status as { readonly capacity?: typeof status.allocatable };
  for (const [title, amounts] of [
    ["Capacity", capacity],
    ["Allocatable", status.allocatable],
  ] as const) {
    const names = Object.keys(amounts ?? {}).sort();
    if (names.length > 0) to.line(0, `${title}:`);
    for (const name of names) to.line(1, `${name}:\t${amounts?.[name]}`);
  }
  to.line(0, "System Info:");
  for (const [title, field] of SYSTEM_INFO)
    to.line(1, `${title}:\t${status.nodeInfo?.[field] ?? ""}`);
  if (spec.podCIDR) to.field("PodCIDR", spec.podCIDR);
  if (spec.podCIDRs?.length) to.field("PodCIDRs", spec.podCIDRs.join(","));
  const pods = related
    .podsOn(metadata.name)
    .filter(({ status: own }) => own?.phase !== "Succeeded" && own?.phase !== "Failed");
  to.field("Non-terminated Pods", `(${pods.length} in total)`);
  to.line(1, "Namespace\tName\t\tAge");
  to.line(1, "---------\t----\t\t---");
  const rows = pods.map(({ metadata: own }) => {
    const { namespace = "default", name, creationTimestamp } = own;
    return {
      key: `${namespace}/${name}`,
      row: `${namespace}\t${name}\t\t${age(creationTimestamp, to.now)}`,
    };
  });
  for (const { row } of rows.sort((x, y) => (x.key < y.key ? -1 : 1))) to.line(1, row);
}

/** `kubectl describe namespace` (`describeNamespace`): nothing here limits what a namespace may have. */
export function describeNamespace(to: Description, { metadata, status }: Namespace): void {
  to.field("Name", metadata.name);
  to.labels("Labels", metadata.labels);
  to.annotations("Annotations", metadata.annotations);
  to.field("Status", status?.phase ?? "Active");
  to.line(0, "");
  to.line(0, "No resource quota.");
  to.line(0, "");
  to.line(0, "No LimitRange resource.");
}
