import { type ApiClient, type Pod, type Random, type Service, uuid } from "@cnilab/core";
import { formatIp, type IpAddress, tryParseIp } from "@cnilab/net";
import { Subscription } from "rxjs";
import { RESERVED_IDENTITY } from "../identity/numeric-identity.ts";
import { RESERVED_LABELS } from "../identity/reserved-identities.ts";
import { DEFAULT_SERVICE_ACCOUNT, podLabels } from "../labels/kubernetes-labels.ts";
import { printLabels } from "../labels/label-set.ts";
import type { FlowEndpoint, FlowService, FlowWorkload } from "./flow.ts";
import type { FlowLookups } from "./flow-lookups.ts";

/** What a node's agent knows of security identities; a CNI that has none brings none. */
export interface FlowIdentities {
  /** Whether somebody listens on a node: its agent has Hubble within itself. */
  isObserved(node: string): boolean;
  /** Identity of who has an address, as the node has it; 0 where it does not know. */
  identityOf(node: string, address: IpAddress): number;
  /** The number of the endpoint of this node that has the address; 0 where none has. */
  endpointId(node: string, address: IpAddress): number;
  /** As flows have them: `k8s:app=web`. */
  labelsOf(identity: number): readonly string[];
  /** Names under which an endpoint has asked DNS for an address. */
  namesOf(node: string, endpointId: number, address: IpAddress): readonly string[];
}

/** A node as far as flows go. */
export interface FlowNode {
  readonly name: string;
  /** What the machine itself has. */
  addresses(): Iterable<IpAddress>;
}

/** Finds pods, Services and nodes in the API server's objects, and identities where somebody has them. */
export class ClusterLookups implements FlowLookups {
  readonly #api: ApiClient;
  readonly #nodes: readonly FlowNode[];
  readonly #random: Random;
  readonly #identities: FlowIdentities | undefined;
  readonly #pods = new Map<IpAddress, Pod>();
  readonly #services = new Map<string, FlowService>();
  /** Which node has an address; made anew when a Node has changed and somebody asks. */
  #machines: Map<IpAddress, string> | undefined;
  readonly #subscription = new Subscription();

