import {
  type ApiClient,
  type Clock,
  type Endpoint,
  type EndpointPort,
  type EndpointSlice,
  objectKey,
  type Pod,
  type Service,
  type ServicePort,
} from "@cnilab/core";
import type { Subscription } from "rxjs";
import { canonicalJson } from "../api/name-suffix.ts";
import { controllerReference } from "./owner.ts";
import { isFinished, isReady, isTerminating } from "./pod-state.ts";
import { generatedName } from "./pod-template.ts";
import { ServiceIndex } from "./service-index.ts";
import { WorkQueue } from "./work-queue.ts";

/** `--max-endpoints-per-slice` of the controller manager. */
export const ENDPOINTS_PER_SLICE = 100;
export const SERVICE_NAME_LABEL = "kubernetes.io/service-name";
export const MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by";
export const SLICE_CONTROLLER = "endpointslice-controller.k8s.io";
const HEADLESS_LABEL = "service.kubernetes.io/headless";

type AddressType = "IPv4" | "IPv6";

/** Pods and slices of one Service. */
interface ServiceState {
  readonly pods: Map<string, Pod>;
  readonly slices: Map<string, EndpointSlice>;
  /** Slices that it has made so far. */
  made: number;
}

/** Endpoints that share address family and ports, and so may share slices. */
interface Group {
  readonly addressType: AddressType;
  readonly ports: readonly EndpointPort[];
  /** By the uid of the pod. */
  readonly endpoints: Map<string, Endpoint>;
}

/**
 * Keeps the EndpointSlices of Services with a selector (staging/src/k8s.io/endpointslice). A pod stays
 * in the slice it is in; free places are filled first. Topology hints are not given.
 */
export class EndpointSliceController {
  readonly #api: ApiClient;
  readonly #queue: WorkQueue<string>;
  readonly #services = new ServiceIndex();
  readonly #states = new Map<string, ServiceState>();
  readonly #unscanned = new Set<string>();

  constructor(api: ApiClient, clock: Clock) {
    this.#api = api;
    this.#queue = new WorkQueue(clock, (key) => this.#reconcile(key));
  }

