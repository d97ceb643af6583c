import type { Origin } from "@cnilab/core";
import type { IpFamily } from "@cnilab/net";
import type { ProxyEndpoint } from "../endpoint.ts";
import type { EndpointCategories } from "../endpoint-categories.ts";
import type { LocalTraffic } from "../local-traffic.ts";
import { endpointChain, type ServiceChains, serviceChains } from "../names.ts";
import { isExternallyAccessible, type ServicePort } from "../service-port.ts";

/** What the rules of a service port depend on besides the port and its endpoints. */
export interface RuleOptions {
  readonly family: IpFamily;
  readonly masqueradeAll: boolean;
  readonly localTraffic: LocalTraffic | undefined;
  /** Whether node ports answer on 127.0.0.1. */
  readonly localhostNodePorts: boolean;
  /** Above 1,000 endpoints kube-proxy leaves comments out of endpoint rules. */
  readonly endpointComments: boolean;
  /** Source ranges that hold the node's own address let its load balancer addresses in as well. */
  readonly nodeIsIn: (range: string) => boolean;
}

/** A chain and its rules, without `-A CHAIN`. */
export interface RenderedChain {
  readonly name: string;
  readonly rules: readonly string[];
}

/** The rules that one service port adds, in the form in which iptables-save prints them. */
export interface ServiceRules {
  readonly origin: Origin;
  /** Chains of its own in table nat. */
  readonly natChains: readonly RenderedChain[];
  /** Rules for nat KUBE-SERVICES. */
  readonly natServices: readonly string[];
  readonly natNodePorts: readonly string[];
  readonly filterServices: readonly string[];
  readonly filterExternalServices: readonly string[];
  readonly filterNodePorts: readonly string[];
  readonly filterFirewall: readonly string[];
}

/** The rules of one service port (pkg/proxy/iptables/proxier.go `syncProxyRules`, v1.35). */
export function serviceRules(
  port: ServicePort,
  endpoints: EndpointCategories,
  options: RuleOptions,
): ServiceRules {
  return new ServiceRuleWriter(port, endpoints, options).write();
}

class ServiceRuleWriter {
  readonly #port: ServicePort;
  readonly #endpoints: EndpointCategories;
  readonly #options: RuleOptions;
  readonly #chains: ServiceChains;
  readonly #natChains: RenderedChain[] = [];
  readonly #natServices: string[] = [];
  readonly #natNodePorts: string[] = [];
  readonly #filterServices: string[] = [];
  readonly #filterExternalServices: string[] = [];
  readonly #filterNodePorts: string[] = [];
  readonly #filterFirewall: string[] = [];

  constructor(port: ServicePort, endpoints: EndpointCategories, options: RuleOptions) {
    this.#port = port;
    this.#endpoints = endpoints;
    this.#options = options;
    this.#chains = serviceChains(port.spn, port.protocol);
  }

  write(): ServiceRules {
    const { spn, protocol } = this.#port;
    this.#clusterIp();
    this.#externalIps();
    this.#loadBalancerIps();
    this.#nodePort();
    if (this.#port.healthCheckNodePort !== 0) {
      const comment = `-m comment --comment "${spn} health check node port"`;
      this.#filterNodePorts.push(
        `-p tcp ${comment} -m tcp --dport ${this.#port.healthCheckNodePort} -j ACCEPT`,
      );
    }
    if (this.#hasExternalChain) this.#externalChain();
    if (this.#hasFirewallChain) this.#firewallChain();
    const { cluster, local, reachable } = this.#endpoints;
    if (cluster.length > 0) this.#chooseAmong(this.#chains.cluster, cluster);
    if (local.length > 0) this.#chooseAmong(this.#chains.local, local);
    for (const endpoint of reachable) {
      this.#endpointChain(endpointChain(spn, protocol, endpoint.text), endpoint);
    }
    return {
      origin: this.#port.origin,
      natChains: this.#natChains,
      natServices: this.#natServices,
      natNodePorts: this.#natNodePorts,
      filterServices: this.#filterServices,
      filterExternalServices: this.#filterExternalServices,
      filterNodePorts: this.#filterNodePorts,
      filterFirewall: this.#filterFirewall,
    };
  }

  get #hasInternalEndpoints(): boolean {
    return this.#port.internalPolicyLocal ? this.#endpoints.local.length > 0 : this.#endpoints.any;
  }

