import { type EndpointSlice, type KubeObject, SeededRandom, VirtualClock } from "@cnilab/core";
import {
  Bridge,
  Kernel,
  type NetDevice,
  type NetNamespace,
  Network,
  Nic,
  Segment,
  startEchoServer,
  Veth,
} from "@cnilab/linux";
import {
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  parseInterfaceAddress,
  parseIp,
  parsePrefix,
} from "@cnilab/net";

const IP_PROTOCOLS = { TCP: IPPROTO_TCP, UDP: IPPROTO_UDP, SCTP: IPPROTO_SCTP } as const;

/**
 * The network in which `packets.json` was recorded ("packets.json" in the README of the vectors): two
 * nodes with a bridge each, a pod for each endpoint and one without, two clients, and a router that
 * answers nothing, all on one wire.
 */
export class RecordingNetwork {
  readonly clock: VirtualClock;
  readonly node1: NetNamespace;
  /** Where connections come from, by the names that `packets.json` uses. */
  readonly clients: ReadonlyMap<string, NetNamespace>;
  readonly #wire: Segment;
  readonly #pods = new Map<string, NetNamespace>();

  constructor(objects: readonly KubeObject[], bridgeNfCallIptables: number, seed: number) {
    this.clock = new VirtualClock();
    const network = new Network(this.clock, new SeededRandom(seed));
    this.#wire = new Segment(network, "wire", 1500);
    this.#router();
    this.node1 = this.#node(1, bridgeNfCallIptables);
    const node2 = this.#node(2, bridgeNfCallIptables);
    const client = this.#client("client", "192.168.100.50/24", "fd00:100::50/64");
    const client2 = this.#client("client2", "198.51.100.7/32", "fd00:200::7/128");
    for (const host of ["198.51.100.7/32", "fd00:200::7/128"]) {
      this.node1.addRoute({ dst: parsePrefix(host), dev: this.node1.device("eth0") });
    }
    this.#serve(objects, { "1": this.node1, "2": node2 });
    this.clients = new Map([
      ["node1", this.node1],
      ["client", client],
      ["client2", client2],
      ["pod-on-node1", this.#pod(this.node1, "1", "50")],
      ...[...this.#pods].map(([name, pod]) => [`backend-pod ${name}`, pod] as const),
    ]);
  }

  /**
   * Answers nothing. (The recorder's did say "no route" over IPv6, but by a veth that comes before
   * connect() lets go of the socket, where Linux only notes it until the SYN is sent again after a
   * second: net/ipv6/tcp_ipv6.c tcp_v6_err. Its clients did not wait that long.)
   */
  #router(): void {
    const netns = this.#machine("router", "192.168.100.1/24", "fd00:100::1/64");
    for (const all of ["0.0.0.0/0", "::/0"]) {
      netns.addRoute({ dst: parsePrefix(all), type: "blackhole" });
    }
  }

  #machine(name: string, ...addresses: string[]): NetNamespace {
    const { initNs } = new Kernel(this.#wire.network, name);
    initNs.loopback.setUp();
    up(new Nic(initNs, { name: "eth0", segment: this.#wire }), ...addresses);
    return initNs;
  }

  /** Node 1 or 2: addresses end in 11 or 12, pods are in subnet 1 or 2. */
  #node(n: 1 | 2, bridgeNfCallIptables: number): NetNamespace {
    const netns = this.#machine(`node${n}`, `192.168.100.1${n}/24`, `fd00:100::1${n}/64`);
    netns.sysctl.set("net/ipv4/ip_forward", 1);
    netns.sysctl.set("net/ipv6/conf/all/forwarding", 1);
    netns.sysctl.set("net/ipv4/conf/all/send_redirects", 0);
    netns.sysctl.set("net/ipv4/conf/eth0/send_redirects", 0);
    netns.sysctl.set("net/ipv4/icmp_ratelimit", 0);
    netns.sysctl.set("net/bridge/bridge-nf-call-iptables", bridgeNfCallIptables);
    netns.sysctl.set("net/bridge/bridge-nf-call-ip6tables", bridgeNfCallIptables);
    up(new Bridge(netns, { name: "cni0" }), `10.244.${n}.1/24`, `fd00:10:244:${n}::1/64`);
    const peer = 3 - n;
    route(netns, `10.244.${peer}.0/24`, `192.168.100.1${peer}`);
    route(netns, `fd00:10:244:${peer}::/64`, `fd00:100::1${peer}`);
    route(netns, "0.0.0.0/0", "192.168.100.1");
    route(netns, "::/0", "fd00:100::1");
    return netns;
  }

  #client(name: string, ...addresses: string[]): NetNamespace {
    const netns = this.#machine(name, ...addresses);
    route(netns, "0.0.0.0/0", "192.168.100.11");
    route(netns, "::/0", "fd00:100::11");
    return netns;
  }

  /** A pod behind a node's bridge; its addresses end in `host` in both families. */
  #pod(node: NetNamespace, subnet: string, host: string): NetNamespace {
    const netns = node.kernel.addNamespace(`p${subnet}-${host}`);
    netns.loopback.setUp();
    const [port, eth0] = Veth.pair(node, { name: `veth${host}` }, netns, { name: "eth0" });
    port.setUp();
    port.setMaster(node.device("cni0") as Bridge);
    if (port.bridgePort !== undefined) port.bridgePort.hairpin = true;
    up(eth0, `10.244.${subnet}.${host}/24`, `fd00:10:244:${subnet}::${host}/64`);
    route(netns, "0.0.0.0/0", `10.244.${subnet}.1`);
    route(netns, "::/0", `fd00:10:244:${subnet}::1`);
    return netns;
  }

  /** Pods for all endpoints with pod addresses, each with a server on each port of its slices. */
  #serve(objects: readonly KubeObject[], nodes: Readonly<Record<string, NetNamespace>>): void {
    const served = new Set<string>();
    for (const slice of objects.filter((o): o is EndpointSlice => o.kind === "EndpointSlice")) {
      for (const address of slice.endpoints.flatMap((e) => e.addresses)) {
        const [, subnet = "", host = ""] =
          /^10\.244\.(\d)\.(\d+)$/.exec(address) ?? /^fd00:10:244:(\d)::(\d+)$/.exec(address) ?? [];
        const node = nodes[subnet];
        if (node === undefined) continue;
        const name = `p${subnet}-${host}`;
        const pod = this.#pods.get(name) ?? this.#pod(node, subnet, host);
        this.#pods.set(name, pod);
        for (const { port = 0, protocol = "TCP" } of slice.ports ?? []) {
          if (served.has(`${name} ${protocol} ${port}`)) continue;
          served.add(`${name} ${protocol} ${port}`);
          startEchoServer(pod, { protocol: IP_PROTOCOLS[protocol], port, owner: name });
        }
      }
    }
  }
}

function up(dev: NetDevice, ...addresses: string[]): void {
  dev.setUp();
  for (const text of addresses) {
    const { address, length } = parseInterfaceAddress(text);
    dev.addAddress(address, length, { nodad: true });
  }
}

/** `onlink`, as `client2` has no subnet in common with its gateway. */
function route(netns: NetNamespace, dst: string, gateway: string): void {
  const dev = netns.device("eth0");
  netns.addRoute({ dst: parsePrefix(dst), via: parseIp(gateway), dev, onlink: true });
}
