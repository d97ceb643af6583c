import { InputError, type Kind } from "@cnilab/core";

/** Kinds by the names that kubectl knows them by: plural first, as in messages. */
const NAMES: Readonly<Record<Kind, readonly string[]>> = {
  AdminNetworkPolicy: ["adminnetworkpolicies", "adminnetworkpolicy", "anp"],
  BackendTLSPolicy: ["backendtlspolicies", "backendtlspolicy", "btlspolicy"],
  BaselineAdminNetworkPolicy: [
    "baselineadminnetworkpolicies",
    "baselineadminnetworkpolicy",
    "banp",
  ],
  ClusterNetworkPolicy: ["clusternetworkpolicies", "clusternetworkpolicy", "cnp"],
  ConfigMap: ["configmaps", "configmap", "cm"],
  DaemonSet: ["daemonsets", "daemonset", "ds"],
  Deployment: ["deployments", "deployment", "deploy"],
  Endpoints: ["endpoints", "ep"],
  EndpointSlice: ["endpointslices", "endpointslice"],
  Event: ["events", "event", "ev"],
  Gateway: ["gateways", "gateway", "gtw"],
  GatewayClass: ["gatewayclasses", "gatewayclass", "gc"],
  GRPCRoute: ["grpcroutes", "grpcroute"],
  HTTPRoute: ["httproutes", "httproute"],
  Ingress: ["ingresses", "ingress", "ing"],
  IngressClass: ["ingressclasses", "ingressclass"],
  Job: ["jobs", "job"],
  ListenerSet: ["listenersets", "listenerset", "lset", "xlistenersets", "xlistenerset"],
  Namespace: ["namespaces", "namespace", "ns"],
  NetworkPolicy: ["networkpolicies", "networkpolicy", "netpol"],
  Node: ["nodes", "node", "no"],
  Pod: ["pods", "pod", "po"],
  ReferenceGrant: ["referencegrants", "referencegrant", "refgrant"],
  ReplicaSet: ["replicasets", "replicaset", "rs"],
  ReplicationController: ["replicationcontrollers", "replicationcontroller", "rc"],
  Secret: ["secrets", "secret"],
  Service: ["services", "service", "svc"],
  StatefulSet: ["statefulsets", "statefulset", "sts"],
  TCPRoute: ["tcproutes", "tcproute"],
  TLSRoute: ["tlsroutes", "tlsroute"],
  UDPRoute: ["udproutes", "udproute"],
};

/** What `all` stands for, in kubectl's order. */
const ALL: readonly Kind[] = [
  "Pod",
  "Service",
  "DaemonSet",
  "Deployment",
  "ReplicaSet",
  "StatefulSet",
  "Job",
];

/** Kinds named as `pods`, `po,svc` or `all`. @throws InputError */
export function readKinds(text: string): Kind[] {
  return text.split(",").flatMap((word) => {
    if (word.toLowerCase() === "all") return ALL;
    // `deployments.apps` names the group as well.
    const name = word.toLowerCase().split(".")[0] ?? "";
    const kind = (Object.keys(NAMES) as Kind[]).find((k) => NAMES[k].includes(name));
    if (kind !== undefined) return kind;
    const known = Object.values(NAMES).map(([plural]) => plural);
    throw new InputError(`there is no kind "${word}"; there are ${known.join(", ")}`, "get");
  });
}

export function pluralOf(kind: Kind): string {
  return NAMES[kind][0] ?? kind.toLowerCase();
}
