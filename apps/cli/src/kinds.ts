import { type CustomResource, InputError, type Kind, kindOf } from "@cnilab/core";
import { RESOURCES } from "./custom-resources.ts";

/** Kinds by the names that kubectl knows them by: plural first, as in messages. */
const BUILT_IN: {
  readonly [K in Kind as K extends `${string}.${string}` ? never : K]: readonly string[];
} = {
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
  ServiceAccount: ["serviceaccounts", "serviceaccount", "sa"],
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

/** A kind as `get` may name it. */
interface NamedKind {
  readonly kind: Kind;
  /** Plural first. */
  readonly names: readonly string[];
  /** Of a kind that a CNI brings along. */
  readonly group?: string;
}

/** What kinds are called, the built-in ones and those that CNIs bring along. */
export class KindNames {
  /** The built-in ones come first: they go before where two groups have one name, as with kubectl. */
  readonly #named: readonly NamedKind[];

  constructor(resources: readonly CustomResource[] = RESOURCES) {
    this.#named = [
      ...Object.entries(BUILT_IN).map(([kind, names]) => ({ kind: kind as Kind, names })),
      ...resources.map(({ group, version, kind, plural, singular, shortNames = [] }) => ({
        kind: kindOf({ apiVersion: `${group}/${version}`, kind }),
        names: [plural, singular, ...shortNames],
        group,
      })),
    ];
  }

  /** Plural names; with the group where another kind has the name. */
  get all(): string[] {
    return this.#named.map((each) => {
      const [plural = ""] = each.names;
      return this.#find(plural) === each ? plural : `${plural}.${each.group}`;
    });
  }

  /** Kinds named as `pods`, `po,svc`, `deployments.apps`, `networkpolicies.projectcalico.org` or `all`. @throws InputError */
  read(text: string, command = "get"): Kind[] {
    return text.split(",").flatMap((word) => {
      if (word.toLowerCase() === "all") return ALL;
      const found = this.#find(word.toLowerCase());
      if (found !== undefined) return found.kind;
      throw new InputError(`there is no kind "${word}"; there are ${this.all.join(", ")}`, command);
    });
  }

  pluralOf(kind: Kind): string {
    return this.#named.find((each) => each.kind === kind)?.names[0] ?? kind.toLowerCase();
  }

  #find(word: string): NamedKind | undefined {
    const [name = "", ...qualifier] = word.split(".");
    const named = this.#named.filter(({ names }) => names.includes(name));
    // `networkpolicies.v3.projectcalico.org` names the version as well.
    const group = qualifier.join(".").replace(/^v[0-9]+(?:(?:alpha|beta)[0-9]+)?\./, "");
    if (group === "") return named[0];
    const custom = named.find((each) => each.group === group);
    if (custom !== undefined) return custom;
    return this.#named.some((each) => each.group === group)
      ? undefined
      : named.find((each) => each.group === undefined);
  }
}