  constructor(
    api: ApiClient,
    nodes: readonly FlowNode[],
    random: Random,
    identities?: FlowIdentities | undefined,
  ) {
    this.#api = api;
    this.#nodes = nodes;
    this.#random = random;
    this.#identities = identities;
    this.#subscription.add(
      api.watch("Pod").subscribe(({ type, object, old }) => {
        for (const address of old === undefined ? [] : addressesOf(old)) {
          if (this.#pods.get(address)?.metadata.uid === old?.metadata.uid)
            this.#pods.delete(address);
        }
        for (const address of addressesOf(object)) {
          if (type !== "DELETED") this.#pods.set(address, object);
          else if (this.#pods.get(address)?.metadata.uid === object.metadata.uid) {
            this.#pods.delete(address);
          }
        }
      }),
    );
    this.#subscription.add(
      api.watch("Node").subscribe(() => {
        this.#machines = undefined;
      }),
    );
    this.#subscription.add(
      api.watch("Service").subscribe(({ type, object, old }) => {
        for (const frontend of old === undefined ? [] : frontendsOf(old)) {
          this.#services.delete(frontend);
        }
        const service = serviceOf(object);
        for (const frontend of frontendsOf(object)) {
          if (type === "DELETED") this.#services.delete(frontend);
          else this.#services.set(frontend, service);
        }
      }),
    );
  }

  /** Follows changes no more. */
  stop(): void {
    this.#subscription.unsubscribe();
  }

  /** Whether the pod that has this address runs on that node. */
  isLocalPod(node: string, address: IpAddress): boolean {
    return this.#pods.get(address)?.spec.nodeName === node;
  }

  /** Whether flows of this node are heard of. */
  isObserved(node: string): boolean {
    return this.#identities?.isObserved(node) ?? true;
  }

  endpoint(address: IpAddress, identity: number, node: string): FlowEndpoint {
    const pod = this.#pods.get(address);
    const ID = this.#identities?.endpointId(node, address) ?? 0;
    const known = identity === 0 ? (this.#identities?.identityOf(node, address) ?? 0) : identity;
    if (pod === undefined) return { ID, ...this.#reserved(address, known, node) };
    const labels = known === 0 ? [] : (this.#identities?.labelsOf(known) ?? []);
    return {
      ID,
      identity: known,
      cluster_name: CLUSTER,
      namespace: pod.metadata.namespace ?? "default",
      labels: labels.length > 0 ? labels : this.#labelsOf(pod),
      pod_name: pod.metadata.name,
      workloads: workloadsOf(pod),
    };
  }

  /** Nodes and the world have identities without anybody giving them any. */
  #reserved(address: IpAddress, identity: number, node: string): FlowEndpoint {
    const known = identity === 0 ? this.#reservedIdentity(address, node) : identity;
    const labels = this.#identities?.labelsOf(known) ?? [];
    return {
      identity: known,
      labels: labels.length > 0 ? labels : printLabels(RESERVED_LABELS.get(known) ?? []),
    };
  }

  #reservedIdentity(address: IpAddress, node: string): number {
    this.#machines ??= new Map(
      this.#nodes.flatMap(({ name, addresses }) =>
        [...addresses()].map((ip) => [ip, name] as const),
      ),
    );
    const holder = this.#machines.get(address);
    if (holder === undefined) return RESERVED_IDENTITY.world;
    return holder === node ? RESERVED_IDENTITY.host : RESERVED_IDENTITY.remoteNode;
  }

  #labelsOf(pod: Pod): readonly string[] {
    const namespace = pod.metadata.namespace ?? "default";
    return printLabels(
      podLabels({
        namespace,
        labels: pod.metadata.labels ?? {},
        namespaceLabels: this.#api.get("Namespace", namespace)?.metadata.labels ?? {},
        serviceAccount: pod.spec.serviceAccountName ?? DEFAULT_SERVICE_ACCOUNT,
        cluster: CLUSTER,
      }),
    );
  }

  service(address: IpAddress, port: number): FlowService | undefined {
    return this.#services.get(`${formatIp(address)} ${port}`);
  }

  names(endpoint: FlowEndpoint, address: IpAddress): readonly string[] {
    if (this.#identities === undefined || !endpoint.ID) return [];
    const pod = this.#api.get("Pod", `${endpoint.namespace}/${endpoint.pod_name}`);
    return this.#identities.namesOf(pod?.spec.nodeName ?? "", endpoint.ID, address);
  }

  uuid(): string {
    return uuid(this.#random);
  }
}

/** The name that a cluster has without cluster mesh. */
const CLUSTER = "default";

function addressesOf({ spec, status }: Pod): IpAddress[] {
  if (spec.hostNetwork === true || status?.phase === "Succeeded" || status?.phase === "Failed") {
    return [];
  }
  return (status?.podIPs ?? []).flatMap(({ ip }) => tryParseIp(ip) ?? []);
}

function serviceOf({ metadata }: Service): FlowService {
  return { name: metadata.name, namespace: metadata.namespace ?? "default" };
}

function frontendsOf({ spec, status }: Service): string[] {
  const { clusterIPs = [], externalIPs = [], ports = [] } = spec;
  const ingress = (status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => ip ?? []);
  const addresses = [...clusterIPs, ...externalIPs, ...ingress].flatMap((text) => {
    const address = tryParseIp(text);
    return address === undefined ? [] : formatIp(address);
  });
  return addresses.flatMap((address) => ports.map(({ port }) => `${address} ${port}`));
}

/** Whose pod it is; of a ReplicaSet that a Deployment made, the Deployment (pkg/k8s/utils GetWorkloadMetaFromPod). */
function workloadsOf(pod: Pod): FlowWorkload[] {
  const owner = (pod.metadata.ownerReferences ?? []).find(({ controller }) => controller === true);
  if (owner === undefined) return [];
  const hash = pod.metadata.labels?.["pod-template-hash"];
  if (owner.kind === "ReplicaSet" && hash !== undefined && owner.name.endsWith(`-${hash}`)) {
    return [{ kind: "Deployment", name: owner.name.slice(0, -hash.length - 1) }];
  }
  return [{ kind: owner.kind, name: owner.name }];
}
