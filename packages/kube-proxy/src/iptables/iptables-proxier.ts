import type { Iptables } from "@cnilab/linux";
import { type IpFamily, isLoopback, parseIp, tryParsePrefix } from "@cnilab/net";
import type { KubeProxyConfig } from "../config.ts";
import { localTraffic } from "../local-traffic.ts";
import type { Proxier } from "../proxier.ts";
import { nodeIsIn, nodePortIps, type ProxierNode } from "../proxier-node.ts";
import type { ServiceState } from "../service-state.ts";
import { JUMPS } from "./base-chains.ts";
import type { Layers } from "./layers.ts";
import type { NodeFacts } from "./ruleset.ts";

const LAYER = "kube-proxy";
/** Counters that rules name: they must be there before (`ensureNFAcctCounter`). */
const COUNTERS = ["ct_state_invalid_dropped_pkts", "localhost_nps_accepted_pkts"];

/** kube-proxy in iptables mode, in one family, on one node (pkg/proxy/iptables/proxier.go, v1.35). */
export class IptablesProxier implements Proxier {
  readonly #family: IpFamily;
  readonly #config: KubeProxyConfig;
  readonly #node: ProxierNode;
  readonly #layers: Layers;
  /** As it is when kube-proxy starts. */
  readonly #conntrackTcpLiberal: boolean;
  /** Held from the first sync on: whoever else has put off rules here need not write them for a layer that stands beside them. */
  #iptables: Iptables | undefined;

  constructor(family: IpFamily, config: KubeProxyConfig, node: ProxierNode, layers: Layers) {
    this.#family = family;
    this.#config = config;
    this.#node = node;
    this.#layers = layers;
    const liberal = node.netns.sysctl.get("net/netfilter/nf_conntrack_tcp_be_liberal");
    this.#conntrackTcpLiberal = liberal !== 0;
    const { nfacct } = node.netns;
    for (const name of COUNTERS) if (nfacct.find(name) === undefined) nfacct.add(name);
    if (family === 4 && this.#localhostNodePorts) {
      // Packets from 127.0.0.1 that a node port sends elsewhere would be martians otherwise.
      node.netns.sysctl.set("net/ipv4/conf/all/route_localnet", 1);
    }
  }

  sync(state: ServiceState): void {
    const iptables = this.#iptables ?? this.#node.netns.iptables(this.#family);
    iptables.setLayer(LAYER, this.#layers.of(state, this.#facts()));
    if (this.#iptables !== undefined) return;
    this.#iptables = iptables;
    for (const table of ["filter", "nat"]) {
      const missing = JUMPS.filter(
        ({ table: of, chain, rule }) =>
          of === table && !(iptables.hasChain(table, chain) && iptables.check(table, chain, rule)),
      );
      const lines = missing.map(({ chain, rule }) => `-I ${chain} ${rule}\n`).join("");
      if (lines !== "") iptables.restore(`*${table}\n${lines}COMMIT\n`, { noflush: true });
    }
  }

  #facts(): NodeFacts {
    const node = this.#node;
    const family = this.#family;
    return {
      topology: node.topology,
      localTraffic: localTraffic(this.#config, node.podCidrs(), family),
      localhostNodePorts: this.#localhostNodePorts,
      conntrackTcpLiberal: this.#conntrackTcpLiberal,
      nodePortIps: nodePortIps(node, this.#config.nodePortAddresses, family)?.filter(
        (ip) => this.#localhostNodePorts || !isLoopback(parseIp(ip)),
      ),
      nodeIsIn: nodeIsIn(node, family),
    };
  }

  get #localhostNodePorts(): boolean {
    if (this.#family !== 4 || !this.#config.localhostNodePorts) return false;
    const ranges = this.#config.nodePortAddresses.filter((range) => !range.includes(":"));
    return ranges.length === 0 || ranges.some(holdsLoopback);
  }
}

/** As the real one judges a range (pkg/proxy/util/nodeport_addresses.go `containsIPv4Loopback`). */
function holdsLoopback(text: string): boolean {
  const range = tryParsePrefix(text);
  if (range === undefined) return false;
  return isLoopback(range.address) || range.contains(LOOPBACK_START);
}

const LOOPBACK_START = parseIp("127.0.0.0");
