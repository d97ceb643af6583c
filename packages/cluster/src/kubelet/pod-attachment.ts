import type { Pod, PodAttachment, PortMapping, Sandbox } from "@cnilab/core";
import type { IpAddress } from "@cnilab/net";

/** What a container runtime hands to the network for a pod. */
export function podAttachment(
  pod: Pod,
  sandbox: Sandbox,
  containerId: string,
  requestedIps: readonly IpAddress[] | undefined,
): PodAttachment {
  const { namespace, name, uid, labels, annotations } = pod.metadata;
  const bandwidth = bandwidthOf(annotations ?? NONE);
  return {
    containerId,
    ifName: "eth0",
    sandbox,
    pod: {
      namespace: namespace as string,
      name,
      uid: uid as string,
      labels: labels ?? NONE,
      annotations: annotations ?? NONE,
    },
    portMappings: portMappingsOf(pod),
    ...(requestedIps === undefined ? {} : { requestedIps }),
    ...(bandwidth === undefined ? {} : { bandwidth }),
  };
}

const NONE: Readonly<Record<string, string>> = {};
const NO_MAPPINGS: readonly PortMapping[] = [];

/** Host ports of containers that do not share the node's network. */
function portMappingsOf(pod: Pod): readonly PortMapping[] {
  let found: PortMapping[] | undefined;
  for (const { ports } of pod.spec.containers) {
    for (const { hostPort, containerPort, protocol = "TCP", hostIP } of ports ?? []) {
      if (hostPort === undefined || hostPort === 0) continue;
      found ??= [];
      found.push({
        hostPort,
        containerPort,
        protocol,
        ...(hostIP === undefined || hostIP === "" ? {} : { hostIP }),
      });
    }
  }
  return found ?? NO_MAPPINGS;
}

/** `kubernetes.io/ingress-bandwidth` and `egress-bandwidth`, with a burst as the kubelet gives it. */
function bandwidthOf(annotations: Readonly<Record<string, string>>): PodAttachment["bandwidth"] {
  const ingress = annotations["kubernetes.io/ingress-bandwidth"];
  const egress = annotations["kubernetes.io/egress-bandwidth"];
  if (ingress === undefined && egress === undefined) return undefined;
  const ingressRate = ingress === undefined ? undefined : quantity(ingress);
  const egressRate = egress === undefined ? undefined : quantity(egress);
  return {
    ...(ingressRate === undefined ? {} : { ingressRate, ingressBurst: BURST }),
    ...(egressRate === undefined ? {} : { egressRate, egressBurst: BURST }),
  };
}

/** Bits: containerd gives the largest that a signed 32-bit number holds (go-cni WithCapabilityBandWidth). */
const BURST = 2 ** 31 - 1;

const FACTORS: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
};

/** A resource quantity as `10M` or `1.5Gi`; `undefined` when it is not one. */
export function quantity(text: string): number | undefined {
  const match = /^([0-9]+(?:\.[0-9]+)?)(k|M|G|T|Ki|Mi|Gi|Ti)?$/.exec(text.trim());
  if (match === null) return undefined;
  return Number(match[1]) * (FACTORS[match[2] ?? ""] as number);
}
