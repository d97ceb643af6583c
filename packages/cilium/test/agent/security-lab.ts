import { type KubeObject, type Labels, SeededRandom, VirtualClock } from "@cnilab/core";
import { Kernel, Network } from "@cnilab/linux";
import { type IpAddress, Prefix, parseIp } from "@cnilab/net";
import { Propagation } from "../../src/agent/identity/agent-world.ts";
import { ClusterIdentities } from "../../src/agent/identity/cluster-identities.ts";
import type { NodeIpcache } from "../../src/agent/identity/cluster-ipcache.ts";
import { EndpointIdentities } from "../../src/agent/identity/endpoint-identities.ts";
import { ClusterPolicies } from "../../src/agent/policy/cluster-policies.ts";
import type { L7Proxy, PolicyNode } from "../../src/agent/policy/endpoint-policies.ts";
import { portsOfPod } from "../../src/agent/policy/named-ports.ts";
import type { EndpointState } from "../../src/api/v2/endpoint.ts";
import { ipcacheKeyOf } from "../../src/datapath/maps/ipcache-map.ts";
import type { PolicyMap } from "../../src/datapath/maps/policy-map.ts";
import { ClusterMaps, DEFAULT_MAP_SIZES, NodeMaps } from "../../src/datapath/node-maps.ts";
import {
  identityRange,
  type NumericIdentity,
  RESERVED_IDENTITY,
} from "../../src/identity/numeric-identity.ts";
import { LabelFilter } from "../../src/labels/label-filter.ts";
import { type LabelSet, parseLabels, printLabels } from "../../src/labels/label-set.ts";
import { DEFAULT_POLICY_SETTINGS, type PolicySettings } from "../../src/policy/policy-settings.ts";
import { FakeApi } from "./fake-api.ts";

export interface LabSettings {
  readonly policy?: Partial<PolicySettings>;
  readonly maxEntries?: number;
  readonly seed?: number;
  readonly cidrMatchesNodes?: boolean;
}

export interface LabPod {
  readonly name: string;
  readonly namespace?: string;
  readonly labels?: Labels;
  readonly ip: string;
  /** `name/TCP/8080` */
  readonly ports?: readonly string[];
}

/** Nodes without programs: their maps are asked as programs would ask them. */
export class SecurityLab {
  readonly clock: VirtualClock = new VirtualClock();
  readonly api: FakeApi = new FakeApi(this.clock);
  readonly propagation: Propagation = new Propagation();
  readonly network: Network;
  readonly maps: ClusterMaps;
  readonly identities: ClusterIdentities;
  readonly policies: ClusterPolicies;
  readonly nodes: LabNode[] = [];
  readonly random: SeededRandom;
  readonly maxEntries: number;

  constructor({
    policy,
    maxEntries = 16_384,
    seed = 1,
    cidrMatchesNodes = false,
  }: LabSettings = {}) {
    const { api, clock, propagation } = this;
    this.random = new SeededRandom(seed);
    this.maxEntries = maxEntries;
    this.network = new Network(clock, this.random);
    this.maps = new ClusterMaps(this.network);
    this.namespace("default");
    const { network, maps } = this;
    const world = { api: api.client, clock, network, maps, propagation };
    const settings = { ...DEFAULT_POLICY_SETTINGS, ...policy };
    this.identities = new ClusterIdentities(world, {
      clusterName: "default",
      range: identityRange(0),
      filter: new LabelFilter(),
      graceMs: 5000,
    });
    this.policies = new ClusterPolicies(world, this.identities, {
      policy: settings,
      ipcache: {
        clusterName: "default",
        families: settings.dualStack ? [4, 6] : [4],
        underlay: 4,
        dualStack: settings.dualStack,
        cidrMatchesNodes,
        nodeLabels: false,
        hostFirewall: settings.hostFirewall,
        encryption: "none",
      },
      maxEntries,
    });
  }

  namespace(name: string, labels: Labels = {}): void {
    this.api.put({ apiVersion: "v1", kind: "Namespace", metadata: { name, labels } });
  }

