import { familyOf, formatIp, type IpAddress, type IpFamily } from "@cnilab/net";
import {
  formatWindowsMac,
  HcnError,
  type HostComputeNetwork,
  type WindowsMachine,
} from "@cnilab/windows";
import type { ProxyEndpoint } from "../endpoint.ts";
import type { Proxier } from "../proxier.ts";
import type { ProxiedPort, ServiceState } from "../service-state.ts";
import { conjureMac, HnsEndpoints } from "./hns-endpoints.ts";
import { chooseEndpoints, type PlannedEndpoint, planLoadBalancers } from "./load-balancer-plan.ts";
import { nodeNetwork, sourceVipOf } from "./node-network.ts";
import type { WinkernelConfig } from "./winkernel-config.ts";

/** Port of kube-proxy's own health check. */
const HEALTHZ_PORT = 10_256;
/** Lines of what went wrong that are kept. */
const LOG_LINES = 100;

/** What is programmed for a service port. */
interface AppliedPort {
  /** What it was programmed for; another one is programmed anew. */
  proxied: ProxiedPort;
  /** Whether all went well. */
  applied: boolean;
  /** IDs of its load balancers, by what they are for. */
  readonly loadBalancers: Map<string, string>;
  /** IDs of remote endpoints that it refers to. */
  references: string[];
}

export interface KernelspaceNode {
  readonly machine: WindowsMachine;
  readonly name: string;
  readonly addresses: readonly IpAddress[];
}

/**
 * kube-proxy in kernelspace mode, in one family, on one Windows node (pkg/proxy/winkernel/proxier.go, v1.35): a
 * remote HNS endpoint for each pod elsewhere, and a load balancer of HNS for each address and port of a Service.
 */
export class KernelspaceProxier implements Proxier {
  readonly #family: IpFamily;
  readonly #config: WinkernelConfig;
  readonly #node: KernelspaceNode;
  readonly #ports = new Map<string, AppliedPort>();
  readonly #log: string[] = [];
  #endpoints: HnsEndpoints | undefined;
  #network: HostComputeNetwork | undefined;

  constructor(family: IpFamily, config: WinkernelConfig, node: KernelspaceNode) {
    this.#family = family;
    this.#config = config;
    this.#node = node;
  }

  /** What went wrong, the last lines. */
  get log(): readonly string[] {
    return this.#log;
  }

  sync(state: ServiceState): void {
    const network = nodeNetwork(this.#node.machine, this.#config);
    if (this.#changedNetwork(network)) this.#cleanUp();
    this.#network = network;
    // An overlay has no IPv6, and then kube-proxy runs for IPv4 alone.
    if (network === undefined || (this.#isOverlay && this.#family === 6)) return;
    const { hns } = this.#node.machine;
    this.#endpoints ??= new HnsEndpoints(hns, network);
    const endpoints = this.#endpoints;
    endpoints.query(network);
    const now = new Map(state.ports.map((proxied) => [keyOf(proxied), proxied]));
    for (const [key, port] of this.#ports) {
      if (now.has(key)) continue;
      this.#removeAll(port);
      this.#ports.delete(key);
    }
    if (!this.#ensureSourceVip(endpoints)) return;
    for (const [key, proxied] of now) this.#apply(key, proxied, endpoints);
    endpoints.deleteUnused();
  }

  get #isOverlay(): boolean {
    return this.#network?.Type === "Overlay";
  }

  get #nodeIp(): string {
    const own = this.#node.addresses.find((a) => familyOf(a) === this.#family);
    return own === undefined ? "" : formatIp(own);
  }

  get #hostMac(): string {
    return formatWindowsMac(this.#node.machine.hns.vswitch?.management.mac ?? 0);
  }

  get #rootEndpoint(): string | undefined {
    const { forwardHealthCheckVip, rootHnsEndpointName } = this.#config;
    if (!forwardHealthCheckVip) return undefined;
    return this.#node.machine.hns.getEndpointByName(rootHnsEndpointName)?.ID;
  }

  #changedNetwork(network: HostComputeNetwork | undefined): boolean {
    return this.#network !== undefined && network?.ID !== this.#network.ID;
  }

  /** The network is gone, and what referred to it is of no use. */
  #cleanUp(): void {
    for (const port of this.#ports.values()) this.#removeAll(port);
    this.#ports.clear();
    this.#endpoints = undefined;
  }

  /** On an overlay the host's load balancer sends as an address of the node's pod range. */
  #ensureSourceVip(endpoints: HnsEndpoints): boolean {
    const sourceVip = this.#sourceVip;
    if (!this.#isOverlay || endpoints.find(sourceVip) !== undefined) return true;
    return this.#attempt("Source Vip endpoint creation failed", () => {
      endpoints.create(sourceVip, { mac: this.#hostMac, remote: false });
    });
  }

  get #sourceVip(): string {
    return this.#isOverlay ? sourceVipOf(this.#node.machine, this.#config) : "";
  }

