import type { IpVsServiceSettings } from "@cnilab/linux";
import { IP_VS_SVC_F_PERSISTENT, IP_VS_SVC_F_SCHED2, type SchedulerName } from "@cnilab/linux";
import { IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP, type IpAddress, parseIp } from "@cnilab/net";
import type { ProxyEndpoint } from "../endpoint.ts";
import { categorizeEndpoints, type NodeTopology } from "../endpoint-categories.ts";
import type { ServicePort } from "../service-port.ts";
import type { ProxiedPort } from "../service-state.ts";
import type { IpSetName } from "./ip-sets.ts";

/** What a node has to say about the virtual servers on it. */
export interface IpvsNodeFacts {
  readonly topology: NodeTopology;
  readonly scheduler: SchedulerName;
  /** Addresses of the node's devices but the one for services. */
  readonly nodeAddresses: ReadonlySet<string>;
  /** Addresses that node ports answer on. */
  readonly nodePortIps: readonly string[];
  /** Tells whether the node's own address of the family is in a range. */
  readonly nodeIsIn: (range: string) => boolean;
}

/** A virtual server that a service port needs, with those of its endpoints that it leads to. */
export interface VirtualServer {
  readonly protocol: number;
  readonly address: IpAddress;
  readonly port: number;
  readonly settings: IpVsServiceSettings;
  readonly endpoints: readonly ProxyEndpoint[];
  readonly proxied: ServicePort;
}

/** A load balancer's address that the node itself must not use. */
export interface ForbiddenPort {
  readonly ip: string;
  readonly protocol: string;
  readonly port: number;
}

/** All that one service port needs on one node. */
export interface PortProgram {
  readonly servers: readonly VirtualServer[];
  /** Addresses for the device of service addresses. */
  readonly addresses: readonly string[];
  readonly entries: readonly (readonly [set: IpSetName, entry: string])[];
  readonly forbidden: readonly ForbiddenPort[];
}

const IP_PROTOCOLS = { tcp: IPPROTO_TCP, udp: IPPROTO_UDP, sctp: IPPROTO_SCTP } as const;

/** Says what a service port needs (pkg/proxy/ipvs/proxier.go `syncProxyRules`, one turn of its loop). */
export function portProgram(proxied: ProxiedPort, facts: IpvsNodeFacts): PortProgram {
  const writer = new PortProgramWriter(proxied, facts);
  writer.write();
  return writer;
}

class PortProgramWriter implements PortProgram {
  readonly servers: VirtualServer[] = [];
  readonly addresses: string[] = [];
  readonly entries: (readonly [IpSetName, string])[] = [];
  readonly forbidden: ForbiddenPort[] = [];
  readonly #port: ServicePort;
  readonly #endpoints: readonly ProxyEndpoint[];
  readonly #facts: IpvsNodeFacts;
  readonly #cluster: readonly ProxyEndpoint[];
  readonly #local: readonly ProxyEndpoint[];

  constructor({ port, endpoints }: ProxiedPort, facts: IpvsNodeFacts) {
    this.#port = port;
    this.#endpoints = endpoints;
    this.#facts = facts;
    const { cluster, local } = categorizeEndpoints(endpoints, port, facts.topology);
    this.#cluster = cluster;
    // Without any on this node, those of others: answers to clients outside will be lost on the way.
    this.#local = local.length > 0 ? local : cluster;
  }

