import type { Origin } from "@cnilab/core";
import type { IpFamily } from "@cnilab/net";
import type { KubeProxyConfig } from "../config.ts";
import { categorizeEndpoints, type NodeTopology } from "../endpoint-categories.ts";
import type { LocalTraffic } from "../local-traffic.ts";
import { endpointVariant, sourceVariant } from "../node-variant.ts";
import type { ProxiedPort, ServiceState } from "../service-state.ts";
import { baseFilterChains, baseNatChains, CANARY } from "./base-chains.ts";
import { type RenderedChain, type ServiceRules, serviceRules } from "./service-rules.ts";

/** What of a node its rules depend on. */
export interface NodeFacts {
  readonly topology: NodeTopology;
  readonly localTraffic: LocalTraffic | undefined;
  /** Whether node ports answer on 127.0.0.1. */
  readonly localhostNodePorts: boolean;
  /** Whether the sysctl `nf_conntrack_tcp_be_liberal` is set. */
  readonly conntrackTcpLiberal: boolean;
  /** Addresses on which node ports answer; `undefined` for all of the node's. */
  readonly nodePortIps: readonly string[] | undefined;
  /** Whether the node's own address is in a range (of its family). */
  readonly nodeIsIn: (range: string) => boolean;
}

/** kube-proxy's own chains of one family: for each table its chains, in the order in which they are made. */
export interface Ruleset {
  readonly tables: Readonly<Record<"filter" | "mangle" | "nat", readonly RenderedChain[]>>;
  /** The object that a chain, or one rule of a chain that all Services share, was made for. */
  origin(chain: string, rule: string): Origin | undefined;
}

/** Above this many endpoints in all, rules carry no comments (`largeClusterEndpointsThreshold`). */
const LARGE_CLUSTER_ENDPOINTS = 1000;

/** Renders states into rules; a service port whose input did not change keeps its rules. */
export class RulesetRenderer {
  readonly #config: KubeProxyConfig;
  /** By service port, then by everything else that its rules depend on. */
  readonly #rendered = new WeakMap<ProxiedPort, Map<string, ServiceRules>>();

  constructor(config: KubeProxyConfig) {
    this.#config = config;
  }

  /** Nodes for which this is equal have equal rules. */
  variant(state: ServiceState, node: NodeFacts): string {
    const facts = [
      node.localTraffic?.ifLocal,
      node.localhostNodePorts,
      node.conntrackTcpLiberal,
      node.nodePortIps?.join(),
      ...state.dependingOnNode.map((p) => endpointVariant(p, node.topology)),
      ...state.withSourceRanges.map((p) => sourceVariant(p, node.nodeIsIn)),
    ];
    return facts.join("|");
  }

  render(state: ServiceState, node: NodeFacts): Ruleset {
    const services = state.ports.map((port) => this.#serviceRules(state, port, node));
    const mark = 2 ** this.#config.masqueradeBit;
    return {
      tables: {
        filter: [
          ...baseFilterChains(
            state.family,
            mark,
            node.localhostNodePorts,
            node.conntrackTcpLiberal,
          ),
          shared("KUBE-SERVICES", services, (s) => s.filterServices),
          shared("KUBE-EXTERNAL-SERVICES", services, (s) => s.filterExternalServices),
          shared("KUBE-NODEPORTS", services, (s) => s.filterNodePorts),
          shared("KUBE-PROXY-FIREWALL", services, (s) => s.filterFirewall),
        ],
        mangle: [CANARY],
        nat: [
          ...baseNatChains(mark),
          shared(
            "KUBE-SERVICES",
            services,
            (s) => s.natServices,
            nodePortJumps(state.family, node),
          ),
          shared("KUBE-NODEPORTS", services, (s) => s.natNodePorts),
          ...services.flatMap((s) => s.natChains),
        ],
      },
      origin: originOf(services),
    };
  }

  #serviceRules(state: ServiceState, proxied: ProxiedPort, node: NodeFacts): ServiceRules {
    const endpointComments = state.endpointCount <= LARGE_CLUSTER_ENDPOINTS;
    const key = [
      proxied.dependsOnNode ? endpointVariant(proxied, node.topology) : "",
      sourceVariant(proxied, node.nodeIsIn),
      node.localTraffic?.ifLocal,
      node.localhostNodePorts,
      endpointComments,
    ].join("|");
    let variants = this.#rendered.get(proxied);
    if (variants === undefined) {
      variants = new Map();
      this.#rendered.set(proxied, variants);
    }
    let rules = variants.get(key);
    if (rules === undefined) {
      const { port, endpoints } = proxied;
      rules = serviceRules(port, categorizeEndpoints(endpoints, port, node.topology), {
        family: state.family,
        masqueradeAll: this.#config.masqueradeAll,
        localTraffic: node.localTraffic,
        localhostNodePorts: node.localhostNodePorts,
        endpointComments,
        nodeIsIn: node.nodeIsIn,
      });
      variants.set(key, rules);
    }
    return rules;
  }
}

/** The end of nat KUBE-SERVICES: everything else that goes to this node may be for a node port. */
function nodePortJumps(family: IpFamily, node: NodeFacts): string[] {
  const comment =
    '-m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain"';
  if (node.nodePortIps !== undefined) {
    const bits = family === 4 ? 32 : 128;
    return node.nodePortIps.map((ip) => `-d ${ip}/${bits} ${comment} -j KUBE-NODEPORTS`);
  }
  const loopback =
    family === 6 ? "! -d ::1/128 " : node.localhostNodePorts ? "" : "! -d 127.0.0.0/8 ";
  return [`${loopback}${comment} -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS`];
}

function shared(
  name: string,
  services: readonly ServiceRules[],
  rulesOf: (service: ServiceRules) => readonly string[],
  last: readonly string[] = [],
): RenderedChain {
  const rules: string[] = [];
  for (const service of services) rules.push(...rulesOf(service));
  rules.push(...last);
  return { name, rules };
}

function originOf(services: readonly ServiceRules[]): Ruleset["origin"] {
  let byChain: Map<string, Origin> | undefined;
  let byRule: Map<string, Origin> | undefined;
  return (chain, rule) => {
    if (byChain === undefined || byRule === undefined) {
      byChain = new Map();
      byRule = new Map();
      for (const s of services) {
        for (const c of s.natChains) byChain.set(c.name, s.origin);
        for (const rules of [
          s.natServices,
          s.natNodePorts,
          s.filterServices,
          s.filterExternalServices,
          s.filterNodePorts,
          s.filterFirewall,
        ]) {
          for (const r of rules) byRule.set(r, s.origin);
        }
      }
    }
    return byChain.get(chain) ?? byRule.get(rule);
  };
}
