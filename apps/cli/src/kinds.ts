import { InputError, type Kind } from "@cnilab/core";

/** Kinds by the names that kubectl knows them by: plural first, as in messages. */
const NAMES: Readonly<Record<Kind, readonly string[]>> = {
  AdminNetworkPolicy: ["adminnetworkpolicies", "adminnetworkpolicy", "anp"],
  BaselineAdminNetworkPolicy: [
    "baselineadminnetworkpolicies",
    "baselineadminnetworkpolicy",
    "banp",
  ],
  ClusterNetworkPolicy: ["clusternetworkpolicies", "clusternetworkpolicy", "cnp"],
  DaemonSet: ["daemonsets", "daemonset", "ds"],
  Deployment: ["deployments", "deployment", "deploy"],
  Endpoints: ["endpoints", "ep"],
  EndpointSlice: ["endpointslices", "endpointslice"],
  Event: ["events", "event", "ev"],
  Job: ["jobs", "job"],
  Namespace: ["namespaces", "namespace", "ns"],
  NetworkPolicy: ["networkpolicies", "networkpolicy", "netpol"],
  Node: ["nodes", "node", "no"],
  Pod: ["pods", "pod", "po"],
  ReplicaSet: ["replicasets", "replicaset", "rs"],
  ReplicationController: ["replicationcontrollers", "replicationcontroller", "rc"],
  Service: ["services", "service", "svc"],
  StatefulSet: ["statefulsets", "statefulset", "sts"],
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