  node(ip: string, podCidr: string): LabNode {
    const name = `node${this.nodes.length + 1}`;
    this.api.put({
      apiVersion: "cilium.io/v2",
      kind: "CiliumNode",
      metadata: { name },
      spec: {
        addresses: [{ type: "InternalIP", ip }],
        ipam: { podCIDRs: [podCidr] },
      },
    } as KubeObject);
    const node = new LabNode(this, name, parseIp(ip));
    this.nodes.push(node);
    return node;
  }

  apply(...objects: readonly object[]): void {
    for (const object of objects) this.api.put(object as KubeObject);
    this.clock.settle();
  }

  cnp(name: string, spec: object, namespace = "default"): KubeObject {
    const metadata = { name, namespace };
    return {
      apiVersion: "cilium.io/v2",
      kind: "CiliumNetworkPolicy",
      metadata,
      spec,
    } as KubeObject;
  }
}

export class LabNode {
  readonly name: string;
  readonly ip: IpAddress;
  readonly lab: SecurityLab;
  readonly maps: NodeMaps;
  readonly identities: EndpointIdentities;
  readonly endpoints: LabEndpoint[] = [];
  readonly policyNode: { -readonly [K in keyof PolicyNode]: PolicyNode[K] };
  ipcache: NodeIpcache;
  #nextId = 0;

  constructor(lab: SecurityLab, name: string, ip: IpAddress) {
    this.lab = lab;
    this.name = name;
    this.ip = ip;
    const sizes = { ...DEFAULT_MAP_SIZES, policy: lab.maxEntries };
    this.maps = new NodeMaps(new Kernel(lab.network, name), sizes, lab.maps);
    this.policyNode = { name, hostLabels: parseLabels(["reserved:host"]), proxy: undefined };
    this.identities = new EndpointIdentities(lab.identities, {
      node: name,
      random: lab.random.fork(name),
      changed: (endpoint) => (endpoint as LabEndpoint).identityChanged(),
    });
    this.ipcache = this.#join();
  }

