import {
  AddressBook,
  ApiError,
  ApiStore,
  type Connection,
  Connector,
  type ConnectRequest,
  clusterConfig,
  type Endpoint,
  type EndpointScope,
  type NodeNamespaces,
  PublicNames,
  parseEndpoint,
  podFile,
} from "@cnilab/cluster";
import { CustomResources } from "@cnilab/cluster/objects";
import {
  type ClusterConfig,
  InputError,
  type KubeObject,
  type Node,
  objectKey,
  type Pod,
  SeededRandom,
  withNamespaceLabel,
} from "@cnilab/core";
import type { Kernel, NetNamespace, Network } from "@cnilab/linux";
import {
  formatIp,
  type IpAddress,
  isLinkLocal,
  isLoopback,
  Prefix,
  tryParseIp,
  tryParsePrefix,
} from "@cnilab/net";
import { type ImportedState, type ImportOptions, importState } from "./import-state.ts";
import { startNameServer } from "./name-servers.ts";
import { askOutside } from "./outside-world.ts";
import type { SavedFiles } from "./saved-files.ts";
import type { Unmodelled } from "./unmodelled.ts";

/** A saved machine with the pods that run on it. */
export class ImportedNode implements NodeNamespaces {
  readonly kernel: Kernel;
  readonly addresses: readonly IpAddress[];
  readonly kubelet: NodeNamespaces["kubelet"];
  /** Namespaces of pods, by the pods' uid. */
  readonly sandboxes: ReadonlyMap<string, NetNamespace>;

  /** @param fileOf a file that the kubelet has written for a pod */
  constructor(
    kernel: Kernel,
    sandboxes: ReadonlyMap<string, NetNamespace>,
    fileOf: NodeNamespaces["kubelet"]["fileOf"],
  ) {
    this.kernel = kernel;
    this.sandboxes = sandboxes;
    this.addresses = addressesOf(kernel.initNs);
    this.kubelet = { sandboxOf: (podUid) => sandboxes.get(podUid), fileOf };
  }

  get machine(): Kernel {
    return this.kernel;
  }
}

/** Names of a warning that are told. */
const MOST_NAMES = 5;

/** Bits of the ranges that are taken to be pods' or Services', around each address that one has. */
const RANGE_BITS = { 4: 16, 6: 112 } as const;

/**
 * Saved machines and the objects that were saved beside them: what can be asked of a simulated cluster's
 * network, without anything that runs.
 */
export class ImportedCluster {
  readonly network: Network;
  readonly api: ApiStore;
  readonly nodes: ReadonlyMap<string, ImportedNode>;
  /** What was saved and is not modelled. */
  readonly unmodelled: Unmodelled;
  /** What of objects and machines does not fit together. */
  readonly warnings: readonly string[];
  readonly #connector: Connector;
  /** Has a machine of the world answer names, once somebody may ask. */
  #serveNames: (() => void) | undefined;

  /** @throws InputError where two objects have one name */
  constructor(
    state: ImportedState,
    objects: readonly KubeObject[],
    { seed = 1, resources = [] }: Pick<ImportOptions, "seed" | "resources"> = {},
  ) {
    this.network = state.network;
    this.unmodelled = state.unmodelled;
    this.api = new ApiStore(
      state.network.clock,
      new SeededRandom(seed).fork("api"),
      new CustomResources(resources),
    );
    for (const object of objects) store(this.api, object);
    for (const name of namespacesOf(objects)) addNamespace(this.api, name);
    for (const kernel of state.nodes.values()) addNode(this.api, kernel);
    const config = ranges(this.api);
    const random = new SeededRandom(seed).fork("programs");
    const nodes = new Map<string, ImportedNode>();
    const mute: string[] = [];
    const names = new Map<NetNamespace, string>();
    const missing: string[] = [];
    for (const [name, kernel] of state.nodes) {
      const sandboxes = new Map<string, NetNamespace>();
      for (const pod of this.api.podsOfNode(name)) {
        const netns = namespaceOf(kernel, pod);
        if (netns !== undefined) sandboxes.set(pod.metadata.uid ?? "", netns);
        else if (isRunning(pod)) missing.push(objectKey(pod));
        if (netns !== undefined && netns !== kernel.initNs) names.set(netns, objectKey(pod));
      }
      names.set(kernel.initNs, `node/${name}`);
      const podOf = new Map([...this.api.podsOfNode(name)].map((p) => [p.metadata.uid ?? "", p]));
      const node = new ImportedNode(kernel, sandboxes, (podUid, path) => {
        const pod = podOf.get(podUid);
        return pod && podFile(pod, path, { api: this.api, config, files: kernel.files });
      });
      nodes.set(name, node);
    }
    const publicNames = new PublicNames(this.api);
    this.#serveNames = () => state.outside.serveNames((name) => publicNames.find(name)?.addresses);
    for (const kernel of state.nodes.values()) askOutside(kernel);
    for (const { kernel, addresses, sandboxes } of nodes.values()) {
      for (const pod of this.api.podsOfNode(kernel.hostname)) {
        const netns = sandboxes.get(pod.metadata.uid ?? "");
        if (netns === undefined) continue;
        const context = { api: this.api, config, kernel, addresses, random };
        const problem = startNameServer(pod, netns, context);
        if (problem !== undefined) mute.push(`${objectKey(pod)} (${problem})`);
      }
    }
    this.nodes = nodes;
    this.warnings = [
      ...named("running pods without a namespace that has their address", missing),
      ...named("nodes that were not collected", uncollected(this.api, nodes)),
      ...named("name servers that do not start", mute),
    ];
    const holders = new AddressBook(this.api);
    this.#connector = new Connector({
      api: this.api,
      config,
      nodes,
      holderOf: (address) => holders.find(address),
      outside: (address) => machineWith(state, address) ?? state.outside.host(address),
      internet: () => state.outside.internet,
      nameOf: (netns) => names.get(netns) ?? state.outside.nameOf(netns) ?? String(netns),
    });
  }

  get #asked(): Connector {
    this.#serveNames?.();
    this.#serveNames = undefined;
    return this.#connector;
  }

  /** Reads an endpoint as people write it. @throws InputError */
  endpoint(text: string, scope: EndpointScope = {}): Endpoint {
    return parseEndpoint(this.api, text, scope);
  }

  /** Lets one endpoint talk to another. @throws InputError */
  connect(request: ConnectRequest): Connection {
    return this.#asked.connect(request);
  }

  /** Asks for a name as a program of an endpoint would. @throws InputError where it cannot be a source */
  lookUp(...asked: Parameters<Connector["lookUp"]>): ReturnType<Connector["lookUp"]> {
    return this.#asked.lookUp(...asked);
  }

  /** Throws what {@link connect} would throw. @throws InputError */
  check(request: ConnectRequest): void {
    this.#asked.check(request);
  }

  /** Looks for both ends, and sends nothing but questions for names. @throws InputError */
  locate(request: ConnectRequest): ReturnType<Connector["locate"]> {
    return this.#asked.locate(request);
  }

  /** Empties all connection tracking, so that the next connection is everybody's first. */
  forgetConnections(): void {
    for (const kernel of this.network.kernels.values()) {
      for (const netns of [kernel.initNs, ...kernel.namespaces]) netns.conntrack?.flush();
    }
  }
}

