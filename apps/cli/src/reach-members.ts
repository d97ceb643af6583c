import type { Cluster } from "@cnilab/cluster";
import {
  InputError,
  isAddOn,
  type KubeObject,
  objectKey,
  type Pod,
  type Protocol,
} from "@cnilab/core";

/** A workload of a running cluster, by the first of its running pods. */
export interface ReachMember {
  /** `namespace/name` of the workload; that of the pod where nothing owns it. */
  readonly name: string;
  readonly pod: Pod;
  readonly ports: readonly { readonly protocol: Protocol; readonly port: number }[];
}

/**
 * The workloads of the input that have a pod with a network of its own, by name, with the ports that its containers declare.
 * @throws InputError where nothing runs
 */
export function reachMembers(cluster: Cluster): readonly ReachMember[] {
  const members = runningMembers(cluster);
  if (members.length === 0) throw new InputError("no pod of the input runs", "reach");
  return members;
}

/** The same, and none where nothing runs. */
export function runningMembers({ api }: Cluster): readonly ReachMember[] {
  const found = new Map<string, ReachMember>();
  const pods = [...api.list("Pod")].sort((x, y) => (objectKey(x) < objectKey(y) ? -1 : 1));
  for (const pod of pods) {
    if (pod.spec.hostNetwork === true || pod.status?.podIP === undefined) continue;
    if (isAddOn(pod)) continue;
    const name = workloadOf(api, pod);
    if (found.has(name)) continue;
    const ports = pod.spec.containers.flatMap((container) =>
      (container.ports ?? []).map(({ protocol = "TCP", containerPort: port }) => ({
        protocol,
        port,
      })),
    );
    found.set(name, { name, pod, ports });
  }
  return [...found.values()].sort((x, y) => (x.name < y.name ? -1 : 1));
}

/** `namespace/name` of what a pod is of, or its own. */
export function workloadOf(api: Cluster["api"], pod: Pod): string {
  return `${pod.metadata.namespace}/${topOwner(api, pod)}`;
}

/** A pod of a Deployment belongs to its ReplicaSet, which belongs to the Deployment. */
function topOwner(api: Cluster["api"], object: KubeObject): string {
  const owner = object.metadata.ownerReferences?.find(({ controller }) => controller === true);
  if (owner?.kind !== "ReplicaSet") return owner?.name ?? object.metadata.name;
  const set = api.get("ReplicaSet", `${object.metadata.namespace}/${owner.name}`);
  return set === undefined ? owner.name : topOwner(api, set);
}