  #join(): NodeIpcache {
    return this.lab.policies.ipcache.join({
      map: this.maps.ipcache,
      nodeIps: [this.ip],
      addresses: [this.ip],
    });
  }

  set proxy(proxy: L7Proxy) {
    this.policyNode.proxy = proxy;
  }

  run({ name, namespace = "default", labels = {}, ip, ports = [] }: LabPod): LabEndpoint {
    const { api } = this.lab;
    const metadata = { name, namespace, labels };
    const containers = [
      {
        name: "main",
        ports: ports.map((text) => {
          const [port, protocol, number] = text.split("/");
          return { name: port, protocol, containerPort: Number(number) };
        }),
      },
    ];
    api.put({ apiVersion: "v1", kind: "Pod", metadata, spec: { containers } } as KubeObject);
    const endpoint = new LabEndpoint(this, ++this.#nextId, "pod", `${namespace}/${name}`, ip);
    this.endpoints.push(endpoint);
    endpoint.start();
    api.update("Pod", `${namespace}/${name}`, (pod: KubeObject) => ({
      ...pod,
      status: { podIPs: [{ ip }], hostIP: String(this.hostIp) },
    }));
    return endpoint;
  }

  /** The node itself. */
  host(): LabEndpoint {
    const endpoint = new LabEndpoint(this, ++this.#nextId, "host", undefined, undefined);
    this.endpoints.push(endpoint);
    endpoint.start();
    return endpoint;
  }

  get hostIp(): Prefix | string {
    return String(Prefix.host(this.ip)).replace(/\/.*/, "");
  }

  /** As the datapath finds it. */
  identityOf(address: string): NumericIdentity {
    return this.maps.ipcache.get(ipcacheKeyOf(parseIp(address)))?.identity ?? 0;
  }

  tunnelTo(address: string): IpAddress | undefined {
    return this.maps.ipcache.get(ipcacheKeyOf(parseIp(address)))?.tunnelEndpoint;
  }

  /** The agent ends, and leaves maps behind. */
  stop(): void {
    for (const endpoint of this.endpoints) endpoint.stop();
    this.identities.stop();
    this.ipcache.leave();
  }

  start(): void {
    this.ipcache = this.#join();
    for (const endpoint of this.endpoints) endpoint.start();
  }
}

export class LabEndpoint {
  readonly node: LabNode;
  readonly id: number;
  readonly kind: "pod" | "host";
  readonly podKey: string | undefined;
  readonly ip: string | undefined;
  labels: LabelSet = parseLabels(["reserved:init"]);
  identity: NumericIdentity = RESERVED_IDENTITY.init;
  state: EndpointState = "waiting-for-identity";
  #isStarting = false;

  constructor(
    node: LabNode,
    id: number,
    kind: "pod" | "host",
    podKey: string | undefined,
    ip: string | undefined,
  ) {
    this.node = node;
    this.id = id;
    this.kind = kind;
    this.podKey = podKey;
    this.ip = ip;
    if (kind === "host") this.identity = RESERVED_IDENTITY.host;
  }

  get map(): PolicyMap {
    return this.node.maps.lxcPolicy(this.id);
  }

  get labelTexts(): readonly string[] {
    return printLabels(this.labels);
  }

  start(): void {
    this.#isStarting = true;
    this.node.identities.add(this);
    this.#isStarting = false;
    const { api, policies } = this.node.lab;
    const pod = this.podKey === undefined ? undefined : api.get("Pod", this.podKey);
    const ports = pod === undefined ? new Map() : portsOfPod(pod as never);
    policies.endpoints.add(this.node.policyNode, this, this.map, ports);
    this.#tell();
  }

  stop(): void {
    this.node.lab.policies.endpoints.remove(this);
  }

  identityChanged(): void {
    if (this.#isStarting) return;
    this.node.lab.policies.endpoints.update(this);
    this.state = "ready";
    this.#tell();
  }

  remove(): void {
    const { api, policies } = this.node.lab;
    policies.endpoints.remove(this, false);
    this.node.identities.remove(this);
    this.node.endpoints.splice(this.node.endpoints.indexOf(this), 1);
    api.delete("CiliumEndpoint.cilium.io", this.podKey as string);
    api.delete("Pod", this.podKey as string);
  }

  /** Its CiliumEndpoint. */
  #tell(): void {
    if (this.podKey === undefined || this.identity === RESERVED_IDENTITY.init) return;
    const [namespace, name] = this.podKey.split("/");
    this.node.lab.api.put({
      apiVersion: "cilium.io/v2",
      kind: "CiliumEndpoint",
      metadata: { name, namespace },
      status: {
        id: this.id,
        identity: { id: this.identity },
        networking: { addressing: [{ ipv4: this.ip }], node: this.node.hostIp },
      },
    } as KubeObject);
  }

  /** What becomes of a packet from an address: as bpf/lib/policy.h would have it, of two probes. */
  ingress(from: string, port: number, protocol = 6): string {
    return this.verdict("ingress", this.node.identityOf(from), port, protocol);
  }

  egress(to: string, port: number, protocol = 6): string {
    return this.verdict("egress", this.node.identityOf(to), port, protocol);
  }

  verdict(
    direction: "ingress" | "egress",
    identity: NumericIdentity,
    port: number,
    protocol = 6,
  ): string {
    const probe = (secLabel: number) =>
      this.map.get({
        secLabel,
        egress: direction === "egress",
        protocol,
        dport: port,
        lpmPrefixLength: 24,
      });
    const [l3, l4] = [identity === 0 ? undefined : probe(identity), probe(0)];
    if (l3?.deny || l4?.deny) return "denied";
    const entry =
      l3 === undefined || l4 === undefined
        ? (l3 ?? l4)
        : l3.proxyPortPriority !== l4.proxyPortPriority
          ? l3.proxyPortPriority > l4.proxyPortPriority
            ? l3
            : l4
          : l4.lpmPrefixLength > l3.lpmPrefixLength
            ? l4
            : l3;
    if (entry === undefined) return "dropped";
    return entry.proxyPort === 0 ? "allowed" : `proxy ${entry.proxyPort}`;
  }
}
