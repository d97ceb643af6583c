import {
  InputError,
  type Kind,
  type Kinds,
  type KubeObject,
  kindOf,
  type Node,
  namespaceLabels,
  objectKey,
  type Pod,
  type Service,
  type StoredObjects,
} from "@cnilab/core";
import { FieldError } from "@cnilab/core/validation";
import { formatIp, type IpAddress, Prefix, tryParseIp } from "@cnilab/net";
import { ApiError } from "../api/api-error.ts";
import type { ApiStore } from "../api/api-store.ts";
import type { CustomResources } from "../api/custom-resources.ts";
import { inScope } from "../api/kind-scope.ts";
import { canonicalJson } from "../api/name-suffix.ts";
import {
  MANAGED_BY_LABEL,
  SERVICE_NAME_LABEL,
  SLICE_CONTROLLER,
} from "../controllers/endpoint-slice.ts";
import { MIRRORING_CONTROLLER } from "../controllers/endpoint-slice-mirroring.ts";
import { podCidrsOf } from "../controllers/node-ipam.ts";
import { KUBERNETES_SERVICE, type ServiceAdmission } from "../service/service-admission.ts";
import { INTERNET, OUTSIDE_DNS } from "../underlay/outside-world.ts";
import { API_SERVER, ROUTER } from "../underlay/underlay.ts";
import { checkManifest, identityOf, nameOf } from "./parse-manifests.ts";
import { storedVersion } from "./stored-version.ts";

/** Kinds that CNIs bring along are made before the nodes, whose agents find them as they start. */
const CUSTOM_RANK = 0.5;
/** Kinds in the order in which they are made; those that are not here come last. */
const ORDER: readonly string[] = [
  "Namespace",
  "Node",
  "ServiceAccount",
  "ConfigMap",
  "IngressClass",
  "GatewayClass",
  "NetworkPolicy",
  "Service",
  "Endpoints",
  "EndpointSlice",
  "Deployment",
  "StatefulSet",
  "DaemonSet",
  "Job",
  "ReplicaSet",
  "ReplicationController",
  "Pod",
];

/** One object that is to be made or changed. */
interface Step {
  readonly object: KubeObject;
  readonly existing: KubeObject | undefined;
}

/**
 * `kubectl apply`: makes what is not there and changes what is. All is checked before anything is done,
 * and done in an order that does not depend on the input's: one set of objects makes one cluster.
 */
export class Applier {
  readonly #api: ApiStore;
  readonly #services: ServiceAdmission;
  readonly #seed: number;
  readonly #machineAt: (address: IpAddress) => string | undefined;

  /** @param machineAt name of the machine that has an address already */
  constructor(
    api: ApiStore,
    services: ServiceAdmission,
    seed: number,
    machineAt: (address: IpAddress) => string | undefined,
  ) {
    this.#api = api;
    this.#machineAt = machineAt;
    this.#services = services;
    this.#seed = seed;
  }

