import {
  ETH_P_IP,
  EthernetFrame,
  familyOf,
  formatIp,
  formatMac,
  type IpAddress,
  type IpFamily,
  isLinkLocal,
  isMulticast,
  type Mac,
  parseIp,
  VxlanPacket,
} from "@cnilab/net";
import { SkbBpf } from "../bpf/skb-bpf.ts";
import { Dst } from "../fib/dst.ts";
import { KernelError } from "../kernel-error.ts";
import type { NetNamespace } from "../net-namespace.ts";
import { PACKET_HOST, type Skb } from "../skb.ts";
import { type ReceivedDatagram, UdpSocket } from "../socket/udp.ts";
import { type DeviceOptions, NetDevice } from "./net-device.ts";
import { receivedFrom, udpFlowSourcePort, udpTunnelTransmit } from "./udp-tunnel.ts";

/** Bytes that VXLAN adds: outer IP header, UDP, VXLAN, inner Ethernet header. */
export const VXLAN_OVERHEAD = { 4: 50, 6: 70 } as const;

/** Where senders on this machine are learned to be. */
const LOOPBACK = { 4: parseIp("127.0.0.1"), 6: parseIp("::1") } as const;

export interface VxlanOptions extends DeviceOptions {
  readonly vni: number;
  /** The device that packets leave by, and whose MTU counts. */
  readonly link?: NetDevice;
  readonly local?: IpAddress;
  /** Where frames go whose MAC is unknown: an address or a multicast group. */
  readonly remote?: IpAddress;
  /** UDP port; the kernel's default is 8472. */
  readonly port?: number;
  readonly learning?: boolean;
  readonly ttl?: number;
  /** Seconds. */
  readonly ageing?: number;
  readonly groupPolicy?: boolean;
  readonly udpChecksum?: boolean;
  /**
   * Where each frame goes is said by what comes with it, and each frame comes with where it is from (`external`,
   * VXLAN_F_COLLECT_METADATA): one device for all VNIs. {@link vni} is 0.
   */
  readonly external?: boolean;
}

/** Where a MAC is (`bridge fdb show dev vxlan…`). */
export interface VxlanFdbEntry {
  readonly mac: Mac;
  remotes: readonly IpAddress[];
  readonly permanent: boolean;
  /**
   * The device by which the first remote is looked for (`rdst->remote_ifindex`): the tunnel's own one for
   * the remote that the device was made with, and the one that it was learned from for a link-local remote.
   */
  oif: NetDevice | undefined;
  /** Virtual milliseconds when it was last used, either way: it ages from then on. */
  updated: number;
}

/** Tunnel endpoints that many machines have in common. Immutable. */
export type VxlanFdbLayer = ReadonlyMap<Mac, IpAddress>;

/** The entry for MACs that have none of their own. */
export const ALL_ZEROS_MAC: Mac = 0;

/** An Ethernet link over UDP (RFC 7348; kernel drivers/net/vxlan). */
export class Vxlan extends NetDevice {
  readonly kind = "vxlan";
  readonly vni: number;
  readonly link: NetDevice | undefined;
  readonly local: IpAddress | undefined;
  readonly remote: IpAddress | undefined;
  readonly port: number;
  readonly learning: boolean;
  readonly ttl: number;
  readonly ageing: number;
  readonly groupPolicy: boolean;
  readonly udpChecksum: boolean;
  readonly external: boolean;
  /** The namespace in which it was made: its UDP packets live there wherever it moves. */
  readonly underlay: NetNamespace;
  readonly #fdb = new Map<Mac, VxlanFdbEntry>();
  #layer: VxlanFdbLayer | undefined;
  #withoutFromLayer: ReadonlySet<Mac> = new Set();
  readonly #stopWatching: () => void;

