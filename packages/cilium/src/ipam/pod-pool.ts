import type { ApiClient, IpamRequest, Labels } from "@cnilab/core";
import type { IpFamily } from "@cnilab/net";
import { DEFAULT_POOL } from "./address-source.ts";

/** Annotations of pods and namespaces that name a pool (pkg/annotation/k8s.go). */
const POOL = "ipam.cilium.io/ip-pool";
const POOL_OF: Readonly<Record<IpFamily, string>> = {
  4: "ipam.cilium.io/ipv4-pool",
  6: "ipam.cilium.io/ipv6-pool",
};

/** The pool that a pod's address is from: what it says, or its namespace, or the default one (pkg/ipam/metadata/manager.go). */
export function poolOfPod(api: ApiClient, { pod }: IpamRequest, family: IpFamily): string {
  if (pod === undefined) return DEFAULT_POOL;
  const own = named(pod.annotations, family);
  if (own !== undefined) return own;
  const namespace = api.get("Namespace", pod.namespace);
  return named(namespace?.metadata.annotations ?? {}, family) ?? DEFAULT_POOL;
}

function named(annotations: Labels, family: IpFamily): string | undefined {
  return annotations[POOL_OF[family]] || annotations[POOL] || undefined;
}
