import {
  EthernetFrame,
  familyOf,
  formatIp,
  formatMac,
  GENEVE_PORT,
  GenevePacket,
  type IpAddress,
  isMulticast,
} from "@cnilab/net";
import { SkbBpf } from "../bpf/skb-bpf.ts";
import { routeOutput } from "../ip/route-output.ts";
import { KernelError } from "../kernel-error.ts";
import type { NetNamespace } from "../net-namespace.ts";
import type { Skb } from "../skb.ts";
import { type ReceivedDatagram, UdpSocket } from "../socket/udp.ts";
import { type DeviceOptions, NetDevice } from "./net-device.ts";
import {
  receivedFrom,
  type UdpTunnel,
  udpFlowSourcePort,
  udpTunnelTransmit,
} from "./udp-tunnel.ts";

/** Bytes that Geneve adds to a packet: outer IP header, UDP, Geneve, inner Ethernet header (`GENEVE_IPV4_HLEN`). */
export const GENEVE_OVERHEAD = { 4: 50, 6: 70 } as const;

export interface GeneveOptions extends DeviceOptions {
  readonly vni: number;
  /** 0.0.0.0 for a device that is {@link external}. */
  readonly remote: IpAddress;
  /**
   * Where each frame goes is said by what comes with it, and each frame comes with where it is from (`external`): one
   * device for all VNIs and machines. {@link vni} is 0.
   */
  readonly external?: boolean;
  /** UDP port at both ends; default 6081. */
  readonly port?: number;
  readonly ttl?: number;
  /** Default: only over IPv6. */
  readonly udpChecksum?: boolean;
}

/**
 * An Ethernet link over UDP to one other machine (RFC 8926; kernel drivers/net/geneve.c). Where frames
 * go is said when it is made, or by programs for each of them: nothing is learnt.
 */
export class Geneve extends NetDevice implements UdpTunnel {
  readonly kind = "geneve";
  readonly vni: number;
  readonly remote: IpAddress;
  readonly port: number;
  readonly ttl: number;
  readonly udpChecksum: boolean;
  readonly external: boolean;
  readonly underlay: NetNamespace;
  /** The kernel lets nobody choose it. */
  readonly local = undefined;

  /** @throws KernelError ERANGE for a VNI over 24 bits, EINVAL for a group, EBUSY for a tunnel that exists */
  constructor(netns: NetNamespace, options: GeneveOptions) {
    const { vni, remote, port = GENEVE_PORT } = options;
    if (!Number.isInteger(vni) || vni < 0 || vni > 0xffffff) {
      throw new KernelError("ERANGE", `VNI ${vni}`);
    }
    if (isMulticast(remote)) throw new KernelError("EINVAL", `remote ${formatIp(remote)}`);
    const tunnels = tunnelsOf(netns);
    const external = options.external ?? false;
    for (const there of tunnels.devices) {
      // One that takes all of a port leaves none to others (geneve_configure).
      if (there.port === port && (there.external || external)) {
        throw new KernelError("EBUSY", `${there.name} has port ${port}`);
      }
    }
    if (find(tunnels, vni, remote, port) !== undefined) {
      throw new KernelError("EBUSY", `a geneve device with VNI ${vni} to ${formatIp(remote)}`);
    }
    super(netns, options, external ? 1500 : defaultMtu(netns, remote));
    if (options.mac === undefined) this.mac = netns.kernel.randomMac();
    this.vni = vni;
    this.remote = remote;
    this.port = port;
    this.ttl = options.ttl ?? 0;
    this.udpChecksum = options.udpChecksum ?? familyOf(remote) === 6;
    this.external = external;
    this.underlay = netns;
    tunnels.devices.add(this);
  }

  override get needsHeadroom(): boolean {
    return true;
  }

  override remove(): void {
    super.remove();
    tunnelsOf(this.underlay).devices.delete(this);
  }

  /** `geneve_open`, `geneve_stop`: the devices of one port share a socket. */
  protected override stateChanged(): void {
    const { devices, sockets } = tunnelsOf(this.underlay);
    const isUsed = [...devices].some((dev) => dev.up && dev.port === this.port);
    const socket = sockets.get(this.port);
    if (isUsed && socket === undefined) {
      sockets.set(this.port, openSocket(this.underlay, this.port));
    } else if (!isUsed && socket !== undefined) {
      socket.close();
      sockets.delete(this.port);
    }
  }