  get #hasExternalEndpoints(): boolean {
    return this.#port.externalPolicyLocal ? this.#endpoints.local.length > 0 : this.#endpoints.any;
  }

  /** The chain that traffic to the cluster IP enters. */
  get #internalChain(): string {
    return this.#port.internalPolicyLocal ? this.#chains.local : this.#chains.cluster;
  }

  get #hasExternalChain(): boolean {
    return this.#endpoints.any && isExternallyAccessible(this.#port);
  }

  get #hasFirewallChain(): boolean {
    const { loadBalancerIPs, sourceRanges } = this.#port;
    return this.#endpoints.any && loadBalancerIPs.length > 0 && sourceRanges.length > 0;
  }

  /** What becomes of traffic that no endpoint may take: refused, or lost where other nodes have some. */
  get #lost(): { readonly comment: string; readonly target: string } {
    const { spn } = this.#port;
    return this.#endpoints.any
      ? { comment: `${spn} has no local endpoints`, target: "DROP" }
      : { comment: `${spn} has no endpoints`, target: this.#reject };
  }

  get #reject(): string {
    const code = this.#options.family === 4 ? "icmp-port-unreachable" : "icmp6-port-unreachable";
    return `REJECT --reject-with ${code}`;
  }

  #clusterIp(): void {
    const { spn, clusterIP, port } = this.#port;
    if (this.#hasInternalEndpoints) {
      this.#natServices.push(this.#to(clusterIP, port, `${spn} cluster IP`, this.#internalChain));
    } else {
      const { comment, target } = this.#lost;
      this.#filterServices.push(this.#to(clusterIP, port, comment, target));
    }
  }

  #externalIps(): void {
    const { spn, externalIPs, port } = this.#port;
    for (const ip of externalIPs) {
      if (this.#endpoints.any) {
        this.#natServices.push(this.#to(ip, port, `${spn} external IP`, this.#chains.external));
      }
      this.#loseExternal(ip);
    }
  }

  #loadBalancerIps(): void {
    const { spn, loadBalancerIPs, port } = this.#port;
    const chain = this.#hasFirewallChain ? this.#chains.firewall : this.#chains.external;
    for (const ip of loadBalancerIPs) {
      if (this.#endpoints.any) {
        this.#natServices.push(this.#to(ip, port, `${spn} loadbalancer IP`, chain));
      }
      if (this.#hasFirewallChain) {
        const comment = `${spn} traffic not accepted by ${this.#chains.firewall}`;
        this.#filterFirewall.push(this.#to(ip, port, comment, "DROP"));
      }
      this.#loseExternal(ip);
    }
  }

  #loseExternal(ip: string): void {
    if (this.#hasExternalEndpoints) return;
    const { comment, target } = this.#lost;
    this.#filterExternalServices.push(this.#to(ip, this.#port.port, comment, target));
  }

  #nodePort(): void {
    const { spn, nodePort, protocol } = this.#port;
    if (nodePort === 0) return;
    if (this.#endpoints.any) {
      const match = `-p ${protocol} -m comment --comment "${spn}" -m ${protocol} --dport ${nodePort}`;
      const jump = `-j ${this.#chains.external}`;
      if (this.#options.localhostNodePorts) {
        // iptables prints two spaces before the name.
        const count = "-m nfacct --nfacct-name  localhost_nps_accepted_pkts";
        this.#natNodePorts.push(`-d 127.0.0.0/8 ${match} ${count} ${jump}`);
      }
      this.#natNodePorts.push(`${match} ${jump}`);
    }
    if (!this.#hasExternalEndpoints) {
      const { comment, target } = this.#lost;
      this.#filterExternalServices.push(
        `-p ${protocol} -m comment --comment "${comment}" -m addrtype --dst-type LOCAL -m ${protocol} --dport ${nodePort} -j ${target}`,
      );
    }
  }

  #externalChain(): void {
    const { spn, externalPolicyLocal } = this.#port;
    const { cluster, local } = this.#chains;
    const rules: string[] = [];
    if (externalPolicyLocal) {
      const own = this.#options.localTraffic;
      if (own !== undefined) {
        rules.push(
          `${own.ifLocal} -m comment --comment "pod traffic for ${spn} external destinations" -j ${cluster}`,
        );
      }
      rules.push(
        `-m comment --comment "masquerade LOCAL traffic for ${spn} external destinations" -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ`,
        `-m comment --comment "route LOCAL traffic for ${spn} external destinations" -m addrtype --src-type LOCAL -j ${cluster}`,
      );
    } else {
      rules.push(
        `-m comment --comment "masquerade traffic for ${spn} external destinations" -j KUBE-MARK-MASQ`,
      );
    }
    if (this.#hasExternalEndpoints) rules.push(`-j ${externalPolicyLocal ? local : cluster}`);
    this.#natChains.push({ name: this.#chains.external, rules });
  }

  #firewallChain(): void {
    const { spn, sourceRanges, loadBalancerIPs } = this.#port;
    const comment = `-m comment --comment "${spn} loadbalancer IP"`;
    const jump = `-j ${this.#chains.external}`;
    const rules = sourceRanges.map((range) => `-s ${range} ${comment} ${jump}`);
    if (sourceRanges.some((range) => this.#options.nodeIsIn(range))) {
      for (const ip of loadBalancerIPs) rules.push(`-s ${this.#host(ip)} ${comment} ${jump}`);
    }
    rules.push(
      `-m comment --comment "other traffic to ${spn} will be dropped by KUBE-PROXY-FIREWALL"`,
    );
    this.#natChains.push({ name: this.#chains.firewall, rules });
  }

  /** The chain that picks an endpoint at random, or the one that the client had before. */
  #chooseAmong(name: string, endpoints: readonly ProxyEndpoint[]): void {
    const { spn, protocol, affinitySeconds, clusterIP, port } = this.#port;
    const rules: string[] = [];
    if (name === this.#internalChain && this.#hasInternalEndpoints) {
      const own = this.#options.localTraffic;
      const outside = this.#options.masqueradeAll ? "" : own && `${own.ifNotLocal} `;
      if (outside !== undefined) {
        const match = this.#to(clusterIP, port, `${spn} cluster IP`, "KUBE-MARK-MASQ");
        rules.push(`${outside}${match}`);
      }
    }
    const chains = endpoints.map((e) => endpointChain(spn, protocol, e.text));
    if (affinitySeconds > 0) {
      endpoints.forEach((endpoint, i) => {
        rules.push(
          `${this.#endpointComment(`${spn} -> ${endpoint.text}`)}-m recent --rcheck --seconds ${affinitySeconds} --reap --name ${chains[i]} --mask ${this.#fullMask} --rsource -j ${chains[i]}`,
        );
      });
    }
    endpoints.forEach((endpoint, i) => {
      const left = endpoints.length - i;
      rules.push(
        `${this.#endpointComment(`${spn} -> ${endpoint.text}`)}${left > 1 ? `${oneIn(left)} ` : ""}-j ${chains[i]}`,
      );
    });
    this.#natChains.push({ name, rules });
  }

  #endpointChain(name: string, endpoint: ProxyEndpoint): void {
    const { spn, protocol, affinitySeconds } = this.#port;
    const comment = this.#endpointComment(spn);
    const affinity =
      affinitySeconds > 0
        ? `-m recent --set --name ${name} --mask ${this.#fullMask} --rsource `
        : "";
    this.#natChains.push({
      name,
      rules: [
        `-s ${this.#host(endpoint.ip)} ${comment}-j KUBE-MARK-MASQ`,
        `-p ${protocol} ${comment}${affinity}-m ${protocol} -j DNAT --to-destination ${endpoint.text}`,
      ],
    });
  }

  #endpointComment(text: string): string {
    return this.#options.endpointComments ? `-m comment --comment "${text}" ` : "";
  }

  /** A rule for packets to one address and port of this port's protocol. */
  #to(ip: string, port: number, comment: string, target: string): string {
    const { protocol } = this.#port;
    return `-d ${this.#host(ip)} -p ${protocol} -m comment --comment "${comment}" -m ${protocol} --dport ${port} -j ${target}`;
  }

  #host(ip: string): string {
    return this.#options.family === 4 ? `${ip}/32` : `${ip}/128`;
  }

  get #fullMask(): string {
    return this.#options.family === 4
      ? "255.255.255.255"
      : "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
  }
}

const TWO_31 = 2 ** 31;

/**
 * A match with probability 1/n: kube-proxy writes ten decimals, the kernel keeps 31 bits of them, and
 * iptables prints those with eleven (extensions/libxt_statistic.c).
 */
function oneIn(n: number): string {
  const kept = Math.round(Number((1 / n).toFixed(10)) * TWO_31);
  return `-m statistic --mode random --probability ${(kept / TWO_31).toFixed(11)}`;
}
