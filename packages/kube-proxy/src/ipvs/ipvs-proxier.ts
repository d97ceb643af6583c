import { Dummy, type NetDevice, type NetNamespace } from "@cnilab/linux";
import { formatIp, type IpFamily, isLinkLocal, isLoopback, parseIp } from "@cnilab/net";
import type { KubeProxyConfig } from "../config.ts";
import { localTraffic } from "../local-traffic.ts";
import type { Proxier } from "../proxier.ts";
import { nodeIsIn, nodePortIps, type ProxierNode } from "../proxier-node.ts";
import type { ProxiedPort, ServiceState } from "../service-state.ts";
import { IpSets } from "./ip-sets.ts";
import { type IpvsNodeFacts, type PortProgram, portProgram } from "./port-program.ts";
import { IPVS_JUMPS, ipvsRules } from "./rules.ts";
import { VirtualServers } from "./virtual-servers.ts";

/** The device that has the addresses of services. It stays down. */
export const DUMMY_DEVICE = "kube-ipvs0";
/** Milliseconds after which it looks at the node's addresses again (`syncPeriod`). */
const SYNC_PERIOD = 30_000;

/** kube-proxy in IPVS mode, in one family, on one node (pkg/proxy/ipvs/proxier.go, v1.35). */
export class IpvsProxier implements Proxier {
  readonly #family: IpFamily;
  readonly #config: KubeProxyConfig;
  readonly #node: ProxierNode;
  readonly #sets: IpSets;
  readonly #servers: VirtualServers;
  readonly #programs = new Map<ProxiedPort, PortProgram>();
  /** Addresses that service ports want on the dummy device, and how many do. */
  readonly #addresses = new Map<string, number>();
  #state: ServiceState | undefined;
  #rules = "";
  #nodeKey = "";
  #isResyncing = false;

  constructor(family: IpFamily, config: KubeProxyConfig, node: ProxierNode) {
    const { netns } = node;
    const { clock } = netns.network;
    this.#family = family;
    this.#config = config;
    this.#node = node;
    this.#sets = new IpSets(family, netns.ipsets);
    this.#servers = new VirtualServers(family, netns.ipvs, clock, config.ipvsExcludeCIDRs);
    setSysctls(netns, config);
  }

