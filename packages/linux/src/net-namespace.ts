import { type IpAddress, type IpFamily, type Ipv6Address, ipv6 } from "@cnilab/net";
import type { Cgroup } from "./bpf/cgroup.ts";
import { IPV6_MIN_MTU } from "./device/interface-address.ts";
import { Loopback } from "./device/loopback.ts";
import type { NetDevice } from "./device/net-device.ts";
import type { Dst } from "./fib/dst.ts";
import { Fib } from "./fib/fib.ts";
import type { RouteCommand } from "./fib/fib-table.ts";
import type { Nexthop, Route } from "./fib/route.ts";
import { addRoute, deleteRoute, type RouteSpec } from "./fib/route-config.ts";
import {
  type AddressOptions,
  addAddress,
  announceAll,
  deviceDown,
  deviceUp,
  ipv6Toggled,
  ipv6Up,
  removeAddress,
} from "./ip/address.ts";
import { Reassembly } from "./ip/fragment.ts";
import { ipLocalOut } from "./ip/ip-output.ts";
import { unreachableNeighbour } from "./ip/link-failure.ts";
import type { RouteErrno } from "./ip/route-input.ts";
import { type OutputFlow, type OutputRoute, routeOutput } from "./ip/route-output.ts";
import { Ipvs } from "./ipvs/ipvs.ts";
import type { Kernel } from "./kernel.ts";
import { KernelError } from "./kernel-error.ts";
import { arpSolicit } from "./neighbour/arp.ts";
import { ndSolicit } from "./neighbour/ndisc.ts";
import { NeighbourTable, type Solicitor } from "./neighbour/neighbour-table.ts";
import { registerConntrackHooks } from "./netfilter/conntrack/conntrack-hooks.ts";
import { Conntrack } from "./netfilter/conntrack.ts";
import { NetfilterHooks } from "./netfilter/hooks.ts";
import { Ipsets } from "./netfilter/ipset/ipsets.ts";
import { Iptables } from "./netfilter/iptables/iptables.ts";
import { Nfacct } from "./netfilter/nfacct.ts";
import { Nftables } from "./netfilter/nftables/nftables.ts";
import type { Network } from "./network.ts";
import type { Skb } from "./skb.ts";
import type { PacketSocket } from "./socket/packet-socket.ts";
import { SocketTable } from "./socket/socket-table.ts";
import { Sysctl } from "./sysctl.ts";
import { Xfrm } from "./xfrm/xfrm.ts";

const solicitor: Solicitor = {
  solicit(dev, ip, mac, cause) {
    if (typeof ip === "number") arpSolicit(dev, ip, mac, cause);
    else ndSolicit(dev, ip, mac, cause);
  },
  unreachable: unreachableNeighbour,
};

/** A path MTU that an ICMP message told of (`fib_nh_exception`). */
export interface PathMtu {
  readonly mtu: number;
  /** Virtual milliseconds. */
  readonly expires: number;
  /** The only way that knows it; every one to the address where it is absent. */
  readonly nexthop: Nexthop | undefined;
}

/** One network namespace: a network stack of its own. Parts that a pod never uses are made on demand. */
export class NetNamespace {
  readonly kernel: Kernel;
  /** Empty for the namespace that the machine boots with. */
  readonly name: string;
  readonly sysctl: Sysctl;
  readonly fib4: Fib = new Fib(4);
  #fib6: Fib | undefined;
  /** Devices that are up and whose IPv6 nobody has asked for yet. */
  #ipv6Waiting: readonly NetDevice[] | undefined;
  /** Replaced at each change: what `concat` makes has no room to grow. */
  #devices: readonly NetDevice[] = [];
  #nextIfindex = 1;
  readonly loopback: Loopback;
  /** Addresses of devices while they are few, once for each device that has one. */
  #addresses: readonly IpAddress[] = NO_ADDRESSES;
  /** How many devices have an address, once they are many. */
  #addressCounts: Map<IpAddress, number> | undefined;
  /** Hook functions; `undefined` while nothing is registered. */
  hooks: NetfilterHooks | undefined = undefined;
  /** Connection tracking; `undefined` until a rule needs it. */
  conntrack: Conntrack | undefined = undefined;
  #nftables: Nftables | undefined;
  #ipsets: Ipsets | undefined;
  #iptables4: Iptables | undefined;
  #iptables6: Iptables | undefined;
  #nfacct: Nfacct | undefined;
  #ipvs: Ipvs | undefined;
  #xfrm: Xfrm | undefined;
  #reassembly: Reassembly | undefined;
  #sockets: SocketTable | undefined;
  /** Sockets that see frames; hardly any namespace has one. */
  packetSockets: readonly PacketSocket[] | undefined = undefined;
  #pathMtus: Map<IpAddress, PathMtu> | undefined;
  #linkListeners: Set<(dev: NetDevice) => void> | undefined;
  #cgroup: Cgroup | undefined = undefined;
  #packetId = 0;
  /** By the name of the program. */
  #putOff: Map<string, () => void> | undefined;

