import type { NodeContext, OverlayEngine, Random, Timer } from "@cnilab/core";
import { type Kernel, KernelError } from "@cnilab/linux";
import type { IpAddress, IpFamily } from "@cnilab/net";
import { BehaviorSubject, type Observable } from "rxjs";
import type { NodeConfig } from "../datapath/node-config.ts";
import { NodeMaps } from "../datapath/node-maps.ts";
import { NodePrograms } from "../datapath/programs.ts";
import { RESERVED_IDENTITY } from "../identity/numeric-identity.ts";
import type { CiliumIpam, NodeAllocation } from "../ipam/cilium-ipam.ts";
import { parseLabels } from "../labels/label-set.ts";
import type { AgentConfig } from "../options/agent-config.ts";
import type { AgentPart } from "./agent-part.ts";
import { AGENT_PARTS } from "./agent-parts.ts";
import type { ClusterCilium } from "./cluster-cilium.ts";
import { Endpoint } from "./endpoint.ts";
import { EndpointTable } from "./endpoint-table.ts";
import { mapSizes } from "./map-sizes.ts";
import { nodeConfig } from "./node-config.ts";
import { type BaseDevices, setUpBaseDevices } from "./node-devices.ts";
import { OwnCiliumNode } from "./own-cilium-node.ts";

export interface CiliumAgentEnvironment {
  readonly node: NodeContext<Kernel>;
  readonly cluster: ClusterCilium;
  readonly ipam: CiliumIpam;
  /** Writes the network's configuration for the kubelet (`write-cni-conf-when-ready`). */
  readonly installCni: () => void;
}

/** Milliseconds until the container starts again after a failure. */
const RESTART_MS = 1000;
/** Restarts that somebody waits for. */
const PATIENCE = 3;

const HOST_LABELS = parseLabels(["reserved:host"]);

/** What one run of the agent has found and made. */
interface Run {
  readonly allocation: NodeAllocation;
  readonly devices: BaseDevices;
  readonly config: NodeConfig;
  readonly programs: NodePrograms;
  readonly parts: readonly AgentPart[];
}

/** Agents of machines, for those who look at a node from outside. */
const AGENTS = new WeakMap<Kernel, CiliumAgent>();

/**
 * cilium-agent on one node. It asks for addresses, makes devices, compiles programs, and starts its parts. What it stops leaves behind
 * (maps, programs, routes) goes on working.
 */
export class CiliumAgent implements OverlayEngine {
  readonly name = "cilium-agent";
  readonly node: NodeContext<Kernel>;
  readonly cluster: ClusterCilium;
  readonly ipam: CiliumIpam;
  readonly endpoints: EndpointTable;
  readonly random: Random;
  readonly #installCni: () => void;
  readonly #ready = new BehaviorSubject(false);
  readonly #own: OwnCiliumNode;
  readonly #deleteQueue = new Set<Endpoint>();
  #maps: NodeMaps | undefined;
  #run: Run | undefined;
  #due: Timer | undefined;
  #running = false;
  #failures = 0;
  #problem: string | undefined;

  constructor({ node, cluster, ipam, installCni }: CiliumAgentEnvironment) {
    this.node = node;
    this.cluster = cluster;
    this.ipam = ipam;
    this.#installCni = installCni;
    this.random = node.random.fork("cilium-agent");
    this.endpoints = new EndpointTable(this.random.fork("endpoints"));
    this.#own = new OwnCiliumNode(node, cluster.config);
    AGENTS.set(node.machine, this);
  }

  /** The agent of a machine, running or not. */
  static of(machine: Kernel): CiliumAgent | undefined {
    return AGENTS.get(machine);
  }

  get config(): AgentConfig {
    return this.cluster.config;
  }

  get kernel(): Kernel {
    return this.node.machine;
  }

