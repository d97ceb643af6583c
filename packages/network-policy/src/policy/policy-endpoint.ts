import {
  type KubeObject,
  type Labels,
  type Node,
  namespaceLabels,
  type Pod,
  type PodSpec,
} from "@cnilab/core";
import { familyOf, formatIp, type IpAddress, type IpFamily, tryParseIp } from "@cnilab/net";
import type { IpProtocol } from "./ip-protocol.ts";

/** A port that has a name: a pod's container port. */
export interface NamedPort {
  readonly name: string;
  readonly protocol: IpProtocol;
  readonly port: number;
}

/** One end of a flow, as policies see it. */
export interface PolicyEndpoint {
  /** `namespace/pod`, `node/NAME`, or an address. */
  readonly name: string;
  readonly address: IpAddress;
  /** A pod with a network of its own; absent for nodes, pods on a node's network, and what is outside. */
  readonly pod?: {
    readonly namespace: string;
    readonly namespaceLabels: Labels;
    readonly labels: Labels;
    readonly serviceAccount?: string;
  };
  readonly ports?: readonly NamedPort[];
  /** The node that it is, or that it is on. */
  readonly node?: string;
  /** Labels of the node that has this address. */
  readonly nodeLabels?: Labels;
  /** What a CNI's own selectors see (`PolicyReader`); absent for what they never mean. */
  readonly labels?: Labels;
}

/**
 * The pods and nodes among some objects, each with its address of one family; those without one are left out, and
 * pods that have ended. A pod on its node's network is not here: its traffic is the node's.
 */
export function policyEndpoints(
  objects: Iterable<KubeObject>,
  family: IpFamily = 4,
): readonly PolicyEndpoint[] {
  const all = [...objects];
  const labelsOf = labelsByNamespace(all);
  const endpoints: PolicyEndpoint[] = [];
  for (const object of all) {
    const endpoint =
      object.kind === "Pod"
        ? podEndpoint(object as Pod, labelsOf, family)
        : object.kind === "Node"
          ? nodeEndpoint(object as Node, family)
          : undefined;
    if (endpoint !== undefined) endpoints.push(endpoint);
  }
  return endpoints;
}

/** The labels of each namespace: those of its object, or what the API server gives to every namespace. */
export function labelsByNamespace(objects: Iterable<KubeObject>): (namespace: string) => Labels {
  const known = new Map<string, Labels>();
  for (const object of objects) {
    if (object.kind === "Namespace") known.set(object.metadata.name, object.metadata.labels ?? {});
  }
  return (namespace) => {
    let labels = known.get(namespace);
    if (labels === undefined) {
      labels = namespaceLabels({ name: namespace });
      known.set(namespace, labels);
    }
    return labels;
  };
}

/** An address that is neither a pod's nor a node's. */
export function outsideEndpoint(address: IpAddress): PolicyEndpoint {
  return { name: formatIp(address), address };
}

function podEndpoint(
  { metadata, spec, status }: Pod,
  labelsOf: (namespace: string) => Labels,
  family: IpFamily,
): PolicyEndpoint | undefined {
  if (spec.hostNetwork === true || status?.phase === "Succeeded" || status?.phase === "Failed") {
    return undefined;
  }
  const texts = status?.podIPs?.map(({ ip }) => ip) ?? [status?.podIP];
  const address = ofFamily(texts, family);
  if (address === undefined) return undefined;
  const namespace = metadata.namespace ?? "default";
  return {
    name: `${namespace}/${metadata.name}`,
    address,
    pod: {
      namespace,
      namespaceLabels: labelsOf(namespace),
      labels: metadata.labels ?? {},
      serviceAccount: spec.serviceAccountName ?? "default",
    },
    ports: namedPorts(spec),
    ...(spec.nodeName !== undefined && { node: spec.nodeName }),
  };
}

/** Ports of a pod that have a name. */
export function namedPorts({ containers, initContainers = [] }: PodSpec): readonly NamedPort[] {
  // Init containers that go on running (sidecars) have ports, too.
  const running = [...containers, ...initContainers.filter((c) => c.restartPolicy === "Always")];
  return running.flatMap(({ ports = [] }) =>
    ports.flatMap(({ name, protocol = "TCP", containerPort }) =>
      name === undefined ? [] : [{ name, protocol, port: containerPort }],
    ),
  );
}

function nodeEndpoint({ metadata, status }: Node, family: IpFamily): PolicyEndpoint | undefined {
  const address = ofFamily(
    (status?.addresses ?? []).map((entry) => entry.address),
    family,
  );
  if (address === undefined) return undefined;
  const { name, labels = {} } = metadata;
  return { name: `node/${name}`, address, node: name, nodeLabels: labels };
}

function ofFamily(texts: readonly (string | undefined)[], family: IpFamily): IpAddress | undefined {
  for (const text of texts) {
    const address = text === undefined ? undefined : tryParseIp(text);
    if (address !== undefined && familyOf(address) === family) return address;
  }
  return undefined;
}
