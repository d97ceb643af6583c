import {
  type NetDevice,
  type NetNamespace,
  type Nic,
  type ReceiveHandler,
  Skb,
} from "@cnilab/linux";
import {
  ARP_REPLY,
  ARP_REQUEST,
  ArpPacket,
  ETH_P_ARP,
  ETH_P_IP,
  EthernetFrame,
  formatIp,
  formatMac,
  IPPROTO_UDP,
  type IpAddress,
  IpPacket,
  isGroupMac,
  isMulticast,
  type Mac,
  NeighbourMessage,
  UdpDatagram,
  VxlanPacket,
} from "@cnilab/net";
import type { VfpFlow } from "../vfp/flow-table.ts";
import { type FlowTuple, hashTuple, reverse, tupleOf } from "../vfp/flow-tuple.ts";
import { quotedPacket } from "../vfp/icmp-error.ts";
import type { LoadBalancerPolicy } from "../vfp/load-balancer-policy.ts";
import type { VfpDirection, VfpMatch } from "../vfp/vfp-group.ts";
import type { VfpPort } from "../vfp/vfp-port.ts";
import { traceRule, type WalkContext, walk } from "../vfp/walk.ts";
import { OutboundNatPool } from "./outbound-nat-pool.ts";
import { type OverlayNetwork, WINDOWS_VXLAN_PORT } from "./overlay-network.ts";
import type { FrameSwitch, VmNic } from "./vm-nic.ts";

/**
 * The external virtual switch over a machine's network card, with VFP at its ports. The card belongs to the
 * switch; the host itself is behind a vNIC like everybody else.
 */
export class VSwitch implements FrameSwitch, ReceiveHandler, WalkContext {
  readonly name: string;
  /** The host's compartment. */
  readonly netns: NetNamespace;
  /** The card. */
  readonly external: Nic;
  /** The vNIC that took over the card's MAC and addresses. */
  management!: VmNic;
  /** Set while an overlay network uses the switch. */
  overlay: OverlayNetwork | undefined = undefined;
  readonly natPool: OutboundNatPool = new OutboundNatPool();
  readonly #nics = new Set<VmNic>();
  readonly #byPort = new Map<VfpPort, VmNic>();
  readonly #byMac = new Map<Mac, VmNic>();
  /** Containers, by the addresses of their endpoints. */
  readonly #byAddress = new Map<IpAddress, VmNic>();

  constructor(name: string, external: Nic) {
    this.name = name;
    this.netns = external.netns;
    this.external = external;
    external.receiveHandler = this;
    this.netns.network.touch();
  }

  get nics(): Iterable<VmNic> {
    return this.#nics;
  }

  /** @param addresses of the endpoint behind it; none for the host's vNICs */
  plug(nic: VmNic, addresses: readonly IpAddress[]): void {
    this.#nics.add(nic);
    this.#byPort.set(nic.port, nic);
    this.#byMac.set(nic.mac, nic);
    for (const address of addresses) this.#byAddress.set(address, nic);
    this.netns.network.touch();
  }

  unplug(nic: VmNic): void {
    this.#nics.delete(nic);
    this.#byPort.delete(nic.port);
    if (this.#byMac.get(nic.mac) === nic) this.#byMac.delete(nic.mac);
    for (const [address, there] of this.#byAddress) {
      if (there === nic) this.#byAddress.delete(address);
    }
    this.netns.network.touch();
  }

  /** The switch is deleted: the card is the machine's again. */
  remove(): void {
    this.external.receiveHandler = undefined;
    this.netns.network.touch();
  }

  forgetFlows(): void {
    for (const nic of this.#nics) nic.port.flows.clear();
    this.natPool.clear();
  }

  // ---- frames out of vNICs

  fromNic(nic: VmNic, skb: Skb): void {
    // Flows, time-outs and load balancing: nobody repeats a walk through here.
    this.netns.network.recording?.unrepeatable();
    if (skb.isArp) this.#arpFrom(nic, skb);
    else if (isNeighbourDiscovery(skb)) this.#bridge(skb, nic);
    else if (nic.isHost) this.#fromHost(nic, skb);
    else this.#fromContainer(nic, skb);
  }

  #fromContainer(nic: VmNic, skb: Skb): void {
    const { src } = skb.ip;
    if (!walk(nic.port, "OUT", skb, this)) return;
    const gotOtherSource = skb.ip.src !== src;
    if (this.overlay !== undefined) {
      this.#place(skb, gotOtherSource ? undefined : nic);
      return;
    }
    // With the node's source it is the node's packet, and leaves by the node's routes.
    if (gotOtherSource) this.#place(skb, undefined);
    else this.#bridge(skb, nic);
  }

  #fromHost(nic: VmNic, skb: Skb): void {
    const { dst } = skb.ip;
    if (!walk(nic.port, "OUT", skb, this)) return;
    if (skb.ip.dst === dst) this.#bridge(skb, nic);
    else this.#place(skb, undefined);
  }

