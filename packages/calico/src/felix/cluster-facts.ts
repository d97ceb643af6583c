import type { Node, Snapshot } from "@cnilab/core";
import { formatIp, type IpAddress, type IpFamily } from "@cnilab/net";
import type { BGPConfiguration, ServiceIPBlock } from "../api/v3/bgp-configuration.ts";
import type { IPPool } from "../api/v3/ip-pool.ts";
import { type NodeFacts, nodeFacts } from "../calc/l3-routes/node-facts.ts";
import { hasVtep } from "../calc/l3-routes/vteps.ts";
import type { GlobalBgpConfig, IpamPool } from "../calc/messages.ts";

/** One state of the API, as far as all nodes' rules follow from it besides policies. */
export interface FactSources {
  readonly nodes: Snapshot<Node>;
  readonly pools: Snapshot<IPPool>;
  readonly bgp: Snapshot<BGPConfiguration>;
}

/** What Felix is told of the cluster besides policies. Parts that say the same as before are the same objects. */
export interface ClusterFacts {
  readonly pools: readonly IpamPool[];
  /** Which encapsulations some pool has, disabled ones too (`felix/calc/encapsulation_resolver.go`). */
  readonly encapsulation: {
    readonly ipip: boolean;
    readonly vxlan: boolean;
    readonly vxlanV6: boolean;
  };
  /** Calico's nodes. */
  readonly hostAddresses: Readonly<Record<IpFamily, readonly string[]>>;
  /** From where nodes send VXLAN, all of them and by name; nodes without a tunnel are not there. */
  readonly vxlanSources: Readonly<Record<IpFamily, ClusterVxlanSources>>;
  /** Addresses of a node's tunnels, by its name. */
  readonly tunnels: ReadonlyMap<string, TunnelAddresses>;
  readonly bgp: GlobalBgpConfig;
}

export interface ClusterVxlanSources {
  readonly all: readonly string[];
  readonly of: ReadonlyMap<string, string>;
}

export interface TunnelAddresses {
  readonly ipipTunnelAddress?: string;
  readonly vxlanTunnelAddress?: string;
  readonly vxlanTunnelAddressV6?: string;
}

/** Finds the facts out once for all nodes of a cluster: the API hands the same snapshots to everybody. */
export class ClusterFactsReader {
  #sources: FactSources | undefined;
  #facts: ClusterFacts | undefined;
  #text = "";
  readonly #factsOf = new WeakMap<Node, NodeFacts>();

  /** The same object as long as nothing in it has changed. */
  at(sources: FactSources): ClusterFacts {
    const last = this.#sources;
    const same =
      last?.nodes === sources.nodes && last.pools === sources.pools && last.bgp === sources.bgp;
    if (this.#facts !== undefined && same) return this.#facts;
    this.#sources = sources;
    const facts = this.#read(sources);
    const text = textOf(facts);
    // Statuses and heartbeats change nodes all the time.
    if (this.#facts === undefined || text !== this.#text) {
      this.#facts = facts;
      this.#text = text;
    }
    return this.#facts;
  }

  #read({ nodes, pools, bgp }: FactSources): ClusterFacts {
    const all = [...nodes.objects.values()].map((node) => this.#nodeFacts(node));
    const specs = [...pools.objects.values()].map(({ spec }) => spec);
    const sideOf = (family: IpFamily) =>
      all.flatMap((node) => node[family].address ?? []).map(formatIp);
    const sources = (family: IpFamily): ClusterVxlanSources => {
      const of = new Map(
        all
          .filter((node) => hasVtep(node, family))
          .map((node) => [node.name, formatIp(node[family].address as IpAddress)]),
      );
      return { all: [...of.values()], of };
    };
    return {
      pools: specs.map(({ cidr, natOutgoing, allowedUses }) => ({
        cidr,
        masquerade: natOutgoing === true,
        ...(allowedUses === undefined ? {} : { allowedUses }),
      })),
      encapsulation: {
        ipip: specs.some(({ ipipMode = "Never" }) => ipipMode !== "Never"),
        vxlan: specs.some((spec) => isVxlan(spec) && !spec.cidr.includes(":")),
        vxlanV6: specs.some((spec) => isVxlan(spec) && spec.cidr.includes(":")),
      },
      hostAddresses: { 4: sideOf(4), 6: sideOf(6) },
      vxlanSources: { 4: sources(4), 6: sources(6) },
      tunnels: new Map(all.map((node) => [node.name, tunnelsOf(node)])),
      bgp: bgpConfig(bgp),
    };
  }

  #nodeFacts(node: Node): NodeFacts {
    let facts = this.#factsOf.get(node);
    if (facts === undefined) {
      facts = nodeFacts(node);
      this.#factsOf.set(node, facts);
    }
    return facts;
  }
}

function isVxlan({ vxlanMode = "Never" }: IPPool["spec"]): boolean {
  return vxlanMode !== "Never";
}

function tunnelsOf(node: NodeFacts): TunnelAddresses {
  const { ipipAddress } = node;
  const vxlan = node[4].vxlanAddress;
  const vxlanV6 = node[6].vxlanAddress;
  return {
    ...(ipipAddress !== undefined && { ipipTunnelAddress: formatIp(ipipAddress) }),
    ...(vxlan !== undefined && { vxlanTunnelAddress: formatIp(vxlan) }),
    ...(vxlanV6 !== undefined && { vxlanTunnelAddressV6: formatIp(vxlanV6) }),
  };
}

/** Only the cluster's own configuration counts (`felix/calc/event_sequencer.go` flushGlobalBGPConfig). */
function bgpConfig({ objects }: Snapshot<BGPConfiguration>): GlobalBgpConfig {
  const spec = objects.get("default")?.spec;
  const cidrs = (blocks: readonly ServiceIPBlock[] = []) =>
    blocks.flatMap(({ cidr }) => cidr ?? []);
  return {
    serviceClusterCidrs: cidrs(spec?.serviceClusterIPs),
    serviceExternalCidrs: cidrs(spec?.serviceExternalIPs),
    serviceLoadbalancerCidrs: cidrs(spec?.serviceLoadBalancerIPs),
  };
}

function textOf(facts: ClusterFacts): string {
  return JSON.stringify(facts, (_, value) => (value instanceof Map ? [...value] : value));
}
