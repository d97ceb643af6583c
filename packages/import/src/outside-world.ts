import { type NameSource, OutsideDns } from "@cnilab/cluster";
import {
  echoOnAllPorts,
  Kernel,
  KernelError,
  type NetNamespace,
  type Network,
  Nic,
  Segment,
} from "@cnilab/linux";
import {
  addressBits,
  familyOf,
  formatIp,
  type IpAddress,
  type IpFamily,
  Prefix,
  parseIp,
} from "@cnilab/net";
import { anyPrefix } from "./fields.ts";
import type { Wire } from "./wiring.ts";

/** Networks for documentation (RFC 5737, RFC 3849), as the world behind the gateways. */
const WORLD: Readonly<
  Record<IpFamily, { router: string; internet: string; dns: string; length: number }>
> = {
  4: { router: "203.0.113.1", internet: "203.0.113.10", dns: "203.0.113.53", length: 24 },
  6: {
    router: "2001:db8:203::1",
    internet: "2001:db8:203::a",
    dns: "2001:db8:203::35",
    length: 64,
  },
};
const RESOLV_CONF = "/etc/resolv.conf";

/** Answers come in; whoever begins a connection from the internet is told that there is no way. */
const FIREWALL: Readonly<Record<IpFamily, string>> = {
  4: "-s 203.0.113.0/24 -m conntrack --ctstate NEW -j REJECT --reject-with icmp-net-unreachable",
  6: "-s 2001:db8:203::/64 -m conntrack --ctstate NEW -j REJECT --reject-with icmp6-no-route",
};

/**
 * What the saved machines' default gateways lead to: one router that has all of these addresses, and
 * behind it the host `internet` and whatever other address is asked for. It knows the networks on its
 * wires and no other: routes of a cloud to pods' ranges are not on any node.
 */
export class OutsideWorld {
  readonly #network: Network;
  readonly #segment: Segment;
  #router: Kernel | undefined;
  readonly #hosts = new Map<IpAddress, Kernel>();
  #internet: Kernel | undefined;

  constructor(network: Network, wires: Iterable<Wire>) {
    this.#network = network;
    this.#segment = new Segment(network, "world");
    for (const wire of wires) {
      if (wire.gateways.length > 0) plug(this.router, wire);
    }
  }

  /** Made when there is a gateway, or somebody outside. */
  get router(): NetNamespace {
    if (this.#router === undefined) {
      this.#router = new Kernel(this.#network, freeName(this.#network, "router"));
      this.#configure(this.#router.initNs);
    }
    return this.#router.initNs;
  }

  /** Has a machine of the world answer names, for everybody here who knows no other. */
  serveNames(names: NameSource): void {
    const own = ([4, 6] as const).map((f) => [parseIp(WORLD[f].dns), WORLD[f].length] as const);
    const { initNs, hostname } = this.#host("outside-dns", own);
    initNs.sockets.catchAll = undefined;
    new OutsideDns(initNs, hostname, [names]);
  }

  /** The host outside that nobody lets in. */
  get internet(): NetNamespace {
    if (this.#internet === undefined) {
      const ends = ([4, 6] as const).map((f) => [parseIp(WORLD[f].internet), WORLD[f].length]);
      this.#internet = this.#host("internet", ends as [IpAddress, number][]);
    }
    return this.#internet.initNs;
  }

  /** The host with an address, made if there is none. */
  host(address: IpAddress): NetNamespace {
    for (const family of [4, 6] as const) {
      if (parseIp(WORLD[family].internet) === address) return this.internet;
      if (parseIp(WORLD[family].router) === address) return this.router;
    }
    let kernel = this.#hosts.get(address);
    if (kernel === undefined) {
      const name = `outside-${formatIp(address)}`;
      kernel = this.#host(name, [[address, addressBits(familyOf(address))]]);
      this.#hosts.set(address, kernel);
      const dst = Prefix.host(address);
      this.router.addRoute({ dst, dev: this.router.device("world") }, "replace");
    }
    return kernel.initNs;
  }

  /** How a host outside is called. */
  nameOf(netns: NetNamespace): string | undefined {
    if (netns.kernel === this.#router) return netns.kernel.hostname;
    if (netns === this.#internet?.initNs) return "internet";
    for (const [address, kernel] of this.#hosts) {
      if (kernel.initNs === netns) return formatIp(address);
    }
    return undefined;
  }

  #configure(initNs: NetNamespace): void {
    initNs.loopback.setUp();
    initNs.sysctl.set("net.ipv4.ip_forward", 1);
    initNs.sysctl.set("net.ipv6.conf.all.forwarding", 1);
    for (const conf of ["all", "default"]) {
      initNs.sysctl.set(`net.ipv4.conf.${conf}.send_redirects`, 0);
    }
    const uplink = this.#worldCard(initNs.kernel);
    for (const family of [4, 6] as const) {
      const { router, length } = WORLD[family];
      uplink.addAddress(parseIp(router), length);
      initNs.iptables(family).append("filter", "FORWARD", FIREWALL[family]);
    }
  }

  #worldCard(kernel: Kernel): Nic {
    const nic = new Nic(kernel.initNs, { name: "world", segment: this.#segment });
    nic.setUp();
    return nic;
  }

  #host(name: string, addresses: readonly (readonly [IpAddress, number])[]): Kernel {
    const kernel = new Kernel(this.#network, freeName(this.#network, name));
    const { initNs } = kernel;
    initNs.loopback.setUp();
    const nic = this.#worldCard(kernel);
    for (const [address, length] of addresses) {
      const family = familyOf(address);
      nic.addAddress(address, length);
      const via = parseIp(WORLD[family].router);
      initNs.addRoute({ dst: anyPrefix(family), via, dev: nic, onlink: true });
    }
    initNs.sockets.catchAll = echoOnAllPorts(initNs, name);
    askOutside(kernel);
    return kernel;
  }
}

/** Tells a machine whom to ask for names, unless it was saved with somebody. */
export function askOutside({ files }: Kernel): void {
  if (files.read(RESOLV_CONF) !== undefined) return;
  const servers = ([4, 6] as const).map((family) => `nameserver ${WORLD[family].dns}\n`);
  files.write(RESOLV_CONF, servers.join(""));
}

/** Gives the router a card on a wire, with the addresses that it is asked for there. */
function plug(initNs: NetNamespace, { segment, gateways, singles }: Wire): void {
  const mac = gateways.find((g) => g.mac !== undefined)?.mac;
  const nic = new Nic(initNs, {
    name: `eth${initNs.devices.length - 2}`,
    segment,
    ...(mac === undefined ? {} : { mac }),
  });
  nic.setUp();
  for (const { address, prefixLength } of gateways) {
    if (!initNs.hasAddress(address)) nic.addAddress(address, prefixLength);
  }
  for (const address of singles) {
    if (initNs.hasAddress(address)) continue;
    initNs.addRoute({ dst: Prefix.host(address), dev: nic }, "replace");
  }
}

function freeName(network: Network, name: string): string {
  for (let n = 1; ; n++) {
    const candidate = n === 1 ? name : `${name}-${n}`;
    if (!network.kernels.has(candidate)) return candidate;
    if (n > network.kernels.size) throw new KernelError("EEXIST", name);
  }
}
