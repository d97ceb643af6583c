import { type Origin, SeededRandom, VirtualClock } from "@cnilab/core";
import {
  attachTcx,
  BPF_ANY,
  BpfProgram,
  type Exchange,
  exchange,
  Geneve,
  Kernel,
  type NetDevice,
  type NetNamespace,
  Network,
  Nic,
  RT_SCOPE_LINK,
  Segment,
  startEchoServer,
  TC_ACT_UNSPEC,
  type TcContext,
  type Trace,
  Veth,
  Vxlan,
  Wireguard,
} from "@cnilab/linux";
import {
  addressBits,
  familyOf,
  formatIp,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type IpAddress,
  type Ipv4Address,
  type Ipv6Address,
  Prefix,
  parseIp,
  parsePrefix,
} from "@cnilab/net";
import type { EndpointConfig } from "../../src/datapath/endpoint-config.ts";
import type { ServiceHooks } from "../../src/datapath/lib/service-hooks.ts";
import { ENDPOINT_F_ATHOSTNS, ENDPOINT_F_HOST } from "../../src/datapath/maps/endpoint-map.ts";
import type { RemoteEndpointInfo } from "../../src/datapath/maps/ipcache-map.ts";
import type { PolicyEntry, PolicyMap } from "../../src/datapath/maps/policy-map.ts";
import {
  DEFAULT_CT_TIMEOUTS,
  DEFAULT_LOAD_BALANCER,
  type NodeConfig,
} from "../../src/datapath/node-config.ts";
import { DEFAULT_MAP_SIZES, type MapSizes, NodeMaps } from "../../src/datapath/node-maps.ts";
import { NodePrograms } from "../../src/datapath/programs.ts";
import type { DropMessage, MonitorMessage } from "../../src/hubble/monitor-message.ts";

/** How the nodes of a lab are set up. */
export interface LabOptions {
  readonly tunnel?: "vxlan" | "geneve";
  readonly family?: 4 | 6;
  /** cilium_wg0 on each node, and all pods' addresses with a key. */
  readonly wireguard?: boolean;
  readonly sizes?: Partial<MapSizes>;
  readonly services?: ServiceHooks;
  readonly config?: Partial<NodeConfig>;
  readonly endpoint?: Partial<EndpointConfig>;
}

export const HOST_ENDPOINT = 900;

/** A pod of a node, with its endpoint. */
export interface LabPod {
  readonly node: LabNode;
  readonly netns: NetNamespace;
  readonly eth0: Veth;
  readonly lxc: Veth;
  readonly address: IpAddress;
  readonly id: number;
  readonly identity: number;
  readonly policy: PolicyMap;
}

/** Nodes with Cilium's programs and no agent: tests write the maps. */
export class DatapathLab {
  readonly clock: VirtualClock = new VirtualClock();
  readonly network: Network;
  readonly segment: Segment;
  readonly options: LabOptions;
  readonly nodes: LabNode[] = [];

  constructor(options: LabOptions = {}) {
    this.options = options;
    this.network = new Network(this.clock, new SeededRandom(1));
    this.segment = new Segment(this.network, "lan", 1500);
  }

  get family(): 4 | 6 {
    return this.options.family ?? 4;
  }

  /** A node with its devices and programs, known to all others. */
  node(): LabNode {
    const node = new LabNode(this, this.nodes.length + 1);
    for (const other of this.nodes) {
      node.know(other);
      other.know(node);
    }
    this.nodes.push(node);
    return node;
  }

  /** A machine on the same segment that runs no Cilium. */
  outside(): NetNamespace {
    const { initNs } = new Kernel(this.network, "outside");
    initNs.loopback.setUp();
    const eth0 = new Nic(initNs, { name: "eth0", mac: 0x020000000999, segment: this.segment });
    eth0.setUp();
    const address = this.nodeAddress(99);
    eth0.addAddress(address, this.family === 4 ? 24 : 64);
    for (const node of this.nodes) initNs.addRoute({ dst: node.podCidr, via: node.address });
    return initNs;
  }

  nodeAddress(number: number): IpAddress {
    return parseIp(this.family === 4 ? `192.168.0.${10 + number}` : `fd00:aa::${10 + number}`);
  }

  /** Says to all nodes what an address is. */
  ipcache(prefix: string, info: Partial<RemoteEndpointInfo> & { identity: number }): void {
    const { address, length } = parsePrefix(prefix);
    const key = { clusterId: 0, address, prefixLength: length };
    for (const { maps } of this.nodes) {
      maps.ipcache.update(key, { key: 0, skipTunnel: false, ...info }, BPF_ANY);
    }
  }
}