  /** @throws KernelError EEXIST for a VNI and port that are taken, ERANGE for a VNI over 24 bits */
  constructor(netns: NetNamespace, options: VxlanOptions) {
    if (!Number.isInteger(options.vni) || options.vni < 0 || options.vni > 0xffffff) {
      throw new KernelError("ERANGE", `VNI ${options.vni}`);
    }
    const port = options.port ?? 8472;
    const end = options.remote ?? options.local;
    const family = end === undefined ? 4 : familyOf(end);
    if (endpoints(netns, port).has(endpointKey(options.vni, family))) {
      throw new KernelError("EEXIST", `a vxlan device with VNI ${options.vni} and port ${port}`);
    }
    const overhead = VXLAN_OVERHEAD[family];
    const most = options.link === undefined ? 65535 : options.link.mtu - overhead;
    // The kernel takes what fits the lower device (vxlan_config_apply).
    super(
      netns,
      options.mtu === undefined ? options : { ...options, mtu: Math.min(options.mtu, most) },
      options.link === undefined ? 1500 : most,
    );
    if (options.mac === undefined) this.mac = netns.kernel.randomMac();
    this.vni = options.vni;
    this.link = options.link;
    this.local = options.local;
    this.remote = options.remote;
    this.port = port;
    this.external = options.external ?? false;
    this.learning = options.learning ?? !this.external;
    this.ttl = options.ttl ?? 0;
    this.ageing = options.ageing ?? 300;
    this.groupPolicy = options.groupPolicy ?? false;
    this.udpChecksum = options.udpChecksum ?? true;
    this.underlay = netns;
    this.#stopWatching = netns.onLinkDeleted((dev) => {
      if (dev === this.link) this.remove(); // vxlan_handle_lowerdev_unregister
    });
    if (options.remote !== undefined) this.#replace(ALL_ZEROS_MAC, options.remote, this.link);
  }

  override get needsHeadroom(): boolean {
    return true;
  }

  /** @throws KernelError EINVAL where its link has not the room (`vxlan_change_mtu`) */
  override setMtu(mtu: number): void {
    const end = this.remote ?? this.local;
    const overhead = VXLAN_OVERHEAD[end === undefined ? 4 : familyOf(end)];
    if (this.link !== undefined && mtu > this.link.mtu - overhead) {
      throw new KernelError(
        "EINVAL",
        `MTU ${mtu} of ${this.name}, whose link ${this.link.name} leaves it ${this.link.mtu - overhead}`,
      );
    }
    super.setMtu(mtu);
  }

  /** Gives it what it has on a machine whose link had the room when it was set. */
  restoreMtu(mtu: number): void {
    super.setMtu(mtu);
  }

  override remove(): void {
    this.#stopWatching();
    super.remove();
  }

  protected override stateChanged(): void {
    const here = endpoints(this.underlay, this.port);
    const end = this.remote ?? this.local;
    const key = endpointKey(this.vni, end === undefined ? 4 : familyOf(end));
    // It listens for both families (vxlan_sock_add), and no device that does not can have the socket with it.
    const other = this.external ? key ^ 1 : undefined;
    if (this.up) {
      if (here.has(key)) throw new KernelError("EEXIST", `VNI ${this.vni} on port ${this.port}`);
      for (const there of here.values()) {
        if (there.external !== this.external) {
          throw new KernelError("EADDRINUSE", `port ${this.port} is taken by ${there.name}`);
        }
      }
      if (here.size === 0) openSocket(this.underlay, this.port, here);
      here.set(key, this);
      if (other !== undefined) here.set(other, this);
    } else if (here.get(key) === this) {
      here.delete(key);
      if (other !== undefined) here.delete(other);
      if (here.size === 0) closeSocket(this.underlay, this.port);
      for (const [mac, entry] of this.#fdb) if (!entry.permanent) this.#fdb.delete(mac);
    }
    if (this.remote !== undefined && isMulticast(this.remote) && this.link !== undefined) {
      this.link.groups ??= new Set();
      if (this.up) this.link.groups.add(this.remote);
      else this.link.groups.delete(this.remote);
    }
  }

  /** `bridge fdb replace MAC dev DEV dst REMOTE`. */
  replaceFdb(mac: Mac, remote: IpAddress): void {
    this.#replace(mac, remote, undefined);
  }

  #replace(mac: Mac, remote: IpAddress, oif: NetDevice | undefined): void {
    const updated = this.network.clock.now;
    this.#fdb.set(mac, { mac, remotes: [remote], permanent: true, oif, updated });
    this.network.touch();
  }

  /** `bridge fdb append`: one more remote for the same MAC, as flooding to several peers needs it. */
  addFdb(mac: Mac, remote: IpAddress): void {
    const entry = this.#fdb.get(mac);
    if (entry === undefined) {
      this.replaceFdb(mac, remote);
      return;
    }
    if (entry.remotes.includes(remote)) {
      throw new KernelError("EEXIST", `fdb entry ${formatMac(mac)} dst ${formatIp(remote)}`);
    }
    entry.remotes = [...entry.remotes, remote];
    this.network.touch();
  }

  /** `bridge fdb del`. @throws KernelError ENOENT */
  deleteFdb(mac: Mac, remote?: IpAddress): void {
    const entry = this.#fdb.get(mac);
    if (entry === undefined) {
      if (this.#layer?.has(mac) && !this.#withoutFromLayer.has(mac)) {
        this.#withoutFromLayer = new Set([...this.#withoutFromLayer, mac]);
        this.network.touch();
        return;
      }
      throw new KernelError("ENOENT", `fdb entry ${formatMac(mac)}`);
    }
    const left = remote === undefined ? [] : entry.remotes.filter((r) => r !== remote);
    if (left[0] !== entry.remotes[0]) entry.oif = undefined;
    if (left.length > 0) entry.remotes = left;
    else this.#fdb.delete(mac);
    this.network.touch();
  }

  setFdbLayer(layer: VxlanFdbLayer | undefined, without: readonly Mac[] = []): void {
    this.#layer = layer;
    this.#withoutFromLayer = new Set(without);
    this.network.touch();
  }

  get fdbLayer(): VxlanFdbLayer | undefined {
    return this.#layer;
  }

  /** Entries of the layer that this device lacks. */
  get withoutFromFdbLayer(): ReadonlySet<Mac> {
    return this.#withoutFromLayer;
  }

  /** Entries of this device alone. */
  get ownFdbEntries(): ReadonlyMap<Mac, VxlanFdbEntry> {
    return this.#fdb;
  }

  /** Where frames for a MAC go; `undefined` where nothing is known. */
  remotesOf(mac: Mac): readonly IpAddress[] | undefined {
    const entry = this.#fdb.get(mac);
    if (entry !== undefined) {
      if (entry.permanent || entry.updated + this.ageing * 1000 > this.network.clock.now) {
        return entry.remotes;
      }
      this.#fdb.delete(mac);
      this.network.touch();
    }
    const shared = this.#layer?.get(mac);
    return shared === undefined || this.#withoutFromLayer.has(mac) ? undefined : [shared];
  }

  /** As {@link remotesOf}, and keeps a learned entry from ageing (`vxlan_find_mac`). */
  #use(mac: Mac): readonly IpAddress[] | undefined {
    const remotes = this.remotesOf(mac);
    const entry = this.#fdb.get(mac);
    if (entry !== undefined && !entry.permanent) entry.updated = this.network.clock.now;
    return remotes;
  }

  /** All entries, own ones first. */
  *fdbEntries(): Iterable<VxlanFdbEntry> {
    for (const entry of this.#fdb.values()) {
      if (this.remotesOf(entry.mac) !== undefined) yield entry;
    }
    for (const [mac, remote] of this.#layer ?? []) {
      if (this.#fdb.has(mac) || this.#withoutFromLayer.has(mac)) continue;
      yield { mac, remotes: [remote], permanent: true, oif: undefined, updated: 0 };
    }
  }

  protected transmit(skb: Skb): void {
    if (this.external) {
      this.#transmitAsSaid(skb);
      return;
    }
    // Learned entries age, and flooding makes copies.
    if (this.learning || this.remote !== undefined) this.network.recording?.unrepeatable();
    const known = this.#use(skb.dstMac);
    const remotes = known ?? this.remotesOf(ALL_ZEROS_MAC);
    if (remotes === undefined) {
      this.txDropped++;
      this.drop(skb, "VXLAN_NO_REMOTE", `no fdb entry for ${formatMac(skb.dstMac)}`);
      return;
    }
    const oif = this.#fdb.get(known === undefined ? ALL_ZEROS_MAC : skb.dstMac)?.oif;
    remotes.forEach((remote, i) => {
      const copy = i === remotes.length - 1 ? skb : skb.clone();
      this.#encapsulate(copy, remote, i === 0 ? oif : undefined);
    });
  }

  /** Where to is said by what a program has left with the packet (`vxlan_xmit` with `skb_tunnel_info`). */
  #transmitAsSaid(skb: Skb): void {
    const key = skb.bpf?.tunnelTx;
    if (key === undefined) {
      this.txDropped++;
      this.drop(skb, "TUNNEL_TXINFO", `nobody has said where ${this.name} is to send it`);
      return;
    }
    const inner = new EthernetFrame(skb.dstMac, skb.srcMac, skb.etherType, skb.packet);
    const srcPort = udpFlowSourcePort(skb, 32768, 60999);
    udpTunnelTransmit(
      this,
      skb,
      key.remote,
      this.link,
      srcPort,
      new VxlanPacket(key.tunnelId, inner),
      key.zeroChecksum === true,
      `VXLAN VNI ${key.tunnelId}`,
      key,
    );
  }

  /** Puts a frame into UDP and sends that (`vxlan_xmit_one`). */
  #encapsulate(skb: Skb, remote: IpAddress, oif: NetDevice | undefined): void {
    const inner = new EthernetFrame(skb.dstMac, skb.srcMac, skb.etherType, skb.packet);
    const vxlan = new VxlanPacket(this.vni, inner);
    if (this.groupPolicy) vxlan.groupPolicyId = skb.mark & 0xffff;
    const srcPort = udpFlowSourcePort(skb, 32768, 60999); // ip_local_port_range
    const text = `VXLAN VNI ${this.vni}`;
    const noChecksum = !this.udpChecksum;
    udpTunnelTransmit(this, skb, remote, oif, srcPort, vxlan, noChecksum, text);
  }

  /**
   * A frame to an address of this machine goes to the device with the same VNI and family there, this one for the most
   * part, without UDP (`encap_bypass_if_local`, `vxlan_encap_bypass`): it keeps its mark, connection and route.
   */
  bypass(skb: Skb, remote: IpAddress, oif: NetDevice | undefined): void {
    const key = endpointKey(this.vni, familyOf(remote));
    // The socket is bound to no device: who asks for one finds none.
    const found = oif === undefined ? endpoints(this.underlay, this.port).get(key) : undefined;
    if (found === undefined || found.groupPolicy !== this.groupPolicy) {
      this.drop(skb, "VXLAN_VNI_NOT_FOUND", `${formatIp(remote)} is this machine's own`);
      return;
    }
    skb.packetType = PACKET_HOST;
    if (found.learning) {
      this.network.recording?.unrepeatable();
      found.#learn(skb.srcMac, LOOPBACK[familyOf(remote)], found);
    }
    // What IPv4 knows of the way of a packet of the machine's own leads out only (rt_dst_alloc: input is dst_discard).
    if (skb.etherType === ETH_P_IP && skb.iif === undefined && skb.dst !== undefined) {
      skb.dst = new Dst("blackhole", skb.dst.dev, undefined, undefined);
    }
    this.network.enqueue(found, skb);
  }

  /** A VXLAN datagram with this device's VNI arrived (`vxlan_rcv`). */
  decapsulate(datagram: ReceivedDatagram, vxlan: VxlanPacket): void {
    const { skb } = datagram;
    const { frame } = vxlan;
    if (this.learning) this.network.recording?.unrepeatable();
    if (frame.src === this.mac) return; // our own frame, looped back
    if (this.learning && !this.#learn(frame.src, datagram.src, datagram.dev)) {
      this.drop(
        skb,
        "VXLAN_ENTRY_EXISTS",
        `${formatMac(frame.src)} moved, but its entry is static`,
      );
      return;
    }
    skb.trace?.steps.push({
      kind: "decapsulate",
      netns: this.netns,
      packet: skb.number,
      dev: this,
      outer: skb.ip.withPayload(skb.ip.payload),
      protocol: `VXLAN VNI ${this.external ? vxlan.vni : this.vni}`,
    });
    const outer = skb.ip;
    skb.scrub(this.netns !== this.underlay);
    if (this.external) {
      skb.bpf ??= new SkbBpf();
      skb.bpf.tunnelRx = receivedFrom(outer, vxlan.vni);
    }
    // What the outer datagram's checksum was found to be is said of the buffer (`udp4_csum_init`).
    skb.checksumValid = true;
    skb.packet = frame.payload;
    skb.forgetFragments();
    skb.etherType = frame.etherType;
    skb.dstMac = frame.dst;
    skb.srcMac = frame.src;
    if (this.groupPolicy && vxlan.groupPolicyId !== 0) skb.mark = vxlan.groupPolicyId;
    this.classify(skb);
    this.network.enqueue(this, skb);
  }

  /** `vxlan_snoop`. False: the frame is not to be taken. */
  #learn(mac: Mac, from: IpAddress, dev: NetDevice): boolean {
    const known = this.#use(mac);
    const oif = isLinkLocal(from) ? dev : undefined;
    if (known === undefined) {
      const updated = this.network.clock.now;
      this.#fdb.set(mac, { mac, remotes: [from], permanent: false, oif, updated });
      this.network.touch();
      return true;
    }
    const entry = this.#fdb.get(mac);
    if (known[0] === from && entry?.oif === oif) return true;
    if (entry === undefined || entry.permanent) return false;
    entry.remotes = [from];
    this.network.touch();
    return true;
  }
}