  constructor(kernel: Kernel, name: string) {
    this.kernel = kernel;
    this.name = name;
    this.sysctl = new Sysctl(this, name === "" ? undefined : kernel.initNs.sysctl);
    this.loopback = new Loopback(this);
  }

  get network(): Network {
    return this.kernel.network;
  }

  /** `/run/netns/NAME`, as container runtimes hand it to CNI plugins. */
  get path(): string {
    return this.name === "" ? "/proc/1/ns/net" : `/run/netns/${this.name}`;
  }

  /**
   * Lets a program put off what it does to rules and sets until a packet meets the namespace's hooks or somebody asks for either: of
   * thousands of nodes most are never looked at. Takes the place of what `name` has put off before.
   */
  putOff(name: string, program: () => void): void {
    this.#putOff ??= new Map();
    this.#putOff.set(name, program);
    this.network.touch();
  }

  /** Does what was put off. */
  catchUp(): void {
    const waiting = this.#putOff;
    if (waiting === undefined) return;
    // What runs now asks for rules and sets itself.
    this.#putOff = undefined;
    for (const program of waiting.values()) program();
  }

  /** The control group of the namespace's programs; the machine's root one where it is absent. */
  get cgroup(): Cgroup | undefined {
    return this.#cgroup;
  }

  set cgroup(cgroup: Cgroup | undefined) {
    this.#cgroup = cgroup;
    this.network.touch();
  }

  /** In order of their index. */
  get devices(): readonly NetDevice[] {
    return this.#devices;
  }

  get fib6(): Fib {
    this.startIpv6();
    this.#fib6 ??= new Fib(6);
    return this.#fib6;
  }

  /** The IPv6 tables, if there is something in them. */
  get fib6IfUsed(): Fib | undefined {
    return this.#fib6;
  }

  /** Lets IPv6 start on a device when somebody looks; see {@link NetDevice.startsIpv6Later}. */
  startIpv6Later(dev: NetDevice): void {
    this.#ipv6Waiting = (this.#ipv6Waiting ?? []).concat(dev);
  }

  /** Whether IPv6 has yet to start on a device that is up. */
  ipv6Waits(dev: NetDevice): boolean {
    return this.#ipv6Waiting?.includes(dev) === true;
  }

  /** A device goes down. False when IPv6 had not started on it. */
  stopIpv6(dev: NetDevice): boolean {
    if (!this.ipv6Waits(dev)) return true;
    const others = this.#ipv6Waiting?.filter((d) => d !== dev);
    this.#ipv6Waiting = others?.length ? others : undefined;
    return false;
  }

  /** Makes up leeway: IPv6 starts on devices on which it could wait. */
  startIpv6(): void {
    const waiting = this.#ipv6Waiting;
    if (waiting === undefined) return;
    this.#ipv6Waiting = undefined;
    for (const dev of waiting) ipv6Up(dev);
  }

  fib(family: IpFamily): Fib {
    return family === 4 ? this.fib4 : this.fib6;
  }

  /** Hook functions, to register one. */
  get netfilter(): NetfilterHooks {
    this.hooks ??= new NetfilterHooks();
    return this.hooks;
  }

  /** Turns connection tracking on for packets of a family, for good. */
  requireConntrack(family: IpFamily): Conntrack {
    const conntrack = this.makeConntrack();
    registerConntrackHooks(this, family);
    return conntrack;
  }

  /** The table of connections, made on demand: packets get into it where {@link requireConntrack} was called. */
  makeConntrack(): Conntrack {
    this.conntrack ??= new Conntrack(this);
    return this.conntrack;
  }

