import {
  BROADCAST_MAC,
  ETHERNET_HEADER_LENGTH,
  type IpAddress,
  type IpFamily,
  type Ipv6Address,
  isGroupMac,
  linkLocalFromMac,
  type Mac,
} from "@cnilab/net";
import type { TunnelKey } from "../bpf/skb-bpf.ts";
import type { XdpHook } from "../bpf/xdp-hook.ts";
import type { Bridge } from "../bridge/bridge.ts";
import type { BridgePort } from "../bridge/bridge-port.ts";
import type { DropReason } from "../drop-reason.ts";
import type { AddressOptions } from "../ip/address.ts";
import { KernelError } from "../kernel-error.ts";
import type { Neighbour } from "../neighbour/neighbour.ts";
import {
  NEIGHBOUR_PARAMETERS,
  NEIGHBOUR_PARAMETERS6,
  type NeighbourParameters,
} from "../neighbour/neighbour-parameters.ts";
import type { NeighbourTable } from "../neighbour/neighbour-table.ts";
import type { NetNamespace } from "../net-namespace.ts";
import type { Network } from "../network.ts";
import {
  PACKET_BROADCAST,
  PACKET_HOST,
  PACKET_MULTICAST,
  PACKET_OTHERHOST,
  type Skb,
} from "../skb.ts";
import type { Ipv4DeviceConf, Ipv6DeviceConf } from "../sysctl.ts";
import type { TrafficControl } from "../tc/traffic-control.ts";
import { type DeviceAddress, IPV6_MIN_MTU } from "./interface-address.ts";

/**
 * Takes frames away from a device before the protocols see them (`rx_handler`), with what the tunnel says that they came out of.
 * True: it has it.
 */
export interface ReceiveHandler {
  handle(dev: NetDevice, skb: Skb, tunnel: TunnelKey | undefined): boolean;
  /** The device is about to be deleted. */
  deviceRemoved?(): void;
}

export interface DeviceOptions {
  readonly name: string;
  readonly mac?: Mac;
  readonly mtu?: number;
  /** As `ip link add … index` sets it; the next free one where it is absent. */
  readonly ifindex?: number;
}

/** A network device: `struct net_device`. Each kind is a subclass with its own {@link transmit}. */
export abstract class NetDevice {
  /** As `ip -d link` names the kind; empty for hardware. */
  abstract readonly kind: string;
  readonly ifindex: number;
  #name: string;
  netns: NetNamespace;
  mac: Mac;
  #mtu: number;
  #up = false;
  #arpOff = false;
  /** Whether there is somebody at the other end. */
  carrier = true;
  promiscuity = 0;
  conf4: Ipv4DeviceConf;
  conf6: Ipv6DeviceConf;
  /** IPv4 addresses in the order in which they were added (`struct in_device`). */
  addresses4: readonly DeviceAddress[] = NO_ADDRESSES;
  #addresses6: readonly DeviceAddress[] = NO_ADDRESSES;
  /** The bridge that this is a port of, or another device that it belongs to. */
  master: Bridge | undefined = undefined;
  /** Multicast groups that it listens to beyond those that every device does. */
  groups: Set<IpAddress> | undefined = undefined;
  /** Set while {@link master} is. */
  bridgePort: BridgePort | undefined = undefined;
  receiveHandler: ReceiveHandler | undefined = undefined;
  /** How neighbours are asked; most devices share one object for each family. */
  neigh4: NeighbourParameters = NEIGHBOUR_PARAMETERS;
  neigh6: NeighbourParameters = NEIGHBOUR_PARAMETERS6;
  /** Made when the first neighbour appears. */
  neighbours: NeighbourTable | undefined = undefined;
  /** Queueing disciplines and filters, when there are any. */
  tc: TrafficControl | undefined = undefined;
  /** The eBPF program that sees what comes in first. */
  xdp: XdpHook | undefined = undefined;
  rxPackets = 0;
  rxBytes = 0;
  txPackets = 0;
  txBytes = 0;
  rxDropped = 0;
  txDropped = 0;

