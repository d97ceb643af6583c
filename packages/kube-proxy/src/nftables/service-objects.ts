import type { Origin } from "@cnilab/core";
import type { IpFamily } from "@cnilab/net";
import type { ProxyEndpoint } from "../endpoint.ts";
import type { EndpointCategories } from "../endpoint-categories.ts";
import type { LocalTraffic } from "../local-traffic.ts";
import { isExternallyAccessible, type ServicePort } from "../service-port.ts";
import { FAMILY_WORDS, type FamilyWords, type SharedSet } from "./base-ruleset.ts";
import {
  type NftEndpointNames,
  type NftServiceChains,
  nftEndpointNames,
  nftServiceChains,
} from "./names.ts";

/** What the objects of a service port depend on besides the port and its endpoints. */
export interface ObjectOptions {
  readonly family: IpFamily;
  readonly masqueradeAll: boolean;
  readonly localTraffic: LocalTraffic | undefined;
  /** Source ranges that hold the node's own address let its load balancer addresses in as well. */
  readonly nodeIsIn: (range: string) => boolean;
}

/** A chain and its rules. */
export interface NftChainRules {
  readonly name: string;
  readonly rules: readonly string[];
}

/** The clients that stay with one endpoint. */
export interface AffinitySet {
  readonly name: string;
  readonly seconds: number;
}

/** One element of a set or map. */
export interface NftElement {
  readonly set: SharedSet;
  readonly key: string;
  /** Of a map: where packets go. */
  readonly verdict: string | undefined;
  readonly comment: string | undefined;
}

/** What one service port adds to the table. */
export interface ServiceObjects {
  readonly origin: Origin;
  readonly chains: readonly NftChainRules[];
  readonly affinitySets: readonly AffinitySet[];
  readonly elements: readonly NftElement[];
}

/** The objects of one service port (pkg/proxy/nftables/proxier.go `syncProxyRules`, v1.35). */
export function serviceObjects(
  port: ServicePort,
  endpoints: EndpointCategories,
  options: ObjectOptions,
): ServiceObjects {
  return new ServiceObjectWriter(port, endpoints, options).write();
}

const MARK = "jump mark-for-masquerade";

class ServiceObjectWriter {
  readonly #port: ServicePort;
  readonly #endpoints: EndpointCategories;
  readonly #options: ObjectOptions;
  readonly #words: FamilyWords;
  readonly #names: NftServiceChains;
  readonly #chains: NftChainRules[] = [];
  readonly #affinitySets: AffinitySet[] = [];
  readonly #elements: NftElement[] = [];

  constructor(port: ServicePort, endpoints: EndpointCategories, options: ObjectOptions) {
    this.#port = port;
    this.#endpoints = endpoints;
    this.#options = options;
    this.#words = FAMILY_WORDS[options.family];
    this.#names = nftServiceChains(port);
  }

  write(): ServiceObjects {
    const { cluster, local, reachable } = this.#endpoints;
    const { clusterIP, externalIPs, loadBalancerIPs } = this.#port;
    this.#clusterIp(clusterIP);
    for (const ip of externalIPs) this.#externalIp(ip);
    for (const ip of loadBalancerIPs) this.#externalIp(ip);
    this.#nodePort();
    this.#firewall();
    if (this.#hasExternalChain) this.#externalChain();
    if (cluster.length > 0) this.#chooseAmong(this.#names.cluster, cluster);
    if (local.length > 0) this.#chooseAmong(this.#names.local, local);
    for (const endpoint of reachable) this.#endpoint(endpoint);
    return {
      origin: this.#port.origin,
      chains: this.#chains,
      affinitySets: this.#affinitySets,
      elements: this.#elements,
    };
  }

  get #hasInternalEndpoints(): boolean {
    return this.#port.internalPolicyLocal ? this.#endpoints.local.length > 0 : this.#endpoints.any;
  }