  sync(state: ServiceState): void {
    const { iptables, dummy } = this.#ensure();
    const facts = this.#facts(dummy);
    const key = JSON.stringify([[...facts.nodeAddresses], facts.nodePortIps, this.#localMatch]);
    const changed = key !== this.#nodeKey;
    if (state === this.#state && !changed) return;
    this.#state = state;
    this.#nodeKey = key;
    const before = new Map(this.#programs);
    this.#programs.clear();
    // What is gone is let go first, so that what comes can have it.
    const current = new Set(state.ports);
    for (const [proxied, program] of before) {
      if (changed || !current.has(proxied)) this.#release(program);
    }
    for (const proxied of state.ports) {
      const known = changed ? undefined : before.get(proxied);
      const program = known ?? portProgram(proxied, facts);
      this.#programs.set(proxied, program);
      if (known === undefined) this.#program(program);
    }
    this.#bindAddresses(dummy);
    this.#sets.sync();
    this.#writeRules(iptables);
    this.#unbindAddresses(dummy);
    this.#servers.deleteUnwanted();
    this.#resyncLater();
  }

  /** The dummy device, the chains and the sets, made where they are not there. */
  #ensure(): {
    readonly iptables: ReturnType<NetNamespace["iptables"]>;
    readonly dummy: NetDevice;
  } {
    const { netns } = this.#node;
    const dummy = netns.findDevice(DUMMY_DEVICE) ?? new Dummy(netns, { name: DUMMY_DEVICE });
    this.#sets.ensure();
    return { iptables: netns.iptables(this.#family), dummy };
  }

  #program(program: PortProgram): void {
    for (const server of program.servers) this.#servers.sync(server);
    for (const [set, entry] of program.entries) this.#sets.count(set, entry, 1);
    for (const ip of program.addresses) this.#countAddress(ip, 1);
  }

  #release(program: PortProgram): void {
    for (const server of program.servers) this.#servers.release(server);
    for (const [set, entry] of program.entries) this.#sets.count(set, entry, -1);
    for (const ip of program.addresses) this.#countAddress(ip, -1);
  }

  #countAddress(ip: string, change: 1 | -1): void {
    const count = (this.#addresses.get(ip) ?? 0) + change;
    if (count > 0) this.#addresses.set(ip, count);
    else this.#addresses.delete(ip);
    this.#sets.count("KUBE-IPVS-IPS", ip, change);
  }

  #bindAddresses(dummy: NetDevice): void {
    for (const ip of this.#addresses.keys()) {
      const address = parseIp(ip);
      if (!dummy.hasAddress(address)) dummy.addAddress(address, this.#family === 4 ? 32 : 128);
    }
  }

  #unbindAddresses(dummy: NetDevice): void {
    for (const { address } of [...dummy.addressesOf(this.#family)]) {
      if (this.#addresses.has(formatIp(address)) || isLinkLocal(address)) continue;
      dummy.removeAddress(address);
    }
  }

  #writeRules(iptables: ReturnType<NetNamespace["iptables"]>): void {
    const { masqueradeAll, masqueradeBit } = this.#config;
    const rules = ipvsRules({
      family: this.#family,
      sets: this.#sets,
      masqueradeAll,
      masqueradeBit,
      localTraffic: this.#localTraffic,
      forbidden: [...this.#programs.values()].flatMap((p) => p.forbidden),
    });
    if (rules === this.#rules) return;
    iptables.restore(rules, { noflush: true });
    if (this.#rules === "") {
      for (const { table, chain, rule } of IPVS_JUMPS) {
        if (iptables.check(table, chain, rule)) continue;
        iptables.insert(table, chain, rule);
      }
    }
    this.#rules = rules;
  }

  get #localTraffic(): ReturnType<typeof localTraffic> {
    return localTraffic(this.#config, this.#node.podCidrs(), this.#family);
  }

  get #localMatch(): string | undefined {
    return this.#localTraffic?.ifLocal;
  }

  #facts(dummy: NetDevice): IpvsNodeFacts {
    const node = this.#node;
    const family = this.#family;
    const nodeAddresses = new Set<string>();
    for (const dev of node.netns.devices) {
      if (dev === dummy) continue;
      for (const { address } of dev.addressesOf(family)) {
        if (isLoopback(address) || (family === 6 && isLinkLocal(address))) continue;
        nodeAddresses.add(formatIp(address));
      }
    }
    const picked = nodePortIps(node, this.#config.nodePortAddresses, family);
    return {
      topology: node.topology,
      scheduler: this.#config.ipvsScheduler,
      nodeAddresses,
      nodePortIps: picked?.filter((ip) => !isLoopback(parseIp(ip))) ?? [...nodeAddresses],
      nodeIsIn: nodeIsIn(node, family),
    };
  }

  /** Addresses that the node gets between two changes of Services are seen by the next periodic sync. */
  #resyncLater(): void {
    if (this.#isResyncing) return;
    this.#isResyncing = true;
    const resync = () => {
      this.#isResyncing = false;
      if (this.#state !== undefined) this.sync(this.#state);
      this.#resyncLater();
    };
    this.#node.netns.network.clock.schedule(SYNC_PERIOD, resync, { background: true });
  }
}

function setSysctls({ sysctl }: NetNamespace, config: KubeProxyConfig): void {
  sysctl.set("net/ipv4/vs/conntrack", 1);
  sysctl.set("net/ipv4/vs/expire_nodest_conn", 1);
  sysctl.set("net/ipv4/vs/expire_quiescent_template", 1);
  sysctl.set("net/ipv4/ip_forward", 1);
  if (config.ipvsStrictARP) {
    // The node does not tell the link that it has the services' addresses.
    sysctl.set("net/ipv4/conf/all/arp_ignore", 1);
    sysctl.set("net/ipv4/conf/all/arp_announce", 2);
  }
}