  /** What has to be done for these objects. @throws InputError */
  plan(objects: readonly KubeObject[]): readonly Step[] {
    const { resources } = this.#api;
    const byName = new Map<string, KubeObject>();
    for (const given of objects) {
      checkManifest(given, resources);
      const object = normalised(given, resources);
      const id = identityOf(object, resources);
      if (byName.has(id)) {
        throw new InputError("is given twice; leave one out", nameOf(object, resources));
      }
      byName.set(id, object);
    }
    const wanted = [...byName.values()].filter((object) => !this.#isDerived(object, byName));
    for (const name of impliedNamespaces(wanted)) {
      if (this.#api.get("Namespace", name) !== undefined || byName.has(`Namespace ${name}`))
        continue;
      wanted.push({ apiVersion: "v1", kind: "Namespace", metadata: { name } });
    }
    const steps = wanted.map((object) => ({
      object,
      existing: this.#api.get(kindOf(object), objectKey(object)),
      rank: resources.get(kindOf(object)) === undefined ? rank(object.kind) : CUSTOM_RANK,
      key: naturalKey(object),
    }));
    steps.sort((x, y) => x.rank - y.rank || (x.key < y.key ? -1 : x.key > y.key ? 1 : 0));
    for (const step of steps) this.#checkUpdate(step);
    this.#checkAmong(steps);
    this.#tryServices(steps);
    checkAddresses(wanted);
    checkNodes(steps, this.#api.list("Node"), this.#machineAt);
    return steps;
  }

  run(steps: readonly Step[]): void {
    for (const { object, existing } of steps) {
      const kind = kindOf(object);
      if (existing === undefined) this.#api.create(object as never);
      else this.#api.update(kind, objectKey(object), (now) => merged(now, object) as never);
    }
  }

  /** What the control plane made for itself is made here anew, not taken from a dump. */
  #isDerived(object: KubeObject, given: ReadonlyMap<string, KubeObject>): boolean {
    const key = objectKey(object);
    if (kindOf(object) === "Service" || kindOf(object) === "Endpoints")
      return key === KUBERNETES_SERVICE;
    if (kindOf(object) !== "EndpointSlice") return false;
    const { labels, namespace } = object.metadata;
    const name = `${namespace}/${labels?.[SERVICE_NAME_LABEL]}`;
    if (name === KUBERNETES_SERVICE) return true;
    const service =
      (given.get(`Service ${name}`) as Service | undefined) ?? this.#api.get("Service", name);
    switch (labels?.[MANAGED_BY_LABEL]) {
      case SLICE_CONTROLLER:
        return service?.spec.selector !== undefined;
      case MIRRORING_CONTROLLER:
        return given.has(`Endpoints ${name}`) || this.#api.get("Endpoints", name) !== undefined;
      default:
        return false;
    }
  }

  #checkUpdate({ object, existing }: Step): void {
    if (existing === undefined) return;
    const { resources } = this.#api;
    const name = nameOf(object, resources);
    if (existing.metadata.deletionTimestamp !== undefined) {
      throw new InputError("is being deleted; apply it when it is gone", name);
    }
    if (kindOf(object) === "Pod") {
      const { nodeName: _, ...now } = (existing as Pod).spec;
      const { nodeName: __, ...next } = (object as Pod).spec;
      if (canonicalJson(now) === canonicalJson(next)) return;
      throw new InputError(
        "a pod's spec cannot be changed; delete it first, or use a Deployment",
        name,
      );
    }
    const custom = resources.get(kindOf(object));
    if (custom !== undefined) {
      fieldErrors(() => custom.checkUpdate?.(object, existing), name);
      return;
    }
    const selectorOf = (o: KubeObject) =>
      (o as { readonly spec?: { readonly selector?: unknown } }).spec?.selector;
    if (kindOf(object) === "Service" || selectorOf(object) === undefined) return;
    if (canonicalJson(selectorOf(existing)) === canonicalJson(selectorOf(object))) return;
    throw new InputError("spec.selector cannot be changed; delete it first", name);
  }

  /** Lets kinds that CNIs bring along look at their objects among all that there will be. */
  #checkAmong(steps: readonly Step[]): void {
    const { resources } = this.#api;
    let all: StoredObjects | undefined;
    for (const { object } of steps) {
      const resource = resources.get(kindOf(object));
      if (resource?.checkAmong === undefined) continue;
      all ??= new PlannedObjects(this.#api, steps);
      const among = all;
      fieldErrors(() => resource.checkAmong?.(object, among), nameOf(object, resources));
    }
  }

  /** Gives addresses and ports on a copy of the pools, so that what does not fit is known beforehand. */
  #tryServices(steps: readonly Step[]): void {
    const trial = this.#services.clone(this.#seed);
    for (const { object, existing } of steps) {
      if (kindOf(object) !== "Service") continue;
      try {
        if (existing === undefined) trial.create(object as Service);
        else trial.update(merged(existing, object) as Service, existing as Service);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        throw new InputError(error.message, nameOf(object), { cause: error });
      }
    }
  }
}

/** The store as it will be when all steps are done. */
class PlannedObjects implements StoredObjects {
  readonly #api: ApiStore;
  readonly #planned = new Map<string, Map<string, KubeObject>>();