/** Reads machines and takes objects beside them. @throws InputError */
export function importCluster(
  files: SavedFiles,
  objects: readonly KubeObject[],
  options: ImportOptions = {},
): ImportedCluster {
  return new ImportedCluster(importState(files, options), objects, options);
}

function store(api: ApiStore, object: KubeObject): void {
  try {
    api.create(object as never);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    throw new InputError(
      "is there twice; give each object once",
      `${object.kind} ${objectKey(object)}`,
    );
  }
}

function namespacesOf(objects: readonly KubeObject[]): ReadonlySet<string> {
  return new Set(objects.flatMap(({ metadata }) => metadata.namespace ?? []));
}

/** The namespace of a saved object is one, also where nobody saved it: names in it are known by that. */
function addNamespace(api: ApiStore, name: string): void {
  if (api.get("Namespace", name) !== undefined) return;
  store(api, withNamespaceLabel({ apiVersion: "v1", kind: "Namespace", metadata: { name } }));
}

/** A node that was collected is one, also where nobody saved the objects. */
function addNode(api: ApiStore, { hostname, initNs }: Kernel): void {
  if (api.get("Node", hostname) !== undefined) return;
  const addresses = addressesOf(initNs).map((a) => ({ type: "InternalIP", address: formatIp(a) }));
  const node = { apiVersion: "v1", kind: "Node", metadata: { name: hostname } };
  store(api, { ...node, status: { addresses } } as Node);
}

function addressesOf(netns: NetNamespace): IpAddress[] {
  return netns.devices
    .flatMap((dev) => dev.addresses.map((a) => a.address))
    .filter((a) => !isLoopback(a) && !isLinkLocal(a));
}

/** The namespace that has one of a pod's addresses. */
function namespaceOf(kernel: Kernel, pod: Pod): NetNamespace | undefined {
  if (pod.spec.hostNetwork === true) return kernel.initNs;
  if (!isRunning(pod)) return undefined;
  const own = pod.status?.podIP;
  const texts = [...(pod.status?.podIPs ?? []).map(({ ip }) => ip), ...(own ? [own] : [])];
  const addresses = texts.map(tryParseIp).filter((a) => a !== undefined);
  return [...kernel.namespaces].find((netns) => addresses.some((a) => netns.hasAddress(a)));
}

function isRunning({ status }: Pod): boolean {
  return status?.phase === undefined || status.phase === "Running";
}

function uncollected(api: ApiStore, nodes: ReadonlyMap<string, ImportedNode>): string[] {
  return api
    .list("Node")
    .map(({ metadata }) => metadata.name)
    .filter((name) => !nodes.has(name));
}

function named(kind: string, names: readonly string[]): string[] {
  if (names.length === 0) return [];
  const more = names.length > MOST_NAMES ? ` and ${names.length - MOST_NAMES} more` : "";
  return [`${kind}: ${names.slice(0, MOST_NAMES).join(", ")}${more}`];
}

function machineWith({ nodes }: ImportedState, address: IpAddress): NetNamespace | undefined {
  for (const kernel of nodes.values()) {
    for (const netns of [kernel.initNs, ...kernel.namespaces]) {
      if (netns.hasAddress(address)) return netns;
    }
  }
  return undefined;
}

/** Where no host outside can be: around the addresses of pods and Services. */
function ranges(api: ApiStore): ClusterConfig {
  const around = (texts: readonly (string | undefined)[]): Prefix[] => {
    const found = new Map<string, Prefix>();
    for (const text of texts) {
      const address = tryParseIp(text ?? "");
      if (address === undefined) continue;
      const prefix = new Prefix(address, RANGE_BITS[typeof address === "number" ? 4 : 6]);
      found.set(String(prefix), prefix);
    }
    return [...found.values()];
  };
  const ofNodes = api
    .list("Node")
    .flatMap(({ spec }) => spec?.podCIDRs ?? [])
    .map(tryParsePrefix)
    .filter((p) => p !== undefined);
  return {
    ...clusterConfig(),
    clusterCidrs: ofNodes,
    serviceCidrs: around(api.list("Service").flatMap(({ spec }) => spec.clusterIPs ?? [])),
  };
}