export class LabNode {
  readonly lab: DatapathLab;
  readonly name: string;
  readonly netns: NetNamespace;
  readonly eth0: Nic;
  readonly host: Veth;
  readonly net: Veth;
  readonly tunnel: NetDevice | undefined;
  readonly wireguard: Wireguard | undefined;
  readonly maps: NodeMaps;
  readonly config: NodeConfig;
  readonly programs: NodePrograms;
  readonly address: IpAddress;
  readonly router: IpAddress;
  readonly podCidr: Prefix;
  readonly pods: LabPod[] = [];
  readonly number: number;
  #told: MonitorMessage[] | undefined;

  constructor(lab: DatapathLab, number: number) {
    this.lab = lab;
    this.number = number;
    this.name = `node${number}`;
    const kernel = new Kernel(lab.network, this.name);
    const netns = kernel.initNs;
    this.netns = netns;
    netns.loopback.setUp();
    netns.sysctl.set("net/ipv4/ip_forward", "1");
    netns.sysctl.set("net/ipv6/conf/all/forwarding", "1");
    netns.sysctl.set("net/ipv4/conf/all/rp_filter", "0");
    const { family, segment, options } = lab;
    const isIpv4 = family === 4;
    this.eth0 = new Nic(netns, { name: "eth0", mac: 0x020000000000 + number, segment });
    this.eth0.setUp();
    this.address = lab.nodeAddress(number);
    this.eth0.addAddress(this.address, isIpv4 ? 24 : 64);
    this.podCidr = parsePrefix(isIpv4 ? `10.0.${number}.0/24` : `fd00:${number}::/64`);
    this.router = parseIp(isIpv4 ? `10.0.${number}.1` : `fd00:${number}::1`);
    [this.host, this.net] = Veth.pair(netns, { name: "cilium_host" }, netns, {
      name: "cilium_net",
    });
    for (const dev of [this.host, this.net]) {
      dev.setArp(false);
      dev.setUp();
      netns.sysctl.set(`net/ipv4/conf/${dev.name}/rp_filter`, "0");
      netns.sysctl.set(`net/ipv4/conf/${dev.name}/accept_local`, "1");
    }
    this.host.addAddress(this.router, addressBits(family));
    if (isIpv4) {
      const dst = Prefix.host(this.router);
      netns.addRoute({ dst, dev: this.host, scope: RT_SCOPE_LINK });
    }
    if (options.tunnel !== undefined) {
      const common = { name: `cilium_${options.tunnel}`, vni: 0, external: true, mtu: 1500 };
      this.tunnel =
        options.tunnel === "vxlan"
          ? new Vxlan(netns, { ...common, port: 8472 })
          : new Geneve(netns, { ...common, remote: 0, port: 6081 });
      this.tunnel.setUp();
    }
    if (options.wireguard) {
      this.wireguard = new Wireguard(netns, {
        name: "cilium_wg0",
        publicKey: this.name,
        listenPort: 51871,
        fwmark: 0xe00,
      });
      this.wireguard.setUp();
    }
    const sizes = { ...DEFAULT_MAP_SIZES, ...options.sizes };
    this.maps = new NodeMaps(kernel, sizes);
    this.config = { ...this.#baseConfig(), ...options.config };
    this.programs = new NodePrograms(this.maps, this.config, options.services);
    if (!this.config.endpointRoutes) this.#routeByHost(this.podCidr);
    this.#attach();
    this.#knowItself();
  }

  #baseConfig(): NodeConfig {
    const { family, options } = this.lab;
    const of4 = (address: IpAddress) => (family === 4 ? (address as Ipv4Address) : undefined);
    const of6 = (address: IpAddress) => (family === 6 ? (address as Ipv6Address) : undefined);
    const { eth0 } = this;
    return {
      nodeName: this.name,
      enableIpv4: family === 4,
      enableIpv6: family === 6,
      tunnelMode: options.tunnel !== undefined,
      encapIfindex: this.tunnel?.ifindex ?? 0,
      tunnelProtocol: options.tunnel ?? "vxlan",
      tunnelPort: options.tunnel === "geneve" ? 6081 : 8472,
      mtu: 1500,
      routerIpv4: of4(this.router),
      routerIpv6: of6(this.router),
      nodeIpv4: family === 4 ? [this.address as Ipv4Address] : [],
      nodeIpv6: family === 6 ? [this.address as Ipv6Address] : [],
      directRoutingIpv4: of4(this.address),
      directRoutingIpv6: of6(this.address),
      directRoutingIfindex: eth0.ifindex,
      masqueradeIpv4: new Map(),
      masqueradeIpv6: new Map(),
      bpfMasqueradeIpv4: false,
      bpfMasqueradeIpv6: false,
      snatExclusionIpv4: undefined,
      snatExclusionIpv6: undefined,
      ipMasqAgent: false,
      serviceLoopbackIpv4: parseIp("169.254.42.1") as Ipv4Address,
      serviceLoopbackIpv6: parseIp("fe80::1") as Ipv6Address,
      ciliumHostIfindex: this.host.ifindex,
      ciliumHostMac: this.host.mac,
      ciliumNetIfindex: this.net.ifindex,
      ciliumNetMac: this.net.mac,
      devices: [{ ifindex: eth0.ifindex, mac: eth0.mac, isL3: false }],
      hostEndpointId: HOST_ENDPOINT,
      lb: DEFAULT_LOAD_BALANCER,
      ct: DEFAULT_CT_TIMEOUTS,
      conntrackAccounting: true,
      policyAccounting: true,
      hostRouting: false,
      endpointRoutes: false,
      hostFirewall: false,
      policyAuditMode: false,
      identityMark: true,
      secctxFromIpcache: true,
      allowIcmpFragNeeded: true,
      icmpRules: true,
      fragmentsTracking: true,
      sctp: true,
      monitorAggregation: "medium",
      reportFlags: 0xff,
      policyVerdictNotify: true,
      traceNotify: true,
      dropNotify: true,
      wireguardIfindex: this.wireguard?.ifindex ?? 0,
      wireguardPort: 51871,
      nodeEncryption: false,
      encryptionStrict: undefined,
    };
  }

