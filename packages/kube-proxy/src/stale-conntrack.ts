import type { Conntrack, ConntrackEntry, NetNamespace } from "@cnilab/linux";
import { formatEndpoint, IPPROTO_UDP, type IpAddress, parseIp } from "@cnilab/net";
import type { ProxyEndpoint } from "./endpoint.ts";
import type { Proxier } from "./proxier.ts";
import type { ServicePort } from "./service-port.ts";
import type { ServiceState } from "./service-state.ts";

/**
 * A proxier that ends UDP connections to endpoints that are gone. DNAT decides at a connection's first
 * packet, and UDP has no end: a client that keeps sending from one port would be sent to an endpoint
 * that is gone for as long as it sends (pkg/proxy/conntrack/cleanup.go, v1.35).
 *
 * As the real one it looks only after syncs in which endpoints of UDP ports changed, and then at all
 * UDP connections. What a Service's new address changes alone stays until then.
 */
export class ConntrackCleaningProxier implements Proxier {
  readonly #netns: NetNamespace;
  readonly #proxier: Proxier;
  #cleaned: UdpServices | undefined;

  /** @param proxier what writes the rules */
  constructor(netns: NetNamespace, proxier: Proxier) {
    this.#netns = netns;
    this.#proxier = proxier;
  }

  sync(state: ServiceState, now: number): void {
    this.#proxier.sync(state, now);
    const services = UdpServices.of(state);
    const changed = services.endpointsDiffer(this.#cleaned);
    this.#cleaned = services;
    const { conntrack } = this.#netns;
    if (changed && conntrack !== undefined) services.cleanStaleEntries(conntrack);
  }
}

/** The UDP ports of a state, by what clients send to. Nodes that share a state share this, too. */
class UdpServices {
  static readonly #made = new WeakMap<ServiceState, UdpServices>();

  readonly #family: ServiceState["family"];
  readonly #endpoints = new Map<string, readonly ProxyEndpoint[]>();
  /** `ip:port` of the serving endpoints, by address (cluster, external, load balancer) and port. */
  readonly #byAddress = new Map<IpAddress, Map<number, ReadonlySet<string>>>();
  readonly #byNodePort = new Map<number, ReadonlySet<string>>();

  static of(state: ServiceState): UdpServices {
    const known = UdpServices.#made.get(state);
    if (known !== undefined) return known;
    const services = new UdpServices(state);
    UdpServices.#made.set(state, services);
    return services;
  }

  private constructor(state: ServiceState) {
    this.#family = state.family;
    for (const { port, endpoints } of state.ports) {
      if (port.protocol !== "udp") continue;
      this.#endpoints.set(port.spn, endpoints);
      // Neither policies nor readiness count: a connection may stay where it is as long as it is served.
      const serving = new Set(endpoints.filter((e) => e.serving).map((e) => e.text));
      if (serving.size > 0) this.#add(port, serving);
    }
  }

  #add(port: ServicePort, serving: ReadonlySet<string>): void {
    for (const ip of [port.clusterIP, ...port.loadBalancerIPs, ...port.externalIPs]) {
      const address = parseIp(ip);
      const ports = this.#byAddress.get(address) ?? new Map<number, ReadonlySet<string>>();
      this.#byAddress.set(address, ports.set(port.port, serving));
    }
    if (port.nodePort !== 0) this.#byNodePort.set(port.nodePort, serving);
  }

  endpointsDiffer(before: UdpServices | undefined): boolean {
    if (before === undefined) return this.#endpoints.size > 0;
    if (before === this) return false;
    if (before.#endpoints.size !== this.#endpoints.size) return true;
    for (const [spn, endpoints] of this.#endpoints) {
      if (!sameEndpoints(before.#endpoints.get(spn), endpoints)) return true;
    }
    return false;
  }

  cleanStaleEntries(conntrack: Conntrack): void {
    if (this.#byAddress.size > 0) conntrack.delete((entry) => this.#isStale(entry));
  }

  #isStale({ family, protocol, original, reply }: ConntrackEntry): boolean {
    if (protocol !== IPPROTO_UDP || family !== this.#family) return false;
    const ofAddress = this.#byAddress.get(original.dst)?.get(original.dstPort);
    // To whatever address: kube-proxy does not ask whether it is one of the node's.
    const ofNodePort = this.#byNodePort.get(original.dstPort);
    if (ofAddress === undefined && ofNodePort === undefined) return false;
    const endpoint = formatEndpoint(reply.src, reply.srcPort);
    return ofAddress?.has(endpoint) === false || ofNodePort?.has(endpoint) === false;
  }
}

function sameEndpoints(
  before: readonly ProxyEndpoint[] | undefined,
  after: readonly ProxyEndpoint[],
): boolean {
  if (before === after) return true;
  if (before?.length !== after.length) return false;
  return before.every((e, i) => e.text === after[i]?.text && e.serving === after[i]?.serving);
}
