import type { Container, KubeObject, Pod } from "@cnilab/core";
import { Prefix, tryParseIp, tryParsePrefix } from "@cnilab/net";
import type { QosControls } from "../calc/messages.ts";
import { vethName } from "../names/veth-name.ts";
import { workloadEndpointName } from "../names/workload-endpoint-name.ts";
import {
  LABEL_NAMESPACE,
  LABEL_ORCHESTRATOR,
  LABEL_SERVICE_ACCOUNT,
  NAMESPACE_PROFILE_PREFIX,
} from "./labels.ts";
import { serviceAccountProfileName } from "./profiles.ts";
import { egressDscp, qosControls } from "./qos-controls.ts";

/** A container port that has a name or a host port. */
export interface WorkloadEndpointPort {
  readonly name: string;
  readonly protocol: "TCP" | "UDP" | "SCTP";
  readonly port: number;
  readonly hostPort: number;
  readonly hostIP: string;
}

/** `projectcalico.org/v3` WorkloadEndpoint: with the Kubernetes datastore it is not stored but made from a pod. */
export interface WorkloadEndpointObject extends KubeObject {
  readonly kind: "WorkloadEndpoint";
  readonly spec: {
    readonly orchestrator: string;
    readonly node: string;
    readonly pod: string;
    readonly containerID?: string;
    readonly endpoint: string;
    readonly interfaceName: string;
    readonly profiles: readonly string[];
    /** Of a pod that has ended: none. */
    readonly ipNetworks: readonly string[];
    readonly ports?: readonly WorkloadEndpointPort[];
    readonly ipNATs?: readonly { readonly internalIP: string; readonly externalIP: string }[];
    readonly serviceAccountName?: string;
    readonly allowSpoofedSourcePrefixes?: readonly string[];
    readonly qosControls?: QosControls & { readonly dscp?: number };
  };
}

/** A pod that cannot be made an endpoint, by an annotation or address that cannot be read. */
export class PodConversionError extends Error {
  override name = "PodConversionError";
}

/** Annotations that Calico's CNI plugin writes, and reads (`libcalico-go/lib/backend/k8s/conversion/constants.go`). */
export const POD_ANNOTATIONS = {
  podIP: "cni.projectcalico.org/podIP",
  podIPs: "cni.projectcalico.org/podIPs",
  containerID: "cni.projectcalico.org/containerID",
  floatingIPs: "cni.projectcalico.org/floatingIPs",
  allowedSourcePrefixes: "cni.projectcalico.org/allowedSourcePrefixes",
} as const;
const NETWORK_STATUS = "k8s.v1.cni.cncf.io/network-status";
/** Longest value of a label. */
const MAX_LABEL_VALUE_LENGTH = 63;

/** Whether Calico has anything to do with a pod: it is on a node, and not on that node's own network (`conversion.go` IsValidCalicoWorkloadEndpoint). */
export function hasWorkloadEndpoint({ spec }: Pod): boolean {
  return spec.hostNetwork !== true && spec.nodeName !== undefined && spec.nodeName !== "";
}

/**
 * Whether a pod has given its addresses back, though it is still there (`conversion.go` IsFinished): one that is being deleted tells it by an empty annotation.
 */
export function isFinished({ metadata, status }: Pod): boolean {
  const { deletionTimestamp, annotations = {} } = metadata;
  if (deletionTimestamp !== undefined && annotations[POD_ANNOTATIONS.podIP] === "") return true;
  return status?.phase === "Failed" || status?.phase === "Succeeded";
}

/**
 * The endpoint of a pod that {@link hasWorkloadEndpoint} (`libcalico-go/lib/backend/k8s/conversion/workload_endpoint_default.go`).
 * @param serviceAccount of the pod; what the API server's admission would fill in
 * @throws {@link PodConversionError}
 */
