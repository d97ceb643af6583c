import { InputError, type Labels, type Node } from "@cnilab/core";
import {
  familyOf,
  formatIp,
  type IpFamily,
  type Prefix,
  tryParseIp,
  tryParsePrefix,
} from "@cnilab/net";
import type { Lease, LeaseAttributes } from "./lease.ts";

/** The keys of a node's annotations that flanneld reads and writes (pkg/subnet/kube/annotations.go). */
export interface AnnotationNames {
  readonly kubeSubnetManager: string;
  readonly backendType: string;
  readonly backendData: string;
  readonly backendV6Data: string;
  readonly publicIp: string;
  readonly publicIpv6: string;
  readonly publicIpOverwrite: string;
  readonly publicIpv6Overwrite: string;
  readonly nodePublicIp: string;
  readonly nodePublicIpv6: string;
}

/** @param prefix `--kube-annotation-prefix`. @throws InputError */
export function annotationNames(prefix: string): AnnotationNames {
  const slashes = prefix.split("/").length - 1;
  if (slashes > 1)
    throw new InputError(`the annotation prefix "${prefix}" has more than one slash`);
  let start = slashes === 0 ? `${prefix}/` : prefix;
  if (!/[/-]$/.test(start)) start += "-";
  if (!/([a-z0-9_-]+\.)+[a-z0-9_-]+\/([a-z0-9_-]+-)?$/.test(start)) {
    throw new InputError(`the annotation prefix "${prefix}" is not a domain name and a slash`);
  }
  return {
    kubeSubnetManager: `${start}kube-subnet-manager`,
    backendType: `${start}backend-type`,
    backendData: `${start}backend-data`,
    backendV6Data: `${start}backend-v6-data`,
    publicIp: `${start}public-ip`,
    publicIpv6: `${start}public-ipv6`,
    publicIpOverwrite: `${start}public-ip-overwrite`,
    publicIpv6Overwrite: `${start}public-ipv6-overwrite`,
    nodePublicIp: `${start}node-public-ip`,
    nodePublicIpv6: `${start}node-public-ipv6`,
  };
}

/** Which families flanneld serves: `EnableIPv4` and `EnableIPv6`. */
export interface Families {
  readonly enableIPv4: boolean;
  readonly enableIPv6: boolean;
}

/** A node's pod range of one family: the first in `podCIDRs`, or `podCIDR`. */
export function podCidrOf(node: Node, family: IpFamily): Prefix | undefined {
  const { podCIDR, podCIDRs = [] } = node.spec ?? {};
  for (const text of podCIDRs.length > 0 ? podCIDRs : [podCIDR ?? ""]) {
    const prefix = tryParsePrefix(text);
    if (prefix?.family === family) return prefix;
  }
  return undefined;
}

/** Whether flanneld of other nodes sees this node at all. */
export function isManaged(node: Node, names: AnnotationNames): boolean {
  return node.metadata.annotations?.[names.kubeSubnetManager] === "true";
}

/** A node's lease as the others read it (nodeToLease); `undefined` where something is missing. */
export function nodeToLease(
  node: Node,
  names: AnnotationNames,
  families: Families,
): Lease | undefined {
  const annotations = node.metadata.annotations ?? {};
  const { enableIPv4, enableIPv6 } = families;
  const publicIp = tryParseIp(annotations[names.publicIp] ?? "");
  const publicIpv6 = tryParseIp(annotations[names.publicIpv6] ?? "");
  const subnet = enableIPv4 ? podCidrOf(node, 4) : undefined;
  const ipv6Subnet = enableIPv6 ? podCidrOf(node, 6) : undefined;
  if (enableIPv4 && (typeof publicIp !== "number" || subnet === undefined)) return undefined;
  if (enableIPv6 && (typeof publicIpv6 !== "object" || ipv6Subnet === undefined)) return undefined;
  return {
    enableIPv4,
    enableIPv6,
    subnet,
    ipv6Subnet,
    attributes: {
      publicIp: enableIPv4 && typeof publicIp === "number" ? publicIp : undefined,
      publicIpv6: enableIPv6 && typeof publicIpv6 === "object" ? publicIpv6 : undefined,
      backendType: annotations[names.backendType] ?? "",
      backendData: enableIPv4 ? (annotations[names.backendData] ?? "") : "null",
      backendV6Data: enableIPv6 ? (annotations[names.backendV6Data] ?? "") : "null",
    },
  };
}

/**
 * Whether a changed node is news to a running flanneld (handleUpdateLeaseEvent). With both families
 * enabled, a change of one alone is taken for none; a change of `podCIDR` is never looked at.
 */
export function isNews(
  old: Labels,
  now: Labels,
  names: AnnotationNames,
  families: Families,
): boolean {
  const same = (keys: readonly string[]) => keys.every((key) => old[key] === now[key]);
  const { backendType, backendData, backendV6Data, publicIp, publicIpv6 } = names;
  if (families.enableIPv4 && same([backendData, backendType, publicIp])) return false;
  return !(families.enableIPv6 && same([backendV6Data, backendType, publicIpv6]));
}

/** Backends whose `backend-v6-data` is written, if what they have to say is not null. */
const DUAL_STACK: readonly string[] = ["vxlan", "host-gw", "wireguard"];

/** A node's annotations once its flanneld has told of itself (AcquireLease); the same object where nothing changes. */
export function annotate(old: Labels, attributes: LeaseAttributes, names: AnnotationNames): Labels {
  const { backendType, backendData, backendV6Data, publicIp, publicIpv6 } = attributes;
  const now: Record<string, string> = { ...old, [names.backendType]: backendType };
  const needsData = backendType === "vxlan" || backendType === "wireguard";
  if (!needsData || backendData !== "null") {
    now[names.backendData] = backendData;
    // An IPv4 address that there is none of is written as Go's zero value.
    now[names.publicIp] = old[names.publicIpOverwrite] || formatIp(publicIp ?? 0);
  }
  const tellsV6 =
    publicIpv6 !== undefined &&
    DUAL_STACK.includes(backendType) &&
    (!needsData || backendV6Data !== "null");
  if (tellsV6) {
    now[names.backendV6Data] = backendV6Data;
    now[names.publicIpv6] = old[names.publicIpv6Overwrite] || formatIp(publicIpv6);
  }
  now[names.kubeSubnetManager] = "true";
  return Object.keys(now).every((key) => now[key] === old[key]) ? old : now;
}

/** The family of an address in an annotation, where it is one. */
export function addressIn(
  annotations: Labels,
  name: string,
  family: IpFamily,
): ReturnType<typeof tryParseIp> {
  const address = tryParseIp(annotations[name] ?? "");
  return address !== undefined && familyOf(address) === family ? address : undefined;
}