  write(): void {
    const { clusterIP, port, internalPolicyLocal } = this.#port;
    this.#loopBack();
    this.entries.push(["KUBE-CLUSTER-IP", this.#entry(clusterIP)]);
    this.#server(clusterIP, port, internalPolicyLocal);
    this.addresses.push(clusterIP);
    for (const ip of this.#port.externalIPs) this.#externalIp(ip);
    for (const ip of this.#port.loadBalancerIPs) this.#loadBalancerIp(ip);
    this.#nodePortAndHealthCheck();
  }

  /** A pod that reaches itself through the service has to be masqueraded. */
  #loopBack(): void {
    const { protocol } = this.#port;
    for (const { ip, port, nodeName } of this.#endpoints) {
      if (nodeName !== this.#facts.topology.name) continue;
      this.entries.push(["KUBE-LOOP-BACK", `${ip},${protocol}:${port},${ip}`]);
    }
  }

  #externalIp(ip: string): void {
    const { port, externalPolicyLocal } = this.#port;
    const set = externalPolicyLocal ? "KUBE-EXTERNAL-IP-LOCAL" : "KUBE-EXTERNAL-IP";
    this.entries.push([set, this.#entry(ip)]);
    this.#server(ip, port, externalPolicyLocal);
    this.#bindUnlessOwn(ip);
  }

  #loadBalancerIp(ip: string): void {
    const { port, externalPolicyLocal, sourceRanges } = this.#port;
    const entry = this.#entry(ip);
    this.entries.push(["KUBE-LOAD-BALANCER", entry]);
    if (externalPolicyLocal) this.entries.push(["KUBE-LOAD-BALANCER-LOCAL", entry]);
    if (sourceRanges.length > 0) this.#firewall(ip, entry);
    this.#server(ip, port, externalPolicyLocal);
    this.#bindUnlessOwn(ip);
  }

  #firewall(ip: string, entry: string): void {
    const { port, protocol, sourceRanges } = this.#port;
    this.entries.push(["KUBE-LOAD-BALANCER-FW", entry]);
    for (const range of sourceRanges) {
      this.entries.push(["KUBE-LOAD-BALANCER-SOURCE-CIDR", `${entry},${range}`]);
    }
    // The node's own calls come from the address that they go to.
    if (sourceRanges.some(this.#facts.nodeIsIn)) {
      this.entries.push(["KUBE-LOAD-BALANCER-SOURCE-IP", `${entry},${ip}`]);
    } else {
      this.forbidden.push({ ip, protocol, port });
    }
  }

  #nodePortAndHealthCheck(): void {
    const { nodePort, healthCheckNodePort, externalPolicyLocal } = this.#port;
    const { nodePortIps } = this.#facts;
    if (nodePort !== 0) {
      if (nodePortIps.length === 0) return;
      this.#nodePortEntries("KUBE-NODE-PORT");
      if (externalPolicyLocal) this.#nodePortEntries("KUBE-NODE-PORT-LOCAL");
      for (const ip of nodePortIps) this.#server(ip, nodePort, externalPolicyLocal);
    }
    if (healthCheckNodePort !== 0) {
      this.entries.push(["KUBE-HEALTH-CHECK-NODE-PORT", String(healthCheckNodePort)]);
    }
  }

  /** For SCTP by address, as a bitmap of ports does not know that protocol. */
  #nodePortEntries(set: "KUBE-NODE-PORT" | "KUBE-NODE-PORT-LOCAL"): void {
    const { nodePort, protocol } = this.#port;
    if (protocol === "sctp") {
      for (const ip of this.#facts.nodePortIps) {
        this.entries.push([`${set}-SCTP-HASH`, `${ip},sctp:${nodePort}`]);
      }
    } else {
      this.entries.push([`${set}-${protocol === "tcp" ? "TCP" : "UDP"}`, String(nodePort)]);
    }
  }

  #server(ip: string, port: number, localOnly: boolean): void {
    this.servers.push({
      protocol: IP_PROTOCOLS[this.#port.protocol],
      address: parseIp(ip),
      port,
      settings: this.#settings(),
      endpoints: localOnly ? this.#local : this.#cluster,
      proxied: this.#port,
    });
  }

  #settings(): IpVsServiceSettings {
    const { affinitySeconds } = this.#port;
    const { scheduler } = this.#facts;
    let flags = 0;
    if (affinitySeconds > 0) flags |= IP_VS_SVC_F_PERSISTENT;
    // Connections of one client spread over the servers (`FlagSourceHash`).
    if (scheduler === "mh") flags |= IP_VS_SVC_F_SCHED2;
    return { scheduler, flags, timeout: affinitySeconds };
  }

  /** An address that the node has on another device stays there. */
  #bindUnlessOwn(ip: string): void {
    if (!this.#facts.nodeAddresses.has(ip)) this.addresses.push(ip);
  }

  #entry(ip: string): string {
    return `${ip},${this.#port.protocol}:${this.#port.port}`;
  }
}
