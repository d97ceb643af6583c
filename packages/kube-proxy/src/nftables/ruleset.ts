import type { Origin } from "@cnilab/core";
import type { KubeProxyConfig } from "../config.ts";
import { categorizeEndpoints, type NodeTopology } from "../endpoint-categories.ts";
import type { LocalTraffic } from "../local-traffic.ts";
import { endpointVariant, sourceVariant } from "../node-variant.ts";
import type { ProxiedPort, ServiceState } from "../service-state.ts";
import type { SharedSet } from "./base-ruleset.ts";
import { type NftElement, type ServiceObjects, serviceObjects } from "./service-objects.ts";

/** What of a node its objects depend on. */
export interface NftNodeFacts {
  readonly topology: NodeTopology;
  readonly localTraffic: LocalTraffic | undefined;
  /** Node ports answer on all of the node's addresses. */
  readonly allNodePortIps: boolean;
  /** Whether the node's own address is in a range (of its family). */
  readonly nodeIsIn: (range: string) => boolean;
}

/** The objects of all Services in one family. */
export interface NftRuleset {
  readonly allNodePortIps: boolean;
  /** Rules by chain. */
  readonly chains: ReadonlyMap<string, readonly string[]>;
  /** Seconds that a client stays, by set. */
  readonly affinitySets: ReadonlyMap<string, number>;
  /** By key. Of Services that claim the same key, the last one has it. */
  readonly elements: Readonly<Record<SharedSet, ReadonlyMap<string, NftElement>>>;
  /** The object that a chain was made for. */
  originOf(chain: string): Origin | undefined;
}

/** Renders states into objects of nft; a service port whose input did not change keeps them. */
export class NftRulesetRenderer {
  readonly #config: KubeProxyConfig;
  /** By service port, then by everything else that its objects depend on. */
  readonly #rendered = new WeakMap<ProxiedPort, Map<string, ServiceObjects>>();

  constructor(config: KubeProxyConfig) {
    this.#config = config;
  }

  /** Nodes for which this is equal have equal objects. */
  variant(state: ServiceState, node: NftNodeFacts): string {
    return [
      node.localTraffic?.ifLocalNft,
      node.allNodePortIps,
      ...state.dependingOnNode.map((p) => endpointVariant(p, node.topology)),
      ...state.withSourceRanges.map((p) => sourceVariant(p, node.nodeIsIn)),
    ].join("|");
  }

  render(state: ServiceState, node: NftNodeFacts): NftRuleset {
    const chains = new Map<string, readonly string[]>();
    const affinitySets = new Map<string, number>();
    const elements = emptySets();
    const origins = new Map<string, Origin>();
    for (const proxied of state.ports) {
      const objects = this.#objects(state, proxied, node);
      for (const { name, rules } of objects.chains) {
        chains.set(name, rules);
        origins.set(name, objects.origin);
      }
      for (const { name, seconds } of objects.affinitySets) affinitySets.set(name, seconds);
      for (const element of objects.elements) elements[element.set].set(element.key, element);
    }
    return {
      allNodePortIps: node.allNodePortIps,
      chains,
      affinitySets,
      elements,
      originOf: (chain) => origins.get(chain),
    };
  }

  #objects(state: ServiceState, proxied: ProxiedPort, node: NftNodeFacts): ServiceObjects {
    const key = [
      proxied.dependsOnNode ? endpointVariant(proxied, node.topology) : "",
      sourceVariant(proxied, node.nodeIsIn),
      node.localTraffic?.ifLocalNft,
    ].join("|");
    let variants = this.#rendered.get(proxied);
    if (variants === undefined) {
      variants = new Map();
      this.#rendered.set(proxied, variants);
    }
    let objects = variants.get(key);
    if (objects === undefined) {
      const { port, endpoints } = proxied;
      objects = serviceObjects(port, categorizeEndpoints(endpoints, port, node.topology), {
        family: state.family,
        masqueradeAll: this.#config.masqueradeAll,
        localTraffic: node.localTraffic,
        nodeIsIn: node.nodeIsIn,
      });
      variants.set(key, objects);
    }
    return objects;
  }
}

function emptySets(): Record<SharedSet, Map<string, NftElement>> {
  return {
    "cluster-ips": new Map(),
    "service-ips": new Map(),
    "service-nodeports": new Map(),
    "no-endpoint-services": new Map(),
    "no-endpoint-nodeports": new Map(),
    "firewall-ips": new Map(),
  };
}
