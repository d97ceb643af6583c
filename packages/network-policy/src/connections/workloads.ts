import type { KubeObject, Labels, OwnerReference, Pod, PodSpec } from "@cnilab/core";
import { IPV4_ANY } from "@cnilab/net";
import { labelsByNamespace, namedPorts, type PolicyEndpoint } from "../policy/policy-endpoint.ts";
import type { PolicyView } from "../policy/policy-reader.ts";

/** What runs under one name, as a person thinks of it: a Deployment rather than its pods. */
export interface Workload {
  readonly namespace: string;
  readonly name: string;
  readonly kind: string;
  /** Its pods, each kind of them once: those of a template, or of the pods that name it as their owner. */
  readonly pods: readonly PolicyEndpoint[];
  /** What they run, for each of them. */
  readonly specs: readonly PodSpec[];
}

/** `namespace/name[Kind]` */
export function workloadName({ namespace, name, kind }: Workload): string {
  return `${namespace}/${name}[${kind}]`;
}

/**
 * The workloads among some objects, by name. Pods with a common owner are one. Addresses are left open, as manifests
 * have none.
 * @param endpoint makes of a pod what policies look at
 */
export function workloads(
  objects: readonly KubeObject[],
  endpoint: PolicyView["endpoint"] = (plain) => plain,
): readonly Workload[] {
  const labelsOf = labelsByNamespace(objects);
  const found = new Map<string, OpenWorkload>();
  for (const object of objects) {
    const pod = podOf(object);
    if (pod === undefined) continue;
    const namespace = object.metadata.namespace ?? "default";
    const { kind, name } = pod.owner;
    const key = `${namespace}/${name}[${kind}]`;
    let entry = found.get(key);
    if (entry === undefined) {
      entry = { namespace, name, kind, pods: [], specs: [] };
      found.set(key, entry);
    }
    entry.specs.push(pod.spec);
    const plain: PolicyEndpoint = {
      name: key,
      address: IPV4_ANY,
      pod: {
        namespace,
        namespaceLabels: labelsOf(namespace),
        labels: pod.labels,
        serviceAccount: pod.spec.serviceAccountName ?? "default",
      },
      ports: namedPorts(pod.spec),
    };
    entry.pods.push(endpoint(plain));
  }
  return [...found.keys()].sort().map((key) => distinct(found.get(key) as Workload));
}

interface OpenWorkload extends Workload {
  readonly pods: PolicyEndpoint[];
  readonly specs: PodSpec[];
}

/** Replicas are alike: each kind of them is kept once. */
function distinct(workload: Workload): Workload {
  const places = new Map<string, number>();
  workload.pods.forEach(({ pod }, i) => {
    const key = JSON.stringify([pod, workload.specs[i]]);
    if (!places.has(key)) places.set(key, i);
  });
  const kept = [...places.values()];
  return {
    ...workload,
    pods: kept.map((i) => workload.pods[i] as PolicyEndpoint),
    specs: kept.map((i) => workload.specs[i] as PodSpec),
  };
}

interface PodOfWorkload {
  readonly owner: Pick<OwnerReference, "kind" | "name">;
  readonly labels: Labels;
  readonly spec: PodSpec;
}

interface PodTemplate {
  readonly metadata?: { readonly labels?: Labels };
  readonly spec: PodSpec;
}

function podOf(object: KubeObject): PodOfWorkload | undefined {
  const { kind, metadata } = object;
  if (kind === "Pod") {
    // A static pod is owned by its node.
    const owner = metadata.ownerReferences?.find((each) => each.kind !== "Node");
    return {
      owner: { kind: owner?.kind ?? kind, name: owner?.name ?? metadata.name },
      labels: metadata.labels ?? {},
      spec: (object as Pod).spec,
    };
  }
  const template = podTemplate(object);
  return (
    template && {
      owner: { kind, name: metadata.name },
      labels: template.metadata?.labels ?? {},
      spec: template.spec,
    }
  );
}

function podTemplate(object: KubeObject): PodTemplate | undefined {
  switch (object.kind) {
    case "Deployment":
    case "StatefulSet":
    case "DaemonSet":
    case "ReplicaSet":
    case "ReplicationController":
    case "Job":
      return (object as unknown as { readonly spec: { readonly template: PodTemplate } }).spec
        .template;
    case "CronJob":
      return (
        object as unknown as {
          readonly spec: {
            readonly jobTemplate: { readonly spec: { readonly template: PodTemplate } };
          };
        }
      ).spec.jobTemplate.spec.template;
    default:
      return undefined;
  }
}