  #attach(): void {
    const { programs } = this;
    attachTcx(this.host, "ingress", programs.toHost(this.host));
    attachTcx(this.host, "egress", programs.fromHost());
    attachTcx(this.net, "ingress", programs.toHost(this.net));
    attachTcx(this.eth0, "ingress", programs.fromNetdev(this.eth0));
    attachTcx(this.eth0, "egress", programs.toNetdev(this.eth0));
    if (this.tunnel !== undefined) {
      attachTcx(this.tunnel, "ingress", programs.fromOverlay(this.tunnel));
      attachTcx(this.tunnel, "egress", programs.toOverlay(this.tunnel));
    }
    if (this.wireguard !== undefined) {
      attachTcx(this.wireguard, "ingress", programs.fromWireguard(this.wireguard));
      attachTcx(this.wireguard, "egress", programs.toWireguard(this.wireguard));
    }
    this.maps.callPolicy.update(HOST_ENDPOINT, programs.hostPolicy());
  }

  #knowItself(): void {
    for (const address of [this.address, this.router]) {
      this.tell(`${formatIp(address)}`, { identity: 1 });
      this.maps.endpoints.update(address, {
        ifindex: 0,
        lxcId: 0,
        flags: ENDPOINT_F_HOST | ENDPOINT_F_ATHOSTNS,
        mac: 0,
        nodeMac: 0,
        secId: 1,
        parentIfindex: 0,
      });
    }
    this.tell(this.lab.family === 4 ? "0.0.0.0/0" : "::/0", { identity: 2 });
  }

  /** Writes this node's ipcache. */
  tell(text: string, info: Partial<RemoteEndpointInfo> & { identity: number }): void {
    const prefix = text.includes("/") ? parsePrefix(text) : Prefix.host(parseIp(text));
    const { address, length: prefixLength } = prefix;
    const entry = { key: 0, skipTunnel: false, ...info };
    this.maps.ipcache.update({ clusterId: 0, address, prefixLength }, entry, BPF_ANY);
  }

  /** `via ROUTER dev cilium_host src ROUTER` */
  #routeByHost(dst: Prefix, mtu = 0): void {
    const { router: src, host: dev } = this;
    this.netns.addRoute({ dst, dev, src, mtu, ...(this.lab.family === 4 && { via: src }) });
  }

  /** What is left of 1500 bytes beside a tunnel's headers. */
  get #routeMtu(): number {
    if (this.tunnel === undefined) return 1500;
    return this.lab.family === 4 ? 1450 : 1430;
  }

  /** Another node, its pods' range and its pods. */
  know(other: LabNode): void {
    this.tell(formatIp(other.address), { identity: 6 });
    this.tell(formatIp(other.router), { identity: 6, tunnelEndpoint: other.address });
    if (this.config.tunnelMode) this.#routeByHost(other.podCidr, this.#routeMtu);
    else this.netns.addRoute({ dst: other.podCidr, via: other.address });
    this.wireguard?.setPeer({
      publicKey: other.name,
      endpoint: { address: other.address, port: 51871 },
      allowedIps: [other.podCidr, Prefix.host(other.address)],
      persistentKeepalive: 0,
    });
    for (const pod of other.pods) this.knowPod(pod);
  }

  knowPod({ node, address, identity }: LabPod): void {
    const tunnelEndpoint = node === this ? undefined : node.address;
    const key = this.wireguard === undefined || node === this ? 0 : 255;
    this.tell(formatIp(address), { identity, tunnelEndpoint, key });
  }

  /** A pod whose policy allows all, known to all nodes. */
  pod(identity: number, options: Partial<EndpointConfig> = {}): LabPod {
    const index = this.pods.length + 10;
    const id = index;
    const { family } = this.lab;
    const isIpv4 = family === 4;
    const address = parseIp(
      isIpv4 ? `10.0.${this.number}.${index}` : `fd00:${this.number}::${index}`,
    );
    const netns = this.netns.kernel.addNamespace(`pod${this.number}-${index}`);
    netns.loopback.setUp();
    const [eth0, lxc] = Veth.pair(netns, { name: "eth0" }, this.netns, { name: `lxc${index}` });
    for (const dev of [eth0, lxc]) dev.setUp();
    eth0.addAddress(address, addressBits(family));
    const { router } = this;
    netns.addRoute({ dst: Prefix.host(router), dev: eth0, scope: RT_SCOPE_LINK });
    const everywhere = parsePrefix(isIpv4 ? "0.0.0.0/0" : "::/0");
    netns.addRoute({ dst: everywhere, via: router, dev: eth0, mtu: this.#routeMtu });
    const { endpointRoutes } = this.config;
    const config: EndpointConfig = {
      id,
      securityLabel: identity,
      ipv4: isIpv4 ? (address as Ipv4Address) : undefined,
      ipv6: isIpv4 ? undefined : (address as Ipv6Address),
      interfaceMac: lxc.mac,
      interfaceIfindex: lxc.ifindex,
      mac: eth0.mac,
      arpResponder: !endpointRoutes,
      routing: !endpointRoutes,
      toContainer: endpointRoutes,
      policyAuditMode: false,
      netnsCookie: this.netns.kernel.bpf.netnsCookie(netns),
      ...this.lab.options.endpoint,
      ...options,
    };
    const { maps, programs } = this;
    maps.callPolicy.update(id, programs.lxcPolicy(config));
    maps.egressCallPolicy.update(id, programs.lxcPolicyEgress(config));
    attachTcx(lxc, "ingress", programs.fromContainer(config));
    if (endpointRoutes) {
      attachTcx(lxc, "egress", programs.toContainer(config));
      this.netns.addRoute({ dst: Prefix.host(address), dev: lxc, scope: RT_SCOPE_LINK });
      // pkg/datapath/connector: the router's address is answered for by proxy.
      this.netns.sysctl.set(`net/ipv4/conf/${lxc.name}/proxy_arp`, "1");
    }
    maps.endpoints.update(address, {
      ifindex: lxc.ifindex,
      lxcId: id,
      flags: 0,
      mac: eth0.mac,
      nodeMac: lxc.mac,
      secId: identity,
      parentIfindex: 0,
    });
    const policy = maps.lxcPolicy(id);
    const pod: LabPod = { node: this, netns, eth0, lxc, address, id, identity, policy };
    allow(policy, { egress: true });
    allow(policy, { egress: false });
    this.pods.push(pod);
    for (const node of this.lab.nodes) node.knowPod(pod);
    if (!this.lab.nodes.includes(this)) this.knowPod(pod);
    return pod;
  }

  /** Marks what the host's own programs send, as CILIUM_OUTPUT of iptables does. */
  markOwnPackets(): void {
    const run = (ctx: TcContext): number => {
      if (ctx.mark === 0 && ctx.skb.socket !== undefined) ctx.mark = 0xc00;
      return TC_ACT_UNSPEC;
    };
    const options = { type: "sched_cls", name: "CILIUM_OUTPUT", run } as const;
    const program = new BpfProgram(this.netns.kernel, options);
    for (const dev of [this.host, this.eth0, ...this.pods.map(({ lxc }) => lxc)]) {
      attachTcx(dev, "egress", program, { first: true });
    }
  }

  /** What the programs tell of from now on. */
  listen(): MonitorMessage[] {
    if (this.#told === undefined) {
      const told: MonitorMessage[] = [];
      this.#told = told;
      this.maps.events.read((message) => {
        told.push(message);
      });
    }
    this.#told.length = 0;
    return this.#told;
  }
}

/** An entry of a policy; all of what is not said is any. */
export interface PolicyRuleOptions {
  readonly egress: boolean;
  readonly identity?: number;
  readonly protocol?: number;
  readonly port?: number;
  /** Of the port; 16 if absent. */
  readonly portBits?: number;
  readonly deny?: boolean;
  readonly proxyPort?: number;
  readonly priority?: number;
  readonly authType?: number;
  readonly explicitAuth?: boolean;
  readonly origin?: Origin;
}

export function allow(map: PolicyMap, rule: PolicyRuleOptions): void {
  const { egress, identity = 0, protocol = 0, port = 0, portBits = 16 } = rule;
  const lpmPrefixLength = protocol === 0 ? 0 : port === 0 ? 8 : 8 + portBits;
  const key = { secLabel: identity, egress, protocol, dport: port, lpmPrefixLength };
  const proxyPort = rule.proxyPort ?? 0;
  const entry: PolicyEntry = {
    deny: rule.deny ?? false,
    proxyPort,
    proxyPortPriority: rule.priority ?? (proxyPort === 0 ? 0 : 1),
    authType: rule.authType ?? 0,
    hasExplicitAuthType: rule.explicitAuth ?? false,
    lpmPrefixLength,
    origin: rule.origin,
  };
  map.update(key, entry, BPF_ANY);
}

export function deny(map: PolicyMap, rule: PolicyRuleOptions): void {
  allow(map, { ...rule, deny: true });
}

/** Takes out what {@link LabNode.pod} allows in one direction. */
export function isolate(map: PolicyMap, egress: boolean): void {
  map.delete({ secLabel: 0, egress, protocol: 0, dport: 0, lpmPrefixLength: 0 });
}

interface AskOptions {
  readonly src?: IpAddress;
  readonly ttl?: number;
  readonly length?: number;
  readonly srcPort?: number;
  readonly trace?: Trace;
}

export function ping(from: NetNamespace, dst: IpAddress, options: AskOptions = {}): Exchange {
  const protocol = familyOf(dst) === 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
  return exchange(from, { protocol, dst, port: 0, ...options });
}

export function connect(
  from: NetNamespace,
  dst: IpAddress,
  port: number,
  options: AskOptions = {},
): Exchange {
  return exchange(from, { protocol: IPPROTO_TCP, dst, port, ...options });
}

export function datagram(
  from: NetNamespace,
  dst: IpAddress,
  port: number,
  options: AskOptions = {},
): Exchange {
  return exchange(from, { protocol: IPPROTO_UDP, dst, port, ...options });
}

export function serve(netns: NetNamespace, port: number, protocol: number = IPPROTO_TCP): void {
  startEchoServer(netns, { protocol, port, owner: "server" });
}

/** `connected`, or what dropped it: the reason and the machine, and the object behind it. */
export function outcome({ outcome: what, drops }: Exchange): string {
  if (what === "connected") return what;
  const [drop] = drops;
  if (drop === undefined) return what;
  const origin = drop.rule?.origin;
  const by = origin === undefined ? "" : ` by ${origin.name}`;
  return `${drop.detail || drop.reason} at ${drop.netns.kernel.hostname}${by}`;
}

/** Reasons of drops among messages. */
export function dropsOf(messages: readonly MonitorMessage[]): number[] {
  return messages.filter((m): m is DropMessage => m.type === 1).map(({ reason }) => reason);
}

/** Two nodes: pods a and b on the first, c on the second. */
export interface TwoNodes {
  readonly lab: DatapathLab;
  readonly one: LabNode;
  readonly two: LabNode;
  readonly a: LabPod;
  readonly b: LabPod;
  readonly c: LabPod;
}

export function twoNodes(options: LabOptions = {}): TwoNodes {
  const lab = new DatapathLab(options);
  const one = lab.node();
  const two = lab.node();
  return { lab, one, two, a: one.pod(1001), b: one.pod(1002), c: two.pod(1003) };
}