  constructor(api: ApiStore, steps: readonly Step[]) {
    this.#api = api;
    for (const { object } of steps) {
      const kind = kindOf(object);
      let objects = this.#planned.get(kind);
      if (objects === undefined) {
        objects = new Map();
        this.#planned.set(kind, objects);
      }
      objects.set(objectKey(object), object);
    }
  }

  *list<K extends Kind>(kind: K): Iterable<Kinds[K]> {
    const planned = this.#planned.get(kind);
    for (const object of this.#api.list(kind)) {
      if (planned?.has(objectKey(object)) !== true) yield object;
    }
    if (planned !== undefined) yield* planned.values() as Iterable<Kinds[K]>;
  }

  get<K extends Kind>(kind: K, key: string): Kinds[K] | undefined {
    return (this.#planned.get(kind)?.get(key) as Kinds[K] | undefined) ?? this.#api.get(kind, key);
  }
}

/** @throws InputError where `check` throws a FieldError */
function fieldErrors(check: () => void, name: string): void {
  try {
    check();
  } catch (error) {
    if (!(error instanceof FieldError)) throw error;
    throw new InputError(error.message, name);
  }
}

/** The object that an update makes of the present one: what the input says, and what the server added. */
function merged(existing: KubeObject, object: KubeObject): KubeObject {
  const now = existing as KubeObject & { readonly spec?: object; readonly status?: unknown };
  const next = object as KubeObject & { readonly spec?: object; readonly status?: unknown };
  const { uid, creationTimestamp, generation, resourceVersion, ownerReferences } = now.metadata;
  const metadata = {
    ...next.metadata,
    ...keep({ uid, creationTimestamp, generation, resourceVersion }),
    ...keep({ ownerReferences: next.metadata.ownerReferences ?? ownerReferences }),
    ...keep({
      labels:
        kindOf(object) === "Node"
          ? { ...now.metadata.labels, ...next.metadata.labels }
          : kindOf(object) === "Namespace"
            ? namespaceLabels(next.metadata)
            : next.metadata.labels,
      annotations: joined(now.metadata.annotations, next.metadata.annotations),
    }),
  };
  const spec = mergedSpec(object.kind, now.spec, next.spec);
  const whole = { ...next, metadata, ...keep({ spec, status: now.status }) };
  return canonicalJson(whole) === canonicalJson(now) ? existing : whole;
}

function mergedSpec(
  kind: string,
  now: object | undefined,
  next: object | undefined,
): object | undefined {
  if (now === undefined) return next;
  const kept = KEPT_FIELDS[kind] ?? [];
  if (next === undefined && kept.length === 0) return undefined;
  const additions = Object.fromEntries(
    kept
      .filter((field) => field in now && !(field in (next ?? {})))
      .map((field) => [field, (now as Record<string, unknown>)[field]]),
  );
  const spec = { ...next, ...additions };
  // The same object as before where nothing has changed: watchers see by that whether it has.
  return canonicalJson(spec) === canonicalJson(now) ? now : spec;
}

/** Fields of `spec` that others than the input fill in. */
const KEPT_FIELDS: Readonly<Record<string, readonly string[]>> = {
  Pod: ["nodeName"],
  Node: ["podCIDR", "podCIDRs"],
  Deployment: ["replicas"],
  ReplicaSet: ["replicas"],
  StatefulSet: ["replicas"],
  Ingress: ["ingressClassName"],
};

function joined(
  now: Readonly<Record<string, string>> | undefined,
  next: Readonly<Record<string, string>> | undefined,
): Readonly<Record<string, string>> | undefined {
  return now === undefined ? next : { ...now, ...next };
}

function keep<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, v]) => v !== undefined)) as never;
}

/** Takes out of a dumped object what a server wrote of another time. */
function normalised(given: KubeObject, resources: CustomResources): KubeObject {
  const object = inScope(resources.defaulted(storedVersion(given, resources)), resources);
  let { metadata } = object;
  if (metadata.resourceVersion !== undefined || metadata.generation !== undefined) {
    const { resourceVersion: _, generation: __, ...rest } = metadata;
    metadata = rest;
  }
  const { status } = object as { readonly status?: object };
  if (status === undefined) return { ...object, metadata };
  const { status: _, ...rest } = object as KubeObject & { readonly status?: object };
  const kept = keptStatus(object.kind, status);
  return { ...rest, metadata, ...(kept === undefined ? {} : { status: kept }) } as KubeObject;
}

