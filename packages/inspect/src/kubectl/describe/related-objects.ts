import type {
  EndpointSlice,
  Event,
  Kind,
  Kinds,
  KubeObject,
  Pod,
  ReplicaSet,
  StoredObjects,
} from "@cnilab/core";

const SERVICE_NAME_LABEL = "kubernetes.io/service-name";

/** What descriptions tell of beside the object itself. Each kind is gone through once, however many objects are described. */
export class RelatedObjects {
  readonly #stored: StoredObjects;
  readonly #by = new Map<string, ReadonlyMap<string, readonly KubeObject[]>>();

  constructor(stored: StoredObjects) {
    this.#stored = stored;
  }

  get<K extends Kind>(kind: K, key: string): Kinds[K] | undefined {
    return this.#stored.get(kind, key);
  }

  slicesOf(service: KubeObject): readonly EndpointSlice[] {
    const name = ({ metadata }: EndpointSlice) => metadata.labels?.[SERVICE_NAME_LABEL] ?? "";
    return this.#find(
      "EndpointSlice",
      "service",
      keyOf(service),
      (slice) => `${spaceOf(slice)}/${name(slice)}`,
    );
  }

  podsOn(node: string): readonly Pod[] {
    return this.#find("Pod", "node", node, ({ spec }) => spec.nodeName ?? "");
  }

  podsOf(controller: KubeObject): readonly Pod[] {
    return this.#find("Pod", "owner", controller.metadata.uid ?? "", controllerUid);
  }

  replicaSetsOf(deployment: KubeObject): readonly ReplicaSet[] {
    return this.#find("ReplicaSet", "owner", deployment.metadata.uid ?? "", controllerUid);
  }

  /** In the order in which they happened. */
  eventsOf(object: KubeObject): readonly Event[] {
    const found = this.#find(
      "Event",
      "object",
      `${object.kind} ${keyOf(object)}`,
      ({ involvedObject }) => {
        const { kind, namespace = "default", name } = involvedObject;
        return `${kind} ${namespace}/${name}`;
      },
    );
    const last = ({ lastTimestamp = "" }: Event) => lastTimestamp;
    return [...found].sort((x, y) => (last(x) < last(y) ? -1 : last(x) > last(y) ? 1 : 0));
  }

  #find<K extends Kind>(
    kind: K,
    index: string,
    key: string,
    of: (object: Kinds[K]) => string,
  ): readonly Kinds[K][] {
    const name = `${kind} ${index}`;
    let groups = this.#by.get(name);
    if (groups === undefined) {
      groups = Map.groupBy(this.#stored.list(kind), of) as ReadonlyMap<string, KubeObject[]>;
      this.#by.set(name, groups);
    }
    return (groups.get(key) ?? []) as readonly Kinds[K][];
  }
}

function keyOf(object: KubeObject): string {
  return `${spaceOf(object)}/${object.metadata.name}`;
}

function spaceOf({ metadata }: KubeObject): string {
  return metadata.namespace ?? "default";
}

function controllerUid({ metadata }: KubeObject): string {
  return metadata.ownerReferences?.find(({ controller }) => controller === true)?.uid ?? "";
}