  start(): Subscription {
    const subscription = this.#api.watch("Service").subscribe(({ type, object, old }) => {
      const key = objectKey(object);
      if (type === "DELETED") {
        this.#services.delete(key);
        this.#states.delete(key);
        this.#unscanned.delete(key);
      } else if (type === "ADDED" || old?.spec !== object.spec) {
        this.#selectorChanged(key, object, old);
      }
    });
    subscription.add(
      this.#api.watch("EndpointSlice").subscribe(({ type, object }) => {
        const state = this.#states.get(ownServiceOf(object) ?? "");
        if (type === "DELETED") state?.slices.delete(object.metadata.name);
        else state?.slices.set(object.metadata.name, object);
      }),
    );
    subscription.add(
      this.#api.watch("Pod").subscribe(({ type, object, old }) => {
        if (type === "MODIFIED" && old !== undefined && !matters(object, old)) return;
        this.#podChanged(type === "DELETED" ? undefined : object, old);
      }),
    );
    return subscription;
  }

  #selectorChanged(key: string, service: Service, old: Service | undefined): void {
    this.#services.set(service);
    if (service.spec.selector === undefined) return;
    let state = this.#states.get(key);
    if (state === undefined) {
      state = { pods: new Map(), slices: this.#ownSlices(key), made: 0 };
      this.#states.set(key, state);
    }
    const text = canonicalJson(service.spec.selector);
    if (old === undefined || canonicalJson(old.spec.selector) !== text) {
      state.pods.clear();
      this.#unscanned.add(key);
    }
    this.#queue.add(key);
  }

  /** Finds the pods of Services that are new, in one look at all pods for all of them. */
  #scan(): void {
    if (this.#unscanned.size === 0) return;
    for (const pod of this.#api.list("Pod")) {
      const { namespace, labels, uid } = pod.metadata;
      for (const key of this.#services.selecting(namespace as string, labels ?? {})) {
        if (this.#unscanned.has(key)) this.#states.get(key)?.pods.set(uid as string, pod);
      }
    }
    this.#unscanned.clear();
  }

  #ownSlices(key: string): Map<string, EndpointSlice> {
    const [namespace] = key.split("/") as [string];
    const own = this.#api.list("EndpointSlice", namespace).filter((s) => ownServiceOf(s) === key);
    return new Map(own.map((slice) => [slice.metadata.name, slice]));
  }

  #podChanged(pod: Pod | undefined, old: Pod | undefined): void {
    const { metadata } = (pod ?? old) as Pod;
    const namespace = metadata.namespace as string;
    const uid = metadata.uid as string;
    const labels = pod?.metadata.labels ?? {};
    const now = pod === undefined ? [] : this.#services.selecting(namespace, labels);
    for (const key of now) {
      this.#states.get(key)?.pods.set(uid, pod as Pod);
      this.#queue.add(key);
    }
    const before = old?.metadata.labels;
    if (before === undefined || (pod !== undefined && before === pod.metadata.labels)) return;
    for (const key of this.#services.selecting(namespace, before)) {
      if (now.includes(key)) continue;
      this.#states.get(key)?.pods.delete(uid);
      this.#queue.add(key);
    }
  }

  #reconcile(key: string): void {
    this.#scan();
    const service = this.#api.get("Service", key);
    const state = this.#states.get(key);
    if (service === undefined || state === undefined || service.spec.type === "ExternalName")
      return;
    const groups = this.#groups(service, state);
    const left = new Set(state.slices.keys());
    for (const [id, group] of groups) this.#fill(service, state, id, group, left);
    for (const name of left)
      this.#api.delete("EndpointSlice", `${service.metadata.namespace}/${name}`);
  }

  #groups(service: Service, state: ServiceState): Map<string, Group> {
    const groups = new Map<string, Group>();
    for (const addressType of addressTypes(service)) {
      for (const [uid, pod] of state.pods) {
        const address = addressOf(pod, addressType);
        if (address === undefined || isFinished(pod)) continue;
        const ports = portsOf(service.spec.ports ?? NO_PORTS, pod.spec.containers);
        const id = groupId(addressType, ports);
        let group = groups.get(id);
        if (group === undefined) {
          group = { addressType, ports, endpoints: new Map() };
          groups.set(id, group);
        }
        group.endpoints.set(uid, this.#endpoint(service, pod, address));
      }
    }
    // A Service without endpoints has an empty slice, so that its ports are known.
    if (groups.size === 0) {
      for (const addressType of addressTypes(service)) {
        groups.set(groupId(addressType, []), { addressType, ports: [], endpoints: new Map() });
      }
    }
    return groups;
  }

  /** Puts a group into the slices that have its ports, and makes more where these are full. */
  #fill(service: Service, state: ServiceState, id: string, group: Group, left: Set<string>): void {
    const waiting = new Map(group.endpoints);
    const mine = [...state.slices.values()].filter(
      (s) => groupId(s.addressType as AddressType, s.ports ?? []) === id,
    );
    const contents = mine.map((slice) => {
      const kept: Endpoint[] = [];
      for (const { targetRef } of slice.endpoints) {
        const endpoint = waiting.get(targetRef?.uid ?? "");
        if (endpoint !== undefined && waiting.delete(targetRef?.uid ?? "")) kept.push(endpoint);
      }
      return kept;
    });
    const rest = [...waiting.values()];
    for (const content of contents) {
      content.push(...rest.splice(0, ENDPOINTS_PER_SLICE - content.length));
    }
    mine.forEach((slice, i) => {
      const content = contents[i] as Endpoint[];
      if (content.length === 0 && (i > 0 || rest.length > 0)) return; // nothing uses it any more
      left.delete(slice.metadata.name);
      this.#write(slice, content);
    });
    while (rest.length > 0 || (mine.length === 0 && group.endpoints.size === 0)) {
      this.#create(service, state, group, rest.splice(0, ENDPOINTS_PER_SLICE));
      if (rest.length === 0) break;
    }
  }

  #write(slice: EndpointSlice, endpoints: readonly Endpoint[]): void {
    if (sameEndpoints(slice.endpoints, endpoints)) return;
    this.#api.update("EndpointSlice", objectKey(slice), (s) => ({ ...s, endpoints }));
  }

  #create(
    service: Service,
    state: ServiceState,
    group: Group,
    endpoints: readonly Endpoint[],
  ): void {
    const { name, namespace, labels } = service.metadata;
    const generated = generatedName(
      this.#api,
      "EndpointSlice",
      namespace as string,
      `${name}-`,
      state.made,
    );
    state.made = generated.next;
    const slice = this.#api.create<"EndpointSlice">({
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: {
        name: generated.name,
        namespace: namespace as string,
        labels: {
          ...labels,
          [SERVICE_NAME_LABEL]: name,
          [MANAGED_BY_LABEL]: SLICE_CONTROLLER,
          ...(service.spec.clusterIP === "None" ? { [HEADLESS_LABEL]: "" } : {}),
        },
        ownerReferences: [controllerReference(service)],
      },
      addressType: group.addressType,
      ports: group.ports,
      endpoints,
    });
    state.slices.set(slice.metadata.name, slice);
  }

  #endpoint(service: Service, pod: Pod, address: string): Endpoint {
    const serving = isReady(pod);
    const terminating = isTerminating(pod);
    const ready = service.spec.publishNotReadyAddresses === true || (serving && !terminating);
    const { nodeName, hostname, subdomain } = pod.spec;
    const zone =
      nodeName === undefined
        ? undefined
        : this.#api.get("Node", nodeName)?.metadata.labels?.["topology.kubernetes.io/zone"];
    return {
      addresses: [address],
      conditions: { ready, serving, terminating },
      ...(hostname !== undefined && subdomain === service.metadata.name ? { hostname } : {}),
      ...(nodeName === undefined ? {} : { nodeName }),
      ...(zone === undefined ? {} : { zone }),
      targetRef: {
        kind: "Pod",
        namespace: pod.metadata.namespace as string,
        name: pod.metadata.name,
        uid: pod.metadata.uid as string,
      },
    };
  }
}