  /** Registers the device in `netns`. @throws KernelError EEXIST for a name that is taken, EBUSY for an index that is */
  constructor(netns: NetNamespace, { name, mac, mtu, ifindex }: DeviceOptions, defaultMtu = 1500) {
    this.netns = netns;
    this.#name = checkName(name);
    this.mac = mac ?? 0;
    this.#mtu = mtu ?? defaultMtu;
    this.conf4 = netns.sysctl.conf4Default;
    this.conf6 = netns.sysctl.conf6Default;
    this.ifindex = netns.register(this, ifindex);
  }

  /** IPv6 addresses in the order in which they were added (`struct inet6_dev`). */
  get addresses6(): readonly DeviceAddress[] {
    this.netns.startIpv6();
    return this.#addresses6;
  }

  /** {@link addresses6} without those that IPv6 brings when it starts: to look at these starts nothing. */
  get addresses6SoFar(): readonly DeviceAddress[] {
    return this.#addresses6;
  }

  set addresses6(addresses: readonly DeviceAddress[]) {
    this.#addresses6 = addresses;
  }

  /** Addresses of both families, as they are listed. */
  get addresses(): readonly DeviceAddress[] {
    return [...this.addresses4, ...this.addresses6];
  }

  /** Sends a frame that has its link-layer header (`ndo_start_xmit`). */
  protected abstract transmit(skb: Skb): void;

  /** Whether frames have an Ethernet header; tunnels of IP packets have none. */
  get isEthernet(): boolean {
    return true;
  }

  /** Whether its own headers want more room before a packet than one that came in has (`needed_headroom`): tunnels. */
  get needsHeadroom(): boolean {
    return false;
  }

  /** Whether neighbours need no resolution: loopback, point-to-point, IP tunnels (`IFF_NOARP`). */
  get noArp(): boolean {
    return this.#arpOff;
  }