  // ---- frames from the wire

  handle(_dev: NetDevice, skb: Skb): boolean {
    this.netns.network.recording?.unrepeatable();
    if (isGroupMac(skb.dstMac)) this.#flood(skb, undefined);
    else if (skb.dstMac !== this.external.mac) {
      this.external.drop(skb, "OTHERHOST", `${formatMac(skb.dstMac)} is not on this switch`);
    } else if (skb.isIp && !isNeighbourDiscovery(skb)) this.#ipFromWire(skb);
    else this.management.deliver(skb);
    return true;
  }

  #ipFromWire(skb: Skb): void {
    const { payload, dst } = skb.ip;
    if (payload instanceof UdpDatagram && payload.payload instanceof VxlanPacket) {
      if (this.overlay?.providerAddress === dst && payload.dstPort === WINDOWS_VXLAN_PORT) {
        this.#decapsulate(skb, payload.payload, this.overlay);
        return;
      }
    }
    // All containers of an l2bridge are behind the host's MAC: the switch tells them apart by address.
    const nic = this.overlay === undefined ? this.#byAddress.get(dst) : undefined;
    if (nic === undefined) this.#toHost(this.management, skb);
    else this.#toContainer(nic, skb);
  }

  // ---- where they go

  /** By destination MAC, as any switch does. */
  #bridge(skb: Skb, from: VmNic): void {
    if (isGroupMac(skb.dstMac)) {
      this.#flood(skb, from);
      return;
    }
    const to = this.#byMac.get(skb.dstMac);
    if (to === undefined) this.#toWire(skb);
    else if (!skb.isIp || isNeighbourDiscovery(skb)) to.deliver(skb);
    else if (to.isHost) this.#toHost(to, skb);
    else this.#toContainer(to, skb);
  }

  /**
   * By destination address: VFP knows where its endpoints are, and the host's routes know the rest.
   * @param from a container that may send to the overlay only; `undefined` where the node itself sends
   */
  #place(skb: Skb, from: VmNic | undefined): void {
    const { dst } = skb.ip;
    const container = this.#byAddress.get(dst);
    if (container !== undefined) {
      this.#toContainer(container, skb);
      return;
    }
    if (this.netns.isLocalAddress(dst) || this.overlay?.hostAddresses.has(dst)) {
      this.#toHost(this.#hostNicFor(skb), skb);
      return;
    }
    const encap = this.overlay?.encap.match(tupleOf(skb.ip));
    if (encap !== undefined) this.#encapsulate(skb, encap, (from ?? this.management).port);
    else if (from === undefined) this.#route(skb);
    else this.#noRoute(skb, from);
  }

  #noRoute(skb: Skb, from: VmNic): void {
    const what = `no endpoint or remote subnet has ${formatIp(skb.ip.dst)}`;
    this.netns.network.drop(skb, this.netns, "VFP_NO_ROUTE", from, what);
  }

  /** As a packet of the host's own, by its routes and neighbours. */
  #route(skb: Skb): void {
    const { dst, src } = skb.ip;
    const way = this.netns.routeGet({ dst, src, anySource: true });
    if (typeof way === "string") {
      this.netns.network.drop(skb, this.netns, "IP_OUTNOROUTES", this.management, way);
      return;
    }
    skb.scrub(true);
    skb.dst = way.dst;
    skb.dev = undefined;
    this.netns.ipLocalOut(skb);
  }

  #toWire(skb: Skb): void {
    // L2 address re-writing: the network outside sees one MAC.
    skb.srcMac = this.external.mac;
    this.external.queueTransmit(skb);
  }

  #flood(skb: Skb, from: VmNic | undefined): void {
    for (const to of this.#nics) {
      if (to === from || !to.up || (skb.isArp && !isAsked(to, skb.packet as ArpPacket))) continue;
      // Containers of an l2bridge have no other neighbours than the node.
      if (from === undefined && !to.isHost) continue;
      to.deliver(skb.clone());
    }
    if (from !== undefined && (from.isHost || !skb.isArp)) this.#toWire(skb);
  }

  // ---- into containers

  #toContainer(nic: VmNic, skb: Skb): void {
    if (!walk(nic.port, "IN", skb, this)) return;
    if (this.overlay !== undefined) skb.srcMac = this.overlay.drMac;
    nic.deliver(this.#addressed(skb, nic));
  }

  // ---- into the host

  #toHost(nic: VmNic, skb: Skb): void {
    const packet = skb.ip;
    const container = this.#translatedFor(packet) ?? this.#directServer(nic, skb);
    if (container !== undefined) {
      this.#toContainer(container, skb);
      return;
    }
    const { dst } = packet;
    if (!walk(nic.port, "IN", skb, this)) return;
    if (packet.dst !== dst) this.#place(skb, undefined);
    else nic.deliver(this.#addressed(skb, nic));
  }

  /** The container whose flow left with the node's address, and this is an answer or an error about it. */
  #translatedFor(packet: IpPacket): VmNic | undefined {
    if (packet.isFragment || !this.netns.hasAddress(packet.dst)) return undefined;
    const quoted = quotedPacket(packet);
    const { protocol, dstPort } = quoted === undefined ? tupleOf(packet) : reverse(tupleOf(quoted));
    const owner = this.natPool.ownerOf(protocol, dstPort, this.netns.network.clock.now);
    return owner?.isHost === false ? this.#byPort.get(owner) : undefined;
  }

  /** With direct server return the backend gets the packet as it came, and answers the client itself. */
  #directServer(nic: VmNic, skb: Skb): VmNic | undefined {
    if (skb.ip.isFragment) return undefined;
    const tuple = tupleOf(skb.ip);
    for (const group of nic.port.groups("IN")) {
      const match = group.match(tuple);
      const action = match?.rule.action;
      if (match === undefined || action?.type !== "lbnat" || !action.policy.dsr) continue;
      const dip = action.policy.choose(tuple);
      const container = dip && this.#byAddress.get(dip.address);
      if (dip === undefined || container === undefined) continue;
      const effect = `direct server return: left as it is for ${formatIp(dip.address)}`;
      traceRule(skb, this.netns, nic.port, match, effect);
      return container;
    }
    return undefined;
  }

  #hostNicFor(skb: Skb): VmNic {
    const { dst } = skb.ip;
    for (const nic of this.#nics) if (nic.isHost && nic.hasAddress(dst)) return nic;
    return this.management;
  }

  #addressed(skb: Skb, nic: VmNic): Skb {
    skb.dstMac = nic.mac;
    return skb;
  }

  // ---- the overlay

  #encapsulate(skb: Skb, match: VfpMatch, port: VfpPort): void {
    const { action } = match.rule;
    const overlay = this.overlay;
    if (overlay === undefined || action.type !== "encap") return;
    const to = `VXLAN VNI ${action.vni} to ${formatIp(action.providerAddress)}`;
    traceRule(skb, this.netns, port, match, to);
    const inner = new EthernetFrame(action.mac, overlay.drMac, skb.etherType, skb.packet);
    const srcPort = 49_152 + (hashTuple(tupleOf(skb.ip)) % 16_384);
    const datagram = new UdpDatagram(
      srcPort,
      WINDOWS_VXLAN_PORT,
      new VxlanPacket(action.vni, inner),
    );
    datagram.noChecksum = true;
    const outer = new IpPacket(
      overlay.providerAddress,
      action.providerAddress,
      IPPROTO_UDP,
      datagram,
      this.netns.defaultTtl(4),
    );
    outer.dontFragment = true;
    skb.packet = outer;
    skb.etherType = ETH_P_IP;
    this.#traceTunnel("encapsulate", skb, action.vni);
    this.#route(skb);
  }

  #decapsulate(skb: Skb, vxlan: VxlanPacket, overlay: OverlayNetwork): void {
    const { frame, vni } = vxlan;
    if (vni !== overlay.vsid) {
      this.external.drop(skb, "VXLAN_VNI_NOT_FOUND", `VNI ${vni} is not the network's VSID`);
      return;
    }
    this.#traceTunnel("decapsulate", skb, vni);
    skb.packet = frame.payload;
    skb.etherType = frame.etherType;
    skb.dstMac = frame.dst;
    skb.srcMac = frame.src;
    if (!skb.isIp || frame.dst !== overlay.drMac) {
      const what = `inner frame to ${formatMac(frame.dst)}, not to the distributed router`;
      this.external.drop(skb, "OTHERHOST", what);
      return;
    }
    const { dst } = skb.ip;
    const container = this.#byAddress.get(dst);
    if (container !== undefined) this.#toContainer(container, skb);
    else if (overlay.hostAddresses.has(dst)) this.#toHost(this.management, skb);
    else this.#noRoute(skb, this.management);
  }

  #traceTunnel(kind: "encapsulate" | "decapsulate", skb: Skb, vni: number): void {
    skb.trace?.steps.push({
      kind,
      netns: this.netns,
      packet: skb.number,
      dev: this.external,
      outer: skb.ip.withPayload(skb.ip.payload),
      protocol: `VXLAN VNI ${vni}`,
    });
  }

  // ---- ARP

  #arpFrom(nic: VmNic, skb: Skb): void {
    const arp = skb.packet as ArpPacket;
    const mac = arp.op === ARP_REQUEST ? this.#answerFor(arp.targetIp, nic) : undefined;
    if (mac !== undefined) {
      const { senderMac, senderIp, targetIp } = arp;
      const reply = new Skb(
        ETH_P_ARP,
        new ArpPacket(ARP_REPLY, mac, targetIp, senderMac, senderIp),
        skb.trace,
      );
      reply.dstMac = senderMac;
      reply.srcMac = mac;
      nic.deliver(reply);
      return;
    }
    if (this.overlay === undefined || nic.isHost) this.#bridge(skb, nic);
  }

  /** On an overlay nobody asks around: VFP answers for the router and for endpoints. */
  #answerFor(ip: IpAddress, asker: VmNic): Mac | undefined {
    const { overlay } = this;
    if (overlay === undefined) return undefined;
    if (ip === overlay.gateway && !asker.isHost) return overlay.drMac;
    if (overlay.hostAddresses.has(ip)) return this.management.mac;
    const there = this.#byAddress.get(ip);
    return there === undefined || there === asker ? undefined : there.mac;
  }

  // ---- what rules need to know

  sourceFor(
    port: VfpPort,
    direction: VfpDirection,
    { sourceVip, dips }: LoadBalancerPolicy,
  ): IpAddress | undefined {
    // At a container's port only the destination changes; the host's own packets have its address already.
    if (!port.isHost) return undefined;
    if (sourceVip !== undefined) return sourceVip;
    return direction === "OUT" ? undefined : this.#managementAddress(dips[0]?.address);
  }

  natPort(port: VfpPort, tuple: FlowTuple): number | undefined {
    return this.natPool.take(tuple, port, this.netns.network.clock.now);
  }

  /** The host's ports remember what their load balancer translated, and nothing else. */
  created(port: VfpPort, direction: VfpDirection, flow: VfpFlow): void {
    if (port.isHost && !flow.isTranslated) return;
    port.flows.add(flow, direction, port.isHost || direction === "OUT" ? "IN" : "OUT");
    if (flow.translated.src !== flow.original.src) this.natPool.bind(flow);
  }

  #managementAddress(like: IpAddress | undefined): IpAddress | undefined {
    const family = typeof like === "number" ? 4 : 6;
    return this.management.addressesOf(family)[0]?.address;
  }
}

/** Whether an ARP packet can have an effect at a vNIC: an answer, or a question for its address. */
function isAsked(nic: VmNic, { op, targetIp }: ArpPacket): boolean {
  return op !== ARP_REQUEST || nic.hasAddress(targetIp);
}

function isNeighbourDiscovery(skb: Skb): boolean {
  if (!skb.isIp) return false;
  return skb.ip.payload instanceof NeighbourMessage || isMulticast(skb.ip.dst);
}