  #apply(key: string, proxied: ProxiedPort, endpoints: HnsEndpoints): void {
    let port = this.#ports.get(key);
    if (port?.applied && port.proxied === proxied) return;
    if (port !== undefined && !samePort(port.proxied, proxied)) this.#removeAll(port);
    for (const id of port?.references ?? []) endpoints.release(id);
    port ??= { proxied, applied: false, loadBalancers: new Map(), references: [] };
    port.proxied = proxied;
    port.references = [];
    this.#ports.set(key, port);
    port.applied = this.#attempt(`policy of ${proxied.port.spn} failed`, () =>
      this.#program(port, endpoints),
    );
  }

  #program(port: AppliedPort, endpoints: HnsEndpoints): void {
    const { port: service, endpoints: all } = port.proxied;
    if (this.#isOverlay) this.#referToVip(port, endpoints);
    const { usable, available } = chooseEndpoints(service, all, this.#node.name);
    const planned = usable.flatMap((e) => this.#planEndpoint(port, e, endpoints) ?? []);
    if (planned.length === 0) {
      this.#removeLoadBalancers(port);
      return;
    }
    const plan = planLoadBalancers(service, {
      config: this.#config,
      isIPv6: this.#family === 6,
      endpoints: planned,
      available,
      sourceVip: this.#sourceVipFor(usable, endpoints),
      rootEndpoint: this.#rootEndpoint,
      healthzPort: HEALTHZ_PORT,
    });
    const { hns } = this.#node.machine;
    for (const { slot, settings } of plan) {
      const id = port.loadBalancers.get(slot);
      if (settings === "leave") continue;
      if (settings === "remove") this.#removeLoadBalancer(port, slot);
      else if (id !== undefined) hns.updateLoadBalancer(id, settings);
      else port.loadBalancers.set(slot, hns.createLoadBalancer(settings, service.origin).ID);
    }
  }

  /** On an overlay packets to a cluster IP that nobody translated find the host by a remote endpoint. */
  #referToVip(port: AppliedPort, endpoints: HnsEndpoints): void {
    const { clusterIP } = port.proxied.port;
    const vip =
      endpoints.find(clusterIP) ??
      endpoints.create(clusterIP, {
        mac: this.#hostMac,
        remote: true,
        providerAddress: this.#nodeIp,
      });
    port.references.push(vip.ID);
    endpoints.refer(vip.ID);
  }

  /** `undefined` for a pod of this node that HNS does not know, as those in the host's network. */
  #planEndpoint(
    port: AppliedPort,
    endpoint: ProxyEndpoint,
    endpoints: HnsEndpoints,
  ): PlannedEndpoint | undefined {
    const isLocal = endpoint.nodeName === this.#node.name;
    const known = endpoints.find(endpoint.ip);
    if (known === undefined && isLocal) {
      this.#note(`Local endpoint not found: ${endpoint.ip} on network ${this.#network?.Name}`);
      return undefined;
    }
    const hns =
      known ??
      endpoints.create(endpoint.ip, {
        mac: conjureMac(endpoint.address),
        remote: true,
        providerAddress: this.#isOverlay
          ? (endpoints.providerAddressOf(endpoint.ip, endpoint.address) ?? this.#nodeIp)
          : undefined,
      });
    const remote = hns.Flags !== 0;
    if (remote) {
      port.references.push(hns.ID);
      endpoints.refer(hns.ID);
    }
    return { hnsId: hns.ID, isLocal: !remote, port: endpoint.port };
  }

  /** The node's own address where an endpoint is a node or outside of the cluster: those do not know the overlay. */
  #sourceVipFor(usable: readonly ProxyEndpoint[], endpoints: HnsEndpoints): string {
    if (!this.#isOverlay) return "";
    const outside = usable.some((e) => {
      if (e.nodeName === this.#node.name) return false;
      const node = endpoints.providerAddressOf(e.ip, e.address);
      return node === undefined || node === e.ip;
    });
    return outside ? this.#nodeIp : this.#sourceVip;
  }

  // ---- taking away

  #removeAll(port: AppliedPort): void {
    this.#removeLoadBalancers(port);
    for (const id of port.references) this.#endpoints?.release(id);
    port.references = [];
    port.applied = false;
  }

  #removeLoadBalancers(port: AppliedPort): void {
    for (const slot of [...port.loadBalancers.keys()]) this.#removeLoadBalancer(port, slot);
  }

  #removeLoadBalancer({ loadBalancers }: AppliedPort, slot: string): void {
    const { hns } = this.#node.machine;
    const id = loadBalancers.get(slot);
    loadBalancers.delete(slot);
    if (id !== undefined && hns.getLoadBalancer(id) !== undefined) hns.deleteLoadBalancer(id);
  }

  /** HNS's refusals are logged, and the port is tried again with the next change. */
  #attempt(what: string, call: () => void): boolean {
    try {
      call();
      return true;
    } catch (error) {
      if (!(error instanceof HcnError)) throw error;
      this.#note(`${what}: ${error.message}`);
      return false;
    }
  }

  #note(message: string): void {
    this.#log.push(message);
    if (this.#log.length > LOG_LINES) this.#log.shift();
  }
}

/** What tells service ports apart; two ports without a name may differ by protocol. */
function keyOf({ port }: ProxiedPort): string {
  return `${port.spn} ${port.protocol}`;
}

/** Whether the Service asks for the same; its load balancers are then changed in place. */
function samePort(x: ProxiedPort, y: ProxiedPort): boolean {
  return x.port === y.port || JSON.stringify(x.port) === JSON.stringify(y.port);
}