  /** `geneve_xmit_skb`. */
  protected transmit(skb: Skb): void {
    const inner = new EthernetFrame(skb.dstMac, skb.srcMac, skb.etherType, skb.packet);
    if (this.external) {
      this.#transmitAsSaid(skb, inner);
      return;
    }
    const carried = new GenevePacket(this.vni, inner);
    const srcPort = udpFlowSourcePort(skb, 1, 65535);
    const text = `Geneve VNI ${this.vni}`;
    const noChecksum = !this.udpChecksum;
    udpTunnelTransmit(this, skb, this.remote, undefined, srcPort, carried, noChecksum, text);
  }

  /** Where to is said by what a program has left with the packet (`geneve_xmit` with `skb_tunnel_info`). */
  #transmitAsSaid(skb: Skb, inner: EthernetFrame): void {
    const key = skb.bpf?.tunnelTx;
    if (key === undefined) {
      this.txDropped++;
      this.drop(skb, "TUNNEL_TXINFO", `nobody has said where ${this.name} is to send it`);
      return;
    }
    udpTunnelTransmit(
      this,
      skb,
      key.remote,
      undefined,
      udpFlowSourcePort(skb, 1, 65535),
      new GenevePacket(key.tunnelId, inner, key.options),
      key.zeroChecksum === true,
      `Geneve VNI ${key.tunnelId}`,
      key,
    );
  }

  /** A datagram for this device arrived (`geneve_rx`). */
  decapsulate({ skb }: ReceivedDatagram, { frame, vni, options }: GenevePacket): void {
    if (frame.src === this.mac) {
      this.drop(skb, "LOCAL_MAC", `${formatMac(frame.src)} is its own: a frame that came back`);
      return;
    }
    skb.trace?.steps.push({
      kind: "decapsulate",
      netns: this.netns,
      packet: skb.number,
      dev: this,
      outer: skb.ip.withPayload(skb.ip.payload),
      protocol: `Geneve VNI ${this.external ? vni : this.vni}`,
    });
    const outer = skb.ip;
    skb.scrub(this.netns !== this.underlay);
    if (this.external) {
      skb.bpf ??= new SkbBpf();
      skb.bpf.tunnelRx = receivedFrom(outer, vni, options);
    }
    // What the outer datagram's checksum was found to be is said of the buffer (`udp4_csum_init`).
    skb.checksumValid = true;
    skb.packet = frame.payload;
    skb.forgetFragments();
    skb.etherType = frame.etherType;
    skb.dstMac = frame.dst;
    skb.srcMac = frame.src;
    this.classify(skb);
    this.network.enqueue(this, skb);
  }
}

/** The MTU of the way to the other end, less what Geneve adds (`geneve_link_config`). */
function defaultMtu(netns: NetNamespace, remote: IpAddress): number {
  const route = routeOutput(netns, { dst: remote });
  if (typeof route === "string") return 1500;
  return Math.max(68, Math.min(route.dst.dev.mtu, 65535) - GENEVE_OVERHEAD[familyOf(remote)]);
}

/** `struct geneve_net`. */
interface GeneveNet {
  readonly devices: Set<Geneve>;
  /** By port. */
  readonly sockets: Map<number, UdpSocket>;
}

const geneveNets = new WeakMap<NetNamespace, GeneveNet>();

function tunnelsOf(netns: NetNamespace): GeneveNet {
  let found = geneveNets.get(netns);
  if (found === undefined) {
    found = { devices: new Set(), sockets: new Map() };
    geneveNets.set(netns, found);
  }
  return found;
}

function find(
  { devices }: GeneveNet,
  vni: number,
  remote: IpAddress,
  port: number,
): Geneve | undefined {
  for (const dev of devices) {
    if (dev.external) {
      if (dev.port === port) return dev;
      continue;
    }
    if (dev.vni === vni && dev.remote === remote && dev.port === port) return dev;
  }
  return undefined;
}

/** `geneve_udp_encap_recv`: a frame is for the device with its VNI and its sender at the other end. */
function openSocket(netns: NetNamespace, port: number): UdpSocket {
  return new UdpSocket(netns, {
    localPort: port,
    owner: "kernel geneve",
    tunnel: true,
    onReceive: (datagram) => {
      const { payload, src, skb } = datagram;
      if (!(payload instanceof GenevePacket)) {
        datagram.dev.drop(skb, "UNHANDLED_PROTO", "not a Geneve packet");
        return;
      }
      const dev = find(tunnelsOf(netns), payload.vni, src, port);
      if (dev === undefined || !dev.up) {
        const detail = `no device has VNI ${payload.vni} and ${formatIp(src)} at its other end`;
        datagram.dev.drop(skb, "GENEVE_NO_DEVICE", detail);
        return;
      }
      dev.decapsulate(datagram, payload);
    },
  });
}