/** Whether a pod changed in a way that its endpoints show (`ShouldPodBeInEndpoints`, `podEndpointsChanged`). */
function matters(pod: Pod, old: Pod): boolean {
  return (
    pod.metadata.labels !== old.metadata.labels ||
    pod.status?.podIPs !== old.status?.podIPs ||
    isReady(pod) !== isReady(old) ||
    isFinished(pod) !== isFinished(old) ||
    isTerminating(pod) !== isTerminating(old)
  );
}

/** Key of the Service whose slice this controller made. */
function ownServiceOf(slice: EndpointSlice): string | undefined {
  const { labels, namespace } = slice.metadata;
  if (labels?.[MANAGED_BY_LABEL] !== SLICE_CONTROLLER) return undefined;
  return `${namespace}/${labels[SERVICE_NAME_LABEL]}`;
}

function addressTypes(service: Service): readonly AddressType[] {
  return service.spec.ipFamilies ?? ["IPv4"];
}

function addressOf(pod: Pod, type: AddressType): string | undefined {
  for (const { ip } of pod.status?.podIPs ?? []) {
    if (ip.includes(":") === (type === "IPv6")) return ip;
  }
  return undefined;
}

const portCache = new WeakMap<object, WeakMap<object, readonly EndpointPort[]>>();
const NO_PORTS: readonly ServicePort[] = [];

/**
 * A Service's ports as a pod has them. Pods of one template share their containers, so what a Service
 * makes of them is worked out once.
 */
function portsOf(
  ports: readonly ServicePort[],
  containers: Pod["spec"]["containers"],
): readonly EndpointPort[] {
  let byContainers = portCache.get(ports);
  if (byContainers === undefined) {
    byContainers = new WeakMap();
    portCache.set(ports, byContainers);
  }
  let resolved = byContainers.get(containers);
  if (resolved === undefined) {
    resolved = resolvePorts(ports, containers);
    byContainers.set(containers, resolved);
  }
  return resolved;
}

/** A named port that the pod lacks is left out (`FindPort`). */
function resolvePorts(
  ports: readonly ServicePort[],
  containers: Pod["spec"]["containers"],
): readonly EndpointPort[] {
  const found: EndpointPort[] = [];
  for (const { name, protocol = "TCP", port, targetPort = port, appProtocol } of ports) {
    const number = typeof targetPort === "number" ? targetPort : named(targetPort, protocol);
    if (number === undefined) continue;
    found.push({
      name: name ?? "",
      protocol,
      port: number,
      ...(appProtocol === undefined ? {} : { appProtocol }),
    });
  }
  return found;

  function named(name: string, protocol: string): number | undefined {
    for (const container of containers) {
      for (const p of container.ports ?? []) {
        if (p.name === name && (p.protocol ?? "TCP") === protocol) return p.containerPort;
      }
    }
    return undefined;
  }
}

const ids = new WeakMap<object, string>();

function groupId(addressType: AddressType, ports: readonly EndpointPort[]): string {
  let text = ids.get(ports);
  if (text === undefined) {
    text = ports.map((p) => `${p.name ?? ""}/${p.protocol ?? "TCP"}/${p.port}`).join(",");
    ids.set(ports, text);
  }
  return `${addressType} ${text}`;
}

function sameEndpoints(x: readonly Endpoint[], y: readonly Endpoint[]): boolean {
  if (x.length !== y.length) return false;
  return x.every((endpoint, i) => sameEndpoint(endpoint, y[i] as Endpoint));
}

function sameEndpoint(x: Endpoint, y: Endpoint): boolean {
  return (
    x.addresses[0] === y.addresses[0] &&
    x.conditions?.ready === y.conditions?.ready &&
    x.conditions?.serving === y.conditions?.serving &&
    x.conditions?.terminating === y.conditions?.terminating &&
    x.hostname === y.hostname &&
    x.nodeName === y.nodeName &&
    x.zone === y.zone &&
    x.targetRef?.uid === y.targetRef?.uid
  );
}