/** A VNI may be in use once in IPv4 and once in IPv6 (`vxlan_vni_in_use` compares VXLAN_F_IPV6). */
function endpointKey(vni: number, family: IpFamily): number {
  return 2 * vni + (family === 6 ? 1 : 0);
}

/** Devices of a namespace by UDP port and {@link endpointKey}. */
const ports = new WeakMap<NetNamespace, Map<number, Map<number, Vxlan>>>();
const openSockets = new WeakMap<Map<number, Vxlan>, UdpSocket>();

function endpoints(netns: NetNamespace, port: number): Map<number, Vxlan> {
  let byPort = ports.get(netns);
  if (byPort === undefined) {
    byPort = new Map();
    ports.set(netns, byPort);
  }
  let byVni = byPort.get(port);
  if (byVni === undefined) {
    byVni = new Map();
    byPort.set(port, byVni);
  }
  return byVni;
}

function openSocket(netns: NetNamespace, port: number, devices: Map<number, Vxlan>): void {
  const socket = new UdpSocket(netns, {
    localPort: port,
    owner: "kernel vxlan",
    tunnel: true,
    onReceive: (datagram) => {
      const vxlan = datagram.payload;
      if (!(vxlan instanceof VxlanPacket)) {
        datagram.dev.drop(datagram.skb, "VXLAN_INVALID_HDR", "not a VXLAN packet");
        return;
      }
      const family = familyOf(datagram.src);
      let dev = devices.get(endpointKey(vxlan.vni, family));
      if (dev === undefined) {
        // A device for all VNIs is there under 0 (vxlan_vs_find_vni).
        const forAll = devices.get(endpointKey(0, family));
        if (forAll?.external) dev = forAll;
      }
      if (dev === undefined) {
        datagram.dev.drop(datagram.skb, "VXLAN_VNI_NOT_FOUND", `no device has VNI ${vxlan.vni}`);
        return;
      }
      dev.decapsulate(datagram, vxlan);
    },
  });
  openSockets.set(devices, socket);
}

function closeSocket(netns: NetNamespace, port: number): void {
  const devices = endpoints(netns, port);
  openSockets.get(devices)?.close();
  openSockets.delete(devices);
}
