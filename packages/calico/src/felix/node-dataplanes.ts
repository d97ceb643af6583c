import type { NetNamespace } from "@cnilab/linux";
import { formatIp, type IpFamily, isLinkLocal } from "@cnilab/net";
import type { FelixConfigurationSpec } from "../api/v3/felix-configuration.ts";
import { EndpointMarks } from "../rules/endpoint-marks.ts";
import { ARP_TABLE, arpTables } from "./arp-tables.ts";
import type { ClusterFacts } from "./cluster-facts.ts";
import type { ClusterFelix } from "./cluster-felix.ts";
import type { DataplaneInput, VxlanSources } from "./dataplane-input.ts";
import { type FelixConfig, felixConfig } from "./felix-config.ts";
import type { HostInterfaces } from "./host-interfaces.ts";
import { wantedIpSets } from "./ip-sets.ts";
import { IptablesDataplane } from "./iptables-dataplane.ts";
import { NftablesDataplane, policyTable } from "./nftables-dataplane.ts";
import { keepEqualChains, type WantedTables } from "./tables.ts";

/** What a node's kernel is to have. */
export interface NodeProgram {
  readonly name: string;
  readonly policy: DataplaneInput["policy"];
  readonly facts: ClusterFacts;
  /** FelixConfigurations of the node, the weakest first. */
  readonly specs: readonly FelixConfigurationSpec[];
  /** Of the cluster. */
  readonly families: readonly IpFamily[];
}

/** The dataplanes of one node: iptables or nftables, of one family or both. */
export class NodeDataplanes {
  readonly #netns: NetNamespace;
  readonly #cluster: ClusterFelix;
  readonly #arp: NftablesDataplane;
  readonly #iptables = new Map<IpFamily, IptablesDataplane>();
  readonly #nftables = new Map<IpFamily, NftablesDataplane>();
  #backend: string | undefined;
  #lastArp: WantedTables | undefined;
  readonly #last = new Map<IpFamily, WantedTables>();
  #marks: { readonly bits: number; readonly of: EndpointMarks } | undefined;

  constructor(netns: NetNamespace, cluster: ClusterFelix) {
    this.#netns = netns;
    this.#cluster = cluster;
    this.#arp = new NftablesDataplane(netns, 4, ARP_TABLE);
  }

  program(wanted: NodeProgram): void {
    const input = this.input(wanted);
    const { config } = input;
    const { backend } = config.rules;
    if (backend !== this.#backend) this.#last.clear();
    this.#backend = backend;
    if (backend === "iptables") clearAll(this.#nftables);
    else clearAll(this.#iptables);
    this.#lastArp = keepEqualChains(this.#lastArp, arpTables(wanted.policy.workloads.values()));
    this.#arp.apply(this.#lastArp, new Map());
    for (const family of familiesOf(config, wanted.families)) {
      const rendered = this.#cluster.renderer.render(input, family);
      const tables = keepEqualChains(this.#last.get(family), rendered);
      this.#last.set(family, tables);
      const sets = wantedIpSets(input, family);
      if (backend === "iptables") {
        this.#iptablesOf(family).apply(tables, sets, config);
      } else {
        this.#nftablesOf(family).apply(tables, sets);
      }
    }
  }

  /** Felix's rules in the built-in chains of iptables stand where they belong again. */
  check(): void {
    for (const dataplane of this.#iptables.values()) dataplane.check();
  }

  /** All that decides what is programmed. */
  input({ name, policy, facts, specs }: NodeProgram): DataplaneInput {
    const netns = this.#netns;
    const config = felixConfig(specs, this.#cluster.environment, {
      ipvs: netns.findDevice("kube-ipvs0") !== undefined,
      kubeProxyNftables:
        netns.nftables.hasTable("ip", "kube-proxy") || netns.nftables.hasTable("ip6", "kube-proxy"),
      encapsulation: facts.encapsulation,
      ...facts.tunnels.get(name),
    });
    return {
      config,
      policy,
      pools: facts.pools,
      hostAddresses: facts.hostAddresses,
      vxlanSources: { 4: vxlanSources(facts, 4, name), 6: vxlanSources(facts, 6, name) },
      bgp: facts.bgp,
      interfaces: hostInterfaces(netns, config.rules.interfacePrefixes),
      endpointMarks: this.#endpointMarks(config),
    };
  }

  #endpointMarks({ rules: { marks } }: FelixConfig): EndpointMarks {
    if (this.#marks?.bits !== marks.endpoint) {
      const of = new EndpointMarks(marks.endpoint, marks.nonCaliEndpoint);
      this.#marks = { bits: marks.endpoint, of };
    }
    return this.#marks.of;
  }

  #iptablesOf(family: IpFamily): IptablesDataplane {
    let dataplane = this.#iptables.get(family);
    if (dataplane === undefined) {
      dataplane = new IptablesDataplane(this.#netns, family, this.#cluster.iptables);
      this.#iptables.set(family, dataplane);
    }
    return dataplane;
  }

  #nftablesOf(family: IpFamily): NftablesDataplane {
    let dataplane = this.#nftables.get(family);
    if (dataplane === undefined) {
      const shared = this.#cluster.nftables;
      dataplane = new NftablesDataplane(this.#netns, family, policyTable(family), shared);
      this.#nftables.set(family, dataplane);
    }
    return dataplane;
  }
}

function vxlanSources(facts: ClusterFacts, family: IpFamily, node: string): VxlanSources {
  const from = facts.vxlanSources[family];
  return { all: from.all, own: from.of.get(node) };
}

function clearAll(dataplanes: Map<IpFamily, { clear(): void }>): void {
  for (const dataplane of dataplanes.values()) dataplane.clear();
  dataplanes.clear();
}

/** IPv4 always; IPv6 where the cluster has it, as the manifest's FELIX_IPV6SUPPORT says, and Felix is not told otherwise. */
export function familiesOf(config: FelixConfig, ofCluster: readonly IpFamily[]): IpFamily[] {
  return config.ipv6 && ofCluster.includes(6) ? [4, 6] : [4];
}

/** Devices that are no workload's, with their addresses. */
function hostInterfaces(netns: NetNamespace, prefixes: readonly string[]): HostInterfaces {
  const interfaces = new Map<string, readonly string[]>();
  for (const { name, addresses } of netns.devices) {
    if (prefixes.some((prefix) => name.startsWith(prefix))) continue;
    const known = addresses.map(({ address }) => address).filter((a) => !isLinkLocal(a));
    interfaces.set(name, known.map(formatIp));
  }
  return interfaces;
}