  /** nf_tables, made on demand. */
  get nftables(): Nftables {
    this.catchUp();
    this.#nftables ??= new Nftables(this);
    return this.#nftables;
  }

  /** IP sets, made on demand. */
  get ipsets(): Ipsets {
    this.catchUp();
    this.#ipsets ??= new Ipsets(this);
    return this.#ipsets;
  }

  findNftables(): Nftables | undefined {
    this.catchUp();
    return this.#nftables;
  }

  /** The tables of iptables (4) or ip6tables (6), made on demand. */
  iptables(family: IpFamily): Iptables {
    this.catchUp();
    if (family === 4) {
      this.#iptables4 ??= new Iptables(this, 4);
      return this.#iptables4;
    }
    this.#iptables6 ??= new Iptables(this, 6);
    return this.#iptables6;
  }

  findIptables(family: IpFamily): Iptables | undefined {
    this.catchUp();
    return family === 4 ? this.#iptables4 : this.#iptables6;
  }

  /** Named counters, made on demand. */
  get nfacct(): Nfacct {
    this.#nfacct ??= new Nfacct();
    return this.#nfacct;
  }

  /** IP virtual servers, made on demand. */
  get ipvs(): Ipvs {
    this.#ipvs ??= new Ipvs(this);
    return this.#ipvs;
  }

  /** IPsec, made on demand. */
  get xfrm(): Xfrm {
    this.#xfrm ??= new Xfrm(this);
    return this.#xfrm;
  }

  findXfrm(): Xfrm | undefined {
    return this.#xfrm;
  }

  findIpvs(): Ipvs | undefined {
    return this.#ipvs;
  }

  get reassembly(): Reassembly {
    this.#reassembly ??= new Reassembly(this);
    return this.#reassembly;
  }

  get sockets(): SocketTable {
    this.#sockets ??= new SocketTable(this);
    return this.#sockets;
  }

  findDevice(name: string): NetDevice | undefined {
    for (const dev of this.#devices) if (dev.name === name) return dev;
    return undefined;
  }

  /** `dev_get_by_index`. */
  findDeviceByIndex(ifindex: number): NetDevice | undefined {
    const devices = this.#devices;
    let low = 0;
    let high = devices.length - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const dev = devices[middle] as NetDevice;
      if (dev.ifindex === ifindex) return dev;
      if (dev.ifindex < ifindex) low = middle + 1;
      else high = middle - 1;
    }
    return undefined;
  }

  /** @throws KernelError ENODEV */
  device(name: string): NetDevice {
    const dev = this.findDevice(name);
    if (dev === undefined) throw new KernelError("ENODEV", `no device ${name} in ${this}`);
    return dev;
  }

  /**
   * Called by the constructor of a device. @returns its index
   * @throws KernelError EEXIST for a name that is taken, EBUSY for an index that is
   */
  register(dev: NetDevice, ifindex: number = this.#nextIfindex): number {
    if (this.findDevice(dev.name) !== undefined) {
      throw new KernelError("EEXIST", `device ${dev.name} in ${this}`);
    }
    if (ifindex >= this.#nextIfindex) {
      this.#devices = this.#devices.concat(dev);
      this.#nextIfindex = ifindex + 1;
    } else {
      const at = this.#devices.findIndex((d) => d.ifindex >= ifindex);
      if (this.#devices[at]?.ifindex === ifindex) {
        throw new KernelError("EBUSY", `index ${ifindex} for device ${dev.name} in ${this}`);
      }
      this.#devices = this.#devices.toSpliced(at, 0, dev);
    }
    this.network.touch();
    return ifindex;
  }