  /** Pinned: they are there from the agent's first start on, as long as the machine runs. */
  get maps(): NodeMaps {
    if (this.#maps === undefined) throw new Error(`the agent of ${this.node.name} has no maps yet`);
    return this.#maps;
  }

  /** What its programs are compiled with. Parts may ask from their start on. */
  get nodeConfig(): NodeConfig {
    return this.#runs.config;
  }

  get programs(): NodePrograms {
    return this.#runs.programs;
  }

  get devices(): BaseDevices {
    return this.#runs.devices;
  }

  /** What the node has of addresses. */
  get allocation(): NodeAllocation {
    return this.#runs.allocation;
  }

  /** The CiliumNode of this node. */
  get ciliumNode(): OwnCiliumNode {
    return this.#own;
  }

  /** A part of the present run. */
  part<T extends AgentPart>(type: abstract new (...args: never[]) => T): T | undefined {
    return this.#run?.parts.find((part): part is T => part instanceof type);
  }

  /** Whether it answers on its socket. */
  get isUp(): boolean {
    return this.#run !== undefined;
  }

  /** CiliumInternalIP, the next hop of pods. */
  router(family: IpFamily): IpAddress | undefined {
    const { routerIpv4, routerIpv6 } = this.#runs.config;
    return family === 4 ? routerIpv4 : routerIpv6;
  }

  get ready(): Observable<boolean> {
    return this.#ready;
  }

  get mtu(): number {
    return this.#run?.devices.mtu.route ?? 0;
  }

  get problem(): string | undefined {
    return this.#run === undefined ? (this.#problem ?? this.ipam.problem) : undefined;
  }

  /** What its parts could not do. */
  get warnings(): readonly string[] {
    return (this.#run?.parts ?? []).flatMap(({ warnings = [] }) => warnings);
  }

  start(): void {
    if (this.#running) return;
    this.#running = true;
    // The container comes up when all that was applied in this moment is there.
    this.#due = this.node.clock.schedule(0, () => this.#startUp());
  }

  #startUp(): void {
    this.#due = undefined;
    this.cluster.attach(this.node);
    this.#maps ??= new NodeMaps(this.kernel, mapSizes(this.config), this.cluster.maps);
    this.#own.start();
    this.ipam.start((allocation) => {
      // Nodes that come up in one moment all have their ranges before the first looks at the others.
      this.#due ??= this.node.clock.schedule(0, () => this.#launch(allocation));
    });
  }

  #launch(allocation: NodeAllocation): void {
    this.#due = undefined;
    try {
      this.#run = this.#makeRun(allocation);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      this.#fail(error.message);
      return;
    }
    this.#failures = 0;
    this.#own.announce(allocation);
    this.cluster.agents.set(this.node.name, this);
    const { parts } = this.#run;
    for (const part of parts) part.start();
    for (const endpoint of this.#deleteQueue) this.#removeEndpoint(endpoint);
    this.#deleteQueue.clear();
    for (const endpoint of [...this.endpoints]) this.#tellAdded(endpoint);
    this.#installCni();
    this.#due = this.node.clock.schedule(0, () => {
      this.#due = undefined;
      this.#own.setNetworkAvailable();
      this.#ready.next(true);
    });
  }

  #makeRun(allocation: NodeAllocation): Run {
    const devices = setUpBaseDevices(this, allocation);
    const { id } = this.endpoints.host ?? this.#makeHostEndpoint(devices);
    const config = nodeConfig(this, allocation, devices, id);
    const programs = new NodePrograms(this.maps, config);
    const run: { -readonly [K in keyof Run]: Run[K] } = {
      allocation,
      devices,
      config,
      programs,
      parts: [],
    };
    // Parts ask for it as they are made.
    this.#run = run;
    run.parts = AGENT_PARTS.map((make) => make(this)).filter((part) => part !== undefined);
    return run;
  }

  /** The node itself. Its parts hear of it when they have started. */
  #makeHostEndpoint({ host }: BaseDevices): Endpoint {
    const endpoint = new Endpoint({
      id: this.endpoints.freeId() as number,
      kind: "host",
      containerId: "",
      interfaceName: host.name,
      addresses: [],
      device: host,
      mac: 0,
      netnsCookie: this.kernel.bpf.netnsCookie(this.kernel.initNs),
    });
    endpoint.identity = RESERVED_IDENTITY.host;
    endpoint.labels = HOST_LABELS;
    this.endpoints.add(endpoint);
    return endpoint;
  }

  /** A new endpoint, all of whose parts are told before anybody hears of it. */
  addEndpoint(endpoint: Endpoint): void {
    this.endpoints.add(endpoint);
    this.#tellAdded(endpoint);
  }

  #tellAdded(endpoint: Endpoint): void {
    endpoint.state = "waiting-to-regenerate";
    for (const part of this.#runs.parts) part.endpointAdded?.(endpoint);
    // One without an identity is ready when it has one.
    if (endpoint.state === "waiting-to-regenerate") endpoint.state = "ready";
    this.tellChanged(endpoint);
  }

  /** Its identity, its labels or its state is another. */
  tellChanged(endpoint: Endpoint): void {
    for (const part of this.#run?.parts ?? []) part.endpointChanged?.(endpoint);
  }

  /** Its pod is gone. While the agent is away that waits in a queue (`/var/run/cilium/deleteQueue`), and so do its maps and programs. */
  deleteEndpoint(endpoint: Endpoint): void {
    if (this.#run === undefined) this.#deleteQueue.add(endpoint);
    else this.#removeEndpoint(endpoint);
  }

  #removeEndpoint(endpoint: Endpoint): void {
    endpoint.state = "disconnecting";
    this.endpoints.remove(endpoint);
    for (const part of [...(this.#run?.parts ?? [])].reverse()) part.endpointRemoved?.(endpoint);
    this.maps.removeLxcPolicy(endpoint.id);
    endpoint.state = "disconnected";
  }

  #fail(message: string): void {
    this.#problem = message;
    this.#end();
    const background = ++this.#failures > PATIENCE;
    this.#due = this.node.clock.schedule(RESTART_MS, () => this.#startUp(), { background });
  }

  stop(): void {
    this.#running = false;
    this.#due?.cancel();
    this.#due = undefined;
    this.#end();
  }

  #end(): void {
    for (const part of [...(this.#run?.parts ?? [])].reverse()) part.stop();
    this.#run = undefined;
    this.ipam.stop();
    this.#own.stop();
    this.cluster.agents.delete(this.node.name);
    if (this.#ready.value) this.#ready.next(false);
  }

  get #runs(): Run {
    if (this.#run === undefined) throw new Error(`the agent of ${this.node.name} does not run`);
    return this.#run;
  }
}