  get #hasExternalEndpoints(): boolean {
    return this.#port.externalPolicyLocal ? this.#endpoints.local.length > 0 : this.#endpoints.any;
  }

  get #hasExternalChain(): boolean {
    return this.#endpoints.any && isExternallyAccessible(this.#port);
  }

  /** The chain that traffic to the cluster IP enters. */
  get #internalChain(): string {
    return this.#port.internalPolicyLocal ? this.#names.local : this.#names.cluster;
  }

  /** What becomes of traffic that no endpoint may take: refused, or lost where other nodes have some. */
  get #lost(): string {
    return this.#endpoints.any ? "drop" : "goto reject-chain";
  }

  #clusterIp(ip: string): void {
    this.#elements.push({ set: "cluster-ips", key: ip, verdict: undefined, comment: undefined });
    const key = this.#key(ip);
    if (this.#hasInternalEndpoints) this.#send("service-ips", key, this.#internalChain);
    else this.#lose("no-endpoint-services", key);
  }

  #externalIp(ip: string): void {
    const key = this.#key(ip);
    if (this.#endpoints.any) this.#send("service-ips", key, this.#names.external);
    if (!this.#hasExternalEndpoints) this.#lose("no-endpoint-services", key);
  }

  #nodePort(): void {
    const { nodePort, protocol } = this.#port;
    if (nodePort === 0) return;
    const key = `${protocol} . ${nodePort}`;
    if (this.#endpoints.any) this.#send("service-nodeports", key, this.#names.external);
    if (!this.#hasExternalEndpoints) this.#lose("no-endpoint-nodeports", key);
  }

  #firewall(): void {
    const { loadBalancerIPs, sourceRanges } = this.#port;
    if (loadBalancerIPs.length === 0 || sourceRanges.length === 0) return;
    for (const ip of loadBalancerIPs) {
      this.#send("firewall-ips", this.#key(ip), this.#names.firewall);
    }
    const nodeMayCome = sourceRanges.some((range) => this.#options.nodeIsIn(range));
    const sources = nodeMayCome ? [...sourceRanges, ...loadBalancerIPs] : sourceRanges;
    this.#chains.push({
      name: this.#names.firewall,
      rules: [`${this.#words.ip} saddr != { ${sources.join(", ")} } drop`],
    });
  }

  #externalChain(): void {
    const { cluster, local, external } = this.#names;
    const rules: string[] = [];
    if (this.#port.externalPolicyLocal) {
      const own = this.#options.localTraffic;
      if (own !== undefined) {
        rules.push(`${own.ifLocalNft} goto ${cluster} comment "short-circuit pod traffic"`);
      }
      rules.push(
        `fib saddr type local ${MARK} comment "masquerade local traffic"`,
        `fib saddr type local goto ${cluster} comment "short-circuit local traffic"`,
      );
    } else {
      rules.push(MARK);
    }
    if (this.#hasExternalEndpoints) {
      rules.push(`goto ${this.#port.externalPolicyLocal ? local : cluster}`);
    }
    this.#chains.push({ name: external, rules });
  }

  /** The chain that picks an endpoint at random, or the one that the client had before. */
  #chooseAmong(name: string, endpoints: readonly ProxyEndpoint[]): void {
    const { affinitySeconds, clusterIP } = this.#port;
    const { ip } = this.#words;
    const rules: string[] = [];
    if (name === this.#internalChain && this.#hasInternalEndpoints) {
      const own = this.#options.localTraffic;
      const outside = this.#options.masqueradeAll ? "" : own && `${own.ifNotLocalNft} `;
      if (outside !== undefined) rules.push(`${ip} daddr ${clusterIP} ${outside}${MARK}`);
    }
    const names = endpoints.map((e) => nftEndpointNames(this.#port, e));
    if (affinitySeconds > 0) {
      for (const { chain, affinitySet } of names) {
        rules.push(`${ip} saddr @${affinitySet} goto ${chain}`);
      }
    }
    const slots = names.map(({ chain }, i) => `${i} : goto ${chain}`).join(", ");
    rules.push(`numgen random mod ${names.length} vmap { ${slots} }`);
    this.#chains.push({ name, rules });
  }

  #endpoint(endpoint: ProxyEndpoint): void {
    const { affinitySeconds, protocol } = this.#port;
    const { ip } = this.#words;
    const { chain, affinitySet }: NftEndpointNames = nftEndpointNames(this.#port, endpoint);
    const rules = [`${ip} saddr ${endpoint.ip} ${MARK}`];
    if (affinitySeconds > 0) {
      this.#affinitySets.push({ name: affinitySet, seconds: affinitySeconds });
      rules.push(`update @${affinitySet} { ${ip} saddr }`);
    }
    rules.push(`meta l4proto ${protocol} dnat to ${endpoint.text}`);
    this.#chains.push({ name: chain, rules });
  }

  #key(ip: string): string {
    return `${ip} . ${this.#port.protocol} . ${this.#port.port}`;
  }

  #send(set: SharedSet, key: string, chain: string): void {
    this.#elements.push({ set, key, verdict: `goto ${chain}`, comment: undefined });
  }

  #lose(set: SharedSet, key: string): void {
    this.#elements.push({ set, key, verdict: this.#lost, comment: this.#port.spn });
  }
}