  /** Takes a device that is down out of the namespace, with what hangs on it. */
  unregister(dev: NetDevice): void {
    const ipv6 = this.fib6IfUsed;
    const addresses = ipv6 === undefined ? [...dev.addresses4] : dev.addresses;
    for (const { address, prefixLength } of addresses) {
      this.removeAddress(dev, address, prefixLength);
    }
    for (const fib of ipv6 === undefined ? [this.fib4] : [this.fib4, ipv6]) {
      fib.removeLayers(dev);
      fib.removeRoutes((r) => r.nexthops.some((n) => n.dev === dev));
    }
    dev.neighbours?.flush(true);
    this.#devices = this.#devices.filter((d) => d !== dev);
    for (const listener of [...(this.#linkListeners ?? [])]) listener(dev);
  }

  /** Calls `listener` with each device that has left, as `RTM_DELLINK` tells programs. @returns how to stop it */
  onLinkDeleted(listener: (dev: NetDevice) => void): () => void {
    this.#linkListeners ??= new Set();
    this.#linkListeners.add(listener);
    return () => this.#linkListeners?.delete(listener);
  }

  renamed(dev: NetDevice, name: string, rename: () => void): void {
    if (this.findDevice(name) !== undefined) {
      throw new KernelError("EEXIST", `device ${name} in ${this}`);
    }
    if (dev.up) throw new KernelError("EBUSY", `${dev.name} is up`);
    rename();
    this.network.touch();
  }

  addAddress(
    dev: NetDevice,
    address: IpAddress,
    prefixLength: number,
    options?: AddressOptions,
  ): void {
    addAddress(dev, address, prefixLength, options);
  }

  removeAddress(dev: NetDevice, address: IpAddress, prefixLength?: number): void {
    removeAddress(dev, address, prefixLength);
  }

  deviceUp(dev: NetDevice): void {
    deviceUp(dev);
  }

  deviceDown(dev: NetDevice): void {
    deviceDown(dev);
    this.conntrack?.endMasqueraded(dev.ifindex);
  }

  ipv6Toggled(dev: NetDevice): void {
    ipv6Toggled(dev);
  }

  /** Tells the link of the device's addresses. */
  announce(dev: NetDevice): void {
    announceAll(dev);
  }

  neighboursOf(dev: NetDevice): NeighbourTable {
    dev.neighbours ??= new NeighbourTable(dev, solicitor);
    return dev.neighbours;
  }

  /** Whether a device has this address. */
  hasAddress(address: IpAddress): boolean {
    if (typeof address !== "number") this.startIpv6();
    if (this.#addressCounts !== undefined) return this.#addressCounts.has(address);
    for (const own of this.#addresses) if (own === address) return true;
    return false;
  }

  /** Whether packets to this address stay here: an address of a device, or any in 127.0.0.0/8. */
  isLocalAddress(address: IpAddress): boolean {
    if (this.hasAddress(address)) return true;
    return this.fib(typeof address === "number" ? 4 : 6).addressType(address) === "local";
  }

  deviceWithAddress(address: IpAddress): NetDevice | undefined {
    return this.#devices.find((d) => d.hasAddress(address));
  }

  /** Keeps {@link hasAddress} true. */
  countAddress(address: IpAddress, change: 1 | -1): void {
    const counts = this.#addressCounts;
    if (counts !== undefined) {
      const count = (counts.get(address) ?? 0) + change;
      if (count > 0) counts.set(address, count);
      else counts.delete(address);
      return;
    }
    const few = this.#addresses;
    this.#addresses = change === 1 ? few.concat(address) : few.toSpliced(few.indexOf(address), 1);
    if (this.#addresses.length <= FEW_ADDRESSES) return;
    this.#addressCounts = new Map();
    for (const own of this.#addresses) this.countAddress(own, 1);
    this.#addresses = NO_ADDRESSES;
  }

  /** Whether a device listens to a multicast group. */
  isInGroup(dev: NetDevice, group: IpAddress): boolean {
    if (typeof group === "number") {
      return group === ALL_HOSTS || dev.groups?.has(group) === true;
    }
    if (group === ALL_NODES || group === INTERFACE_ALL_NODES || dev.groups?.has(group) === true)
      return true;
    if (group === ALL_ROUTERS) return dev.conf6.forwarding !== 0;
    // ff02::1:ff00:0/104, the solicited-node groups of the device's own addresses
    if (group.a === 0xff020000 && group.b === 0 && group.c === 1 && group.d >>> 24 === 0xff) {
      for (const { address } of dev.addresses6) {
        if (typeof address !== "number" && (address.d & 0xffffff) === (group.d & 0xffffff))
          return true;
      }
      if (dev.neighbours !== undefined) {
        for (const ip of dev.neighbours.proxies) {
          if (typeof ip !== "number" && (ip.d & 0xffffff) === (group.d & 0xffffff)) return true;
        }
      }
    }
    return false;
  }

  /** `ip route add|replace|append …`. @throws KernelError as the real one */
  addRoute(spec: RouteSpec, command: RouteCommand = "add"): Route {
    return addRoute(this, spec, command);
  }

  /** `ip route del …`. @throws KernelError ESRCH */
  deleteRoute(spec: RouteSpec): void {
    deleteRoute(this, spec);
  }

  /** `ip route get`: how a packet of this machine's own would go, or the errno of why not. */
  routeGet(flow: OutputFlow): OutputRoute | RouteErrno {
    return routeOutput(this, flow);
  }

  /** Bytes that a packet of this machine's own may have on its way to `address`. */
  pathMtu(dst: Dst, address: IpAddress): number {
    const known = this.#pathMtus?.get(address);
    if (known === undefined) return dst.mtu;
    if (known.expires < this.network.clock.now) {
      this.#pathMtus?.delete(address);
      return dst.mtu;
    }
    if (known.nexthop !== undefined && known.nexthop !== dst.nexthop) return dst.mtu;
    return Math.min(known.mtu, dst.mtu);
  }

  /**
   * A router told that packets to `address` must be no longer than `mtu` (`ip_rt_update_pmtu`).
   * @param nexthop the only one that learns of it, where there are several ways
   */
  learnPathMtu(address: IpAddress, mtu: number, nexthop?: Nexthop): void {
    const isIpv4 = typeof address === "number";
    if (!isIpv4 && mtu < IPV6_MIN_MTU) return; // __ip6_rt_update_pmtu
    const least = isIpv4 ? this.sysctl.get("net/ipv4/route/min_pmtu") : IPV6_MIN_MTU;
    const expires = this.network.clock.now + 1000 * this.sysctl.get("net/ipv4/route/mtu_expires");
    this.#pathMtus ??= new Map();
    this.#pathMtus.set(address, { mtu: Math.max(mtu, least), expires, nexthop });
    this.network.touch();
  }

  /** `ip route flush cache`, both families. */
  forgetPathMtus(): void {
    if (this.#pathMtus === undefined) return;
    this.#pathMtus = undefined;
    this.network.touch();
  }

  /** Path MTUs that are known: `ip route show cache`. */
  get pathMtus(): ReadonlyMap<IpAddress, PathMtu> {
    return this.#pathMtus ?? new Map();
  }

  defaultTtl(family: IpFamily): number {
    return family === 4 ? this.sysctl.defaultTtl : this.sysctl.conf6Default.hop_limit;
  }

  /** Whether answers of the kernel's own carry the mark of the packet they are about. */
  reflectsMark(family: IpFamily): boolean {
    return (family === 4 ? this.sysctl.fwmarkReflect4 : this.sysctl.fwmarkReflect6) !== 0;
  }

  /**
   * Bytes that a packet which this machine passes on may have (`ip_dst_mtu_maybe_forward`). For IPv6 the
   * device alone counts (`ip6_dst_mtu_maybe_forward`): the route's MTU is met when the packet leaves.
   */
  forwardMtu(dst: Dst, address: IpAddress): number {
    if (typeof address !== "number") return Math.max(dst.dev.mtu, IPV6_MIN_MTU);
    return this.sysctl.forwardUsePmtu === 0 ? dst.mtu : this.pathMtu(dst, address);
  }

  /** The identification of this machine's next packet, 1 to 65535. */
  nextPacketId(): number {
    this.#packetId = (this.#packetId % 0xffff) + 1;
    this.network.recording?.effect({
      repeat: (packets) => {
        this.#packetId = ((this.#packetId - 1 + packets) % 0xffff) + 1;
      },
    });
    return this.#packetId;
  }

  /** Sends a packet whose route is chosen, and whatever follows from it once the queue runs. */
  ipLocalOut(skb: Skb): void {
    ipLocalOut(skb, this);
  }

  toString(): string {
    return this.name === "" ? this.kernel.hostname : `${this.kernel.hostname}/${this.name}`;
  }
}

const FEW_ADDRESSES = 8;
const NO_ADDRESSES: readonly IpAddress[] = [];

const ALL_HOSTS = 0xe0000001;
const ALL_NODES: Ipv6Address = ipv6(0xff020000, 0, 0, 1);
const INTERFACE_ALL_NODES: Ipv6Address = ipv6(0xff010000, 0, 0, 1);
const ALL_ROUTERS: Ipv6Address = ipv6(0xff020000, 0, 0, 2);
