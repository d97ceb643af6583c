import { InputError } from "@cnilab/core";
import type { NetNamespace } from "@cnilab/linux";
import type { Walkable } from "./walkable.ts";

/** The network namespace of a pod, named as `ns/pod`, `pod` or `deploy/NAME`. @throws InputError */
export function podNamespace(
  cluster: Walkable,
  name: string,
  where: { readonly node?: string | undefined; readonly namespace?: string | undefined } = {},
): NetNamespace {
  const scope = where.namespace === undefined ? {} : { namespace: where.namespace };
  const endpoint = cluster.endpoint(name, scope);
  const key =
    endpoint.kind === "pod"
      ? endpoint.key
      : endpoint.kind === "name"
        ? `${endpoint.namespace}/${endpoint.name}`
        : undefined;
  const pod = key === undefined ? undefined : cluster.api.get("Pod", key);
  if (pod === undefined) throw new InputError(`there is no pod ${key ?? name}`, "--pod");
  const { nodeName } = pod.spec;
  if (where.node !== undefined && where.node !== nodeName) {
    throw new InputError(
      `pod ${key} runs on ${nodeName ?? "no node"}, not on ${where.node}`,
      "--node",
    );
  }
  const netns = cluster.nodes.get(nodeName ?? "")?.kubelet.sandboxOf(pod.metadata.uid ?? "");
  if (netns === undefined) throw new InputError(`pod ${key} has no network namespace yet`, "--pod");
  return netns;
}