  /** `ip link set DEV arp on|off`: neighbours that are known by then go. */
  setArp(on: boolean): void {
    if (this.#arpOff === !on) return;
    this.#arpOff = !on;
    this.neighbours?.flush(false);
    this.network.touch();
  }

  /** The link-local address that the kernel gives it; tunnels of IP packets mostly get none (`addrconf_dev_config`). */
  ipv6LinkLocal(): Ipv6Address | undefined {
    return this.isEthernet ? linkLocalFromMac(this.mac) : undefined;
  }

  /** The other end of a pair of devices (`ndo_get_peer_dev`). */
  get peerDevice(): NetDevice | undefined {
    return undefined;
  }

  get isLoopback(): boolean {
    return false;
  }

  /**
   * Whether what IPv6 does when the device comes up (a link-local address, routes) can wait until
   * somebody looks: half of what a pod's namespace would hold is never asked for where IPv4 is used.
   */
  get startsIpv6Later(): boolean {
    return false;
  }

  /** Flags as `ip link` prints them, without those of the carrier. */
  get flags(): string[] {
    const flags = this.ownFlags();
    if (this.#arpOff && !flags.includes("NOARP")) flags.push("NOARP");
    if (this.allMulticast) flags.push("ALLMULTI");
    if (this.promiscuity > 0 && this.requestedPromiscuous) flags.push("PROMISC");
    if (this.#up) flags.push("UP");
    return flags;
  }

  /** `ip link set DEV promisc on` was said, as opposed to a bridge asking for it. */
  requestedPromiscuous = false;
  /** `ip link set DEV allmulticast on` was said. Groups are not filtered, so it shows and does no more. */
  allMulticast = false;
  /** Packets that may wait in the transmit queue; nothing waits here, so it shows and does no more. */
  txQueueLength = 1000;

  /** `ip link set DEV promisc on|off`. */
  setPromiscuous(on: boolean): void {
    if (this.requestedPromiscuous === on) return;
    this.requestedPromiscuous = on;
    this.promiscuity += on ? 1 : -1;
    this.network.touch();
  }

  protected ownFlags(): string[] {
    return ["BROADCAST", "MULTICAST"];
  }

  get network(): Network {
    return this.netns.network;
  }

  get name(): string {
    return this.#name;
  }

  get up(): boolean {
    return this.#up;
  }

  get mtu(): number {
    return this.#mtu;
  }

  /** Bytes of the largest frame that it takes in: MTU, Ethernet header, VLAN tag (`is_skb_forwardable`). */
  get maxFrameLength(): number {
    return this.#mtu + ETHERNET_HEADER_LENGTH + 4;
  }

  /** Whether the MTU leaves room for IPv6. */
  get fitsIpv6(): boolean {
    return this.#mtu >= IPV6_MIN_MTU;
  }

  /** Whether it has IPv6 settings, which `lo` keeps without IPv6, too. */
  get hasIpv6(): boolean {
    return this.fitsIpv6 || this.isLoopback;
  }

  rename(name: string): void {
    this.netns.renamed(this, checkName(name), () => {
      this.#name = name;
    });
  }

  setMtu(mtu: number): void {
    if (!Number.isInteger(mtu) || mtu < 68)
      throw new KernelError("EINVAL", `MTU ${mtu} of ${this.name}`);
    if (this.startsIpv6Later) this.netns.startIpv6();
    const fitted = this.fitsIpv6;
    this.#mtu = mtu;
    if (fitted !== this.fitsIpv6) {
      // Its settings go with it, and come anew (addrconf_notify, ipv6_add_dev).
      if (!this.isLoopback) {
        this.conf6 = this.netns.sysctl.conf6Default;
        this.neigh6 = NEIGHBOUR_PARAMETERS6;
      }
      this.ipv6Toggled();
    }
    this.master?.portMtuChanged();
    this.network.touch();
  }

  setMac(mac: Mac): void {
    if (isGroupMac(mac)) throw new KernelError("EADDRNOTAVAIL", `group MAC for ${this.name}`);
    if (this.startsIpv6Later) this.netns.startIpv6();
    const old = this.mac;
    this.mac = mac;
    this.macChanged(old);
    this.network.touch();
  }

  /** Called after the MAC has changed. */
  protected macChanged(old: Mac): void {
    this.bridgePort?.bridge.portMacChanged(this.bridgePort, old);
    if (this.#up) this.netns.announce(this);
  }

  setUp(): void {
    if (this.#up) return;
    this.#up = true;
    this.netns.deviceUp(this);
    this.stateChanged();
    this.master?.portStateChanged();
    this.network.touch();
  }

  setDown(): void {
    if (!this.#up) return;
    this.#up = false;
    this.netns.deviceDown(this);
    this.stateChanged();
    this.master?.portStateChanged();
    this.network.touch();
  }

  /** Called when the device went up or down. */
  protected stateChanged(): void {}

  setMaster(bridge: Bridge): void {
    if (this.master === bridge) return;
    if (this.master !== undefined) this.clearMaster();
    bridge.addPort(this);
    this.network.touch();
  }

  clearMaster(): void {
    this.master?.removePort(this);
    this.network.touch();
  }

  addAddress(address: IpAddress, prefixLength: number, options?: AddressOptions): void {
    this.netns.addAddress(this, address, prefixLength, options);
  }

  removeAddress(address: IpAddress, prefixLength?: number): void {
    this.netns.removeAddress(this, address, prefixLength);
  }

  /** The addresses of one family, in order. */
  addressesOf(family: IpFamily): readonly DeviceAddress[] {
    return family === 4 ? this.addresses4 : this.addresses6;
  }

  hasAddress(address: IpAddress): boolean {
    const own = typeof address === "number" ? this.addresses4 : this.addresses6;
    for (const a of own) if (a.address === address) return true;
    return false;
  }

  /** Whether the device takes part in IPv6 may have changed. */
  ipv6Toggled(): void {
    this.netns.ipv6Toggled(this);
  }

  /** Something else is known of a neighbour on the device, or nothing any more. */
  neighbourNoted(_neighbour: Neighbour, _isGone: boolean): void {}

  /** Whether it must stay in its namespace (`NETIF_F_NETNS_LOCAL`). */
  get isNetnsLocal(): boolean {
    return false;
  }

  /**
   * Moves the device to another namespace: down, and without addresses (`dev_change_net_namespace`).
   * @throws KernelError EEXIST, EINVAL
   */
  moveTo(netns: NetNamespace, name: string = this.name): void {
    if (this.isNetnsLocal) throw new KernelError("EINVAL", `${this.name} stays in ${this.netns}`);
    if (netns !== this.netns && netns.findDevice(checkName(name)) !== undefined) {
      throw new KernelError("EEXIST", `device ${name} in ${netns}`);
    }
    this.setDown();
    if (this.master !== undefined) this.clearMaster();
    this.netns.unregister(this);
    this.#name = name;
    this.netns = netns;
    this.conf4 = netns.sysctl.conf4Default;
    this.conf6 = netns.sysctl.conf6Default;
    (this as { ifindex: number }).ifindex = netns.register(this);
    this.network.touch();
  }

  /** Deletes the device, with addresses and routes. */
  remove(): void {
    this.receiveHandler?.deviceRemoved?.();
    this.setDown();
    if (this.master !== undefined) this.clearMaster();
    this.netns.unregister(this);
    this.network.touch();
  }

  /** Sends a frame: traffic control, counters, then the device itself (`dev_queue_xmit`). */
  queueTransmit(skb: Skb): void {
    skb.dev = this;
    if (!this.#up) {
      this.drop(skb, "DEV_READY", `${this.name} is down`);
      return;
    }
    if (this.tc !== undefined && !this.tc.egress(skb)) return;
    this.startXmit(skb);
  }

  /** Sends a frame past traffic control (`netdev_start_xmit`). */
  startXmit(skb: Skb): void {
    const bytes = skb.packet.length + (this.isEthernet ? ETHERNET_HEADER_LENGTH : 0);
    this.txPackets++;
    this.txBytes += bytes;
    const { network } = this;
    network.recording?.count(this, false, bytes);
    if (skb.trace !== undefined) this.traceFrame("transmit", skb);
    network.tracepoints?.netDevStartXmit(this, skb);
    this.transmit(skb);
  }

  /**
   * Sends a copy of a flooded frame that nobody at the other end would do anything with: it is counted,
   * and that is all. False where it has to be sent.
   */
  sendIgnored(_skb: Skb): boolean {
    return false;
  }

  /** Whom a frame is for, by its destination MAC (`eth_type_trans`). */
  classify(skb: Skb): void {
    const dst = skb.dstMac;
    if (dst === this.mac) skb.packetType = PACKET_HOST;
    else if (dst === BROADCAST_MAC) skb.packetType = PACKET_BROADCAST;
    else if (isGroupMac(dst)) skb.packetType = PACKET_MULTICAST;
    else skb.packetType = PACKET_OTHERHOST;
  }

  drop(skb: Skb, reason: DropReason, detail = ""): void {
    this.network.drop(skb, this.netns, reason, this, detail);
  }

  /** Records a frame as it is now. */
  traceFrame(kind: "receive" | "transmit", skb: Skb): void {
    const frame = skb.frame();
    skb.trace?.steps.push({
      kind,
      netns: this.netns,
      packet: skb.number,
      dev: this,
      frame: frame.clone(),
      time: this.network.clock.now,
    });
  }
}

/** Replaced when there is one, as any list of addresses is at a change. */
const NO_ADDRESSES: readonly DeviceAddress[] = [];

function checkName(name: string): string {
  // dev_valid_name, net/core/dev.c
  if (name === "" || name.length > 15 || name === "." || name === ".." || /[/:\s]/.test(name)) {
    throw new KernelError("EINVAL", `device name "${name}"`);
  }
  return name;
}