export function workloadEndpointOf(
  pod: Pod,
  serviceAccount: string | undefined = pod.spec.serviceAccountName,
): WorkloadEndpointObject {
  const { metadata, spec } = pod;
  const {
    name,
    namespace = "default",
    uid,
    creationTimestamp,
    resourceVersion,
    annotations = {},
  } = metadata;
  const node = spec.nodeName ?? "";
  const hasAccount = serviceAccount !== undefined && serviceAccount !== "";
  const ipNetworks = isFinished(pod) ? [] : podNetworks(pod);
  const ports = [...endpointPorts(spec.containers), ...endpointPorts(spec.initContainers)];
  const ipNATs = ipNetworks.length === 0 ? [] : floatingIps(annotations, ipNetworks);
  const prefixes = allowedSources(annotations);
  const limits = qosControls(annotations);
  const dscp = egressDscp(annotations);
  const containerID = annotations[POD_ANNOTATIONS.containerID] ?? "";
  const networkStatus = annotations[NETWORK_STATUS];
  return {
    apiVersion: "projectcalico.org/v3",
    kind: "WorkloadEndpoint",
    metadata: {
      name: workloadEndpointName({ node, orchestrator: "k8s", endpoint: "eth0", pod: name }),
      namespace,
      ...(uid !== undefined && { uid }),
      ...(creationTimestamp !== undefined && { creationTimestamp }),
      ...(resourceVersion !== undefined && { resourceVersion }),
      labels: {
        ...metadata.labels,
        [LABEL_NAMESPACE]: namespace,
        [LABEL_ORCHESTRATOR]: "k8s",
        ...(hasAccount &&
          serviceAccount.length < MAX_LABEL_VALUE_LENGTH && {
            [LABEL_SERVICE_ACCOUNT]: serviceAccount,
          }),
      },
      ...(networkStatus !== undefined && { annotations: { [NETWORK_STATUS]: networkStatus } }),
    },
    spec: {
      orchestrator: "k8s",
      node,
      pod: name,
      ...(containerID !== "" && { containerID }),
      endpoint: "eth0",
      interfaceName: vethName(namespace, name),
      profiles: [
        NAMESPACE_PROFILE_PREFIX + namespace,
        ...(hasAccount ? [serviceAccountProfileName(namespace, serviceAccount)] : []),
      ],
      ipNetworks,
      ...(ports.length > 0 && { ports }),
      ...(ipNATs.length > 0 && { ipNATs }),
      ...(hasAccount && { serviceAccountName: serviceAccount }),
      ...(prefixes.length > 0 && { allowSpoofedSourcePrefixes: prefixes }),
      ...((limits !== undefined || dscp !== undefined) && {
        qosControls: { ...limits, ...(dscp !== undefined && { dscp }) },
      }),
    },
  };
}

/** Each address as the /32 or /128 that it is: as the kubelet says, or before that as the CNI plugin wrote (`conversion.go` getPodIPs). */
function podNetworks({ metadata, status }: Pod): readonly string[] {
  const { annotations = {} } = metadata;
  const { podIPs = [], podIP = "" } = status ?? {};
  const plural = annotations[POD_ANNOTATIONS.podIPs] ?? "";
  const singular = annotations[POD_ANNOTATIONS.podIP] ?? "";
  if (podIPs.length > 0) return podIPs.map(({ ip }) => network(ip));
  if (podIP !== "") return [network(podIP)];
  if (plural !== "") return plural.split(",").map(network);
  return singular === "" ? [] : [network(singular)];
}

function network(text: string): string {
  const ip = tryParseIp(text);
  const prefix = ip === undefined ? tryParsePrefix(text) : Prefix.host(ip);
  if (prefix === undefined) throw new PodConversionError(`invalid CIDR address: ${text}`);
  return prefix.toString();
}

function endpointPorts(containers: readonly Container[] = []): readonly WorkloadEndpointPort[] {
  return containers.flatMap(({ ports = [] }) =>
    ports
      .filter(
        ({ containerPort, hostPort = 0, name = "" }) =>
          containerPort !== 0 && (hostPort !== 0 || name !== ""),
      )
      .map(({ containerPort, hostPort = 0, hostIP = "", name = "", protocol }) => ({
        name,
        protocol: protocol || "TCP",
        port: containerPort,
        hostPort,
        hostIP,
      })),
  );
}

/** Each floating IP leads to the pod's address of its family. */
function floatingIps(
  annotations: Readonly<Record<string, string>>,
  networks: readonly string[],
): readonly { readonly internalIP: string; readonly externalIP: string }[] {
  return jsonList(annotations[POD_ANNOTATIONS.floatingIPs]).flatMap((externalIP) => {
    const sixth = externalIP.includes(":");
    const internal = networks.findLast((net) => net.includes(":") === sixth);
    return internal === undefined
      ? []
      : [{ internalIP: internal.slice(0, internal.indexOf("/")), externalIP }];
  });
}

function allowedSources(annotations: Readonly<Record<string, string>>): readonly string[] {
  return jsonList(annotations[POD_ANNOTATIONS.allowedSourcePrefixes]).map((text) => {
    const prefix = tryParsePrefix(text);
    if (prefix === undefined) {
      throw new PodConversionError(
        `failed to parse '${text}' as a CIDR: invalid CIDR address: ${text}`,
      );
    }
    return prefix.toString();
  });
}

function jsonList(text: string | undefined): readonly string[] {
  if (text === undefined || text === "") return [];
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {}
  if (Array.isArray(value) && value.every((each) => typeof each === "string")) return value;
  throw new PodConversionError(`failed to parse '${text}' as JSON: not a list of strings`);
}