function keptStatus(kind: string, status: object): object | undefined {
  switch (kind) {
    case "Pod":
      return status;
    case "Service":
      return status;
    case "Node": {
      const { conditions: _, ...rest } = status as NonNullable<Node["status"]>;
      return rest;
    }
    default:
      return undefined;
  }
}

function impliedNamespaces(objects: readonly KubeObject[]): Set<string> {
  const names = new Set<string>();
  for (const { metadata } of objects)
    if (metadata.namespace !== undefined) names.add(metadata.namespace);
  return names;
}

/** Two running pods cannot have been given one address. */
function checkAddresses(objects: readonly KubeObject[]): void {
  const owners = new Map<string, string>();
  for (const object of objects) {
    if (kindOf(object) !== "Pod") continue;
    const { spec, status } = object as Pod;
    if (spec.hostNetwork === true || spec.nodeName === undefined) continue;
    if (status?.phase === "Succeeded" || status?.phase === "Failed") continue;
    const ip = status?.podIP;
    if (ip === undefined) continue;
    const other = owners.get(ip);
    if (other !== undefined) {
      throw new InputError(`status.podIP ${ip} is the one of ${other} already`, nameOf(object));
    }
    owners.set(ip, nameOf(object));
  }
}

/** Names of the machines beside the nodes. */
const RESERVED: readonly string[] = [ROUTER, API_SERVER, INTERNET, OUTSIDE_DNS, "load-balancer"];

/** Nodes must differ in name from other machines, and in addresses and pod ranges from each other. */
function checkNodes(
  steps: readonly Step[],
  existing: readonly Node[],
  machineAt: (address: IpAddress) => string | undefined,
): void {
  const addresses = new Map<IpAddress, string>();
  const ranges: { readonly range: Prefix; readonly name: string }[] = [];
  const rangesOf = (nodes: readonly Node[]) =>
    nodes.flatMap((n) => podCidrsOf(n).map((range) => ({ range, name: n.metadata.name })));
  const made = steps.filter((s) => kindOf(s.object) === "Node" && s.existing === undefined);
  ranges.push(...rangesOf(made.length === 0 ? [] : existing));
  for (const { object } of made) {
    const node = object as Node;
    const { name } = node.metadata;
    if (RESERVED.includes(name)) {
      throw new InputError(
        "is the name of a machine outside of the cluster; choose another",
        nameOf(node),
      );
    }
    for (const address of internalAddresses(node)) {
      const other = addresses.get(address) ?? machineAt(address);
      addresses.set(address, name);
      if (other === undefined) continue;
      throw new InputError(
        `address ${formatIp(address)} is the one of ${other} already`,
        nameOf(node),
      );
    }
    ranges.push(...rangesOf([node]));
  }
  ranges.sort((x, y) => Prefix.compare(x.range, y.range));
  for (let i = 1; i < ranges.length; i++) {
    const [before, here] = [ranges[i - 1], ranges[i]] as [(typeof ranges)[0], (typeof ranges)[0]];
    if (!before.range.overlaps(here.range)) continue;
    throw new InputError(
      `pod range ${here.range} overlaps ${before.range} of node ${before.name}; give each node its own`,
      `Node ${here.name}`,
    );
  }
}

/** Addresses that a Node object has on the network between the nodes. */
export function internalAddresses(node: Node): IpAddress[] {
  return (node.status?.addresses ?? [])
    .filter(({ type }) => type === "InternalIP")
    .map(({ address }) => tryParseIp(address))
    .filter((a) => a !== undefined);
}

function rank(kind: string): number {
  const at = ORDER.indexOf(kind);
  return at < 0 ? ORDER.length : at;
}

/** Puts node2 before node10. */
function naturalKey(object: KubeObject): string {
  return `${object.kind} ${objectKey(object)}`.replace(/[0-9]+/g, (n) => n.padStart(12, "0"));
}
