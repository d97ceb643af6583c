import { BROADCAST_MAC, isGroupMac, type Mac, ZERO_MAC } from "@cnilab/net";
import { type DeviceOptions, NetDevice, type ReceiveHandler } from "../device/net-device.ts";
import { KernelError } from "../kernel-error.ts";
import type { NetNamespace } from "../net-namespace.ts";
import {
  NF_INET_FORWARD,
  NF_INET_LOCAL_IN,
  NF_INET_LOCAL_OUT,
  NF_INET_PRE_ROUTING,
  NFPROTO_ARP,
  NFPROTO_BRIDGE,
  nfHook,
} from "../netfilter/hooks.ts";
import { PACKET_HOST, type Skb } from "../skb.ts";
import { enableBridgeNetfilter } from "./br-netfilter.ts";
import { bridgeForwardFinish, bridgeForwardFrame, bridgePassUp } from "./bridge-path.ts";
import { BridgePort } from "./bridge-port.ts";
import { Fdb, type FdbEntry } from "./fdb.ts";

/** MTU of a bridge without ports. */
const ETH_DATA_LEN = 1500;

type Flooding = "unicast" | "multicast" | "broadcast";

/**
 * A Linux bridge: a learning switch, and a device of the machine at the same time. Spanning tree,
 * VLAN filtering and multicast snooping are not modelled; frames for groups are flooded, as they are
 * without a querier.
 */
export class Bridge extends NetDevice {
  readonly kind = "bridge";
  /** The newest first, as the kernel keeps them. */
  readonly ports: BridgePort[] = [];
  readonly fdb: Fdb;
  /** Once set by hand the MAC stays; until then it is the lowest of the ports'. */
  #macPinned: boolean;
  /** Once changed by hand the MTU stays; one that the bridge was made with is no such change. */
  #mtuPinned = false;
  readonly #receiver: ReceiveHandler;

  constructor(netns: NetNamespace, options: DeviceOptions) {
    super(netns, options);
    this.#macPinned = options.mac !== undefined;
    if (options.mac === undefined) this.mac = netns.kernel.randomMac();
    // Choosing the bridge's id counts the ports that could carry it (`br_stp_change_bridge_id`).
    else this.carrier = false;
    this.fdb = new Fdb(netns.network);
    this.fdb.add(this.mac, undefined, true);
    this.#receiver = { handle: (dev, skb) => this.#handleFrame(dev, skb) };
    if (netns.kernel.brNetfilter) enableBridgeNetfilter(netns);
  }

  /** Called by {@link NetDevice.setMaster}. @throws KernelError ELOOP, EBUSY, EINVAL */
  addPort(dev: NetDevice): void {
    if (dev instanceof Bridge)
      throw new KernelError("ELOOP", `bridge ${dev.name} as port of a bridge`);
    if (dev.isLoopback || !dev.isEthernet) {
      throw new KernelError("EINVAL", `${dev.name} as port of ${this.name}`);
    }
    if (dev.netns !== this.netns)
      throw new KernelError("EINVAL", `${dev.name} is in another namespace`);
    if (dev.receiveHandler !== undefined) throw new KernelError("EBUSY", `${dev.name} is in use`);
    const port = new BridgePort(this, dev);
    this.ports.unshift(port);
    dev.master = this;
    dev.bridgePort = port;
    dev.receiveHandler = this.#receiver;
    this.network.touch();
    dev.promiscuity++;
    this.fdb.add(dev.mac, port, true);
    this.portStateChanged();
    this.#followLowestMac();
    this.portMtuChanged();
  }

  removePort(dev: NetDevice): void {
    const at = this.ports.findIndex((p) => p.dev === dev);
    if (at < 0) return;
    const port = this.ports[at] as BridgePort;
    this.ports.splice(at, 1);
    this.fdb.deleteAll((e) => e.port === port);
    dev.master = undefined;
    dev.bridgePort = undefined;
    dev.receiveHandler = undefined;
    this.network.touch();
    dev.promiscuity--;
    this.portStateChanged();
    this.#followLowestMac();
    this.portMtuChanged();
  }

  override get isNetnsLocal(): boolean {
    return true;
  }

  override remove(): void {
    for (const port of [...this.ports]) this.removePort(port.dev);
    super.remove();
  }

  override setMac(mac: Mac): void {
    this.#macPinned = true;
    super.setMac(mac);
    this.portStateChanged();
  }

  override setMtu(mtu: number): void {
    this.#mtuPinned = true;
    super.setMtu(mtu);
  }

  protected override macChanged(old: Mac): void {
    const entry = this.fdb.find(old);
    if (entry?.local && entry.port === undefined) this.fdb.delete(old);
    if (this.mac !== ZERO_MAC && this.fdb.find(this.mac) === undefined) {
      this.fdb.add(this.mac, undefined, true);
    }
    super.macChanged(old);
  }

  /** A port's MAC has changed. */
  portMacChanged(port: BridgePort, old: Mac): void {
    const entry = this.fdb.find(old);
    if (entry?.local && entry.port === port) this.fdb.delete(old);
    this.fdb.add(port.dev.mac, port, true);
    this.#followLowestMac();
  }

  /** `br_stp_recalculate_bridge_id`: zero once the last port has left. */
  #followLowestMac(): void {
    if (this.#macPinned) return;
    let lowest = this.ports[0]?.dev.mac ?? ZERO_MAC;
    for (const { dev } of this.ports) if (dev.mac < lowest) lowest = dev.mac;
    if (lowest !== this.mac) super.setMac(lowest);
  }

  /** A bridge whose MTU nobody set has that of its smallest port (`br_mtu_auto_adjust`). */
  portMtuChanged(): void {
    if (this.#mtuPinned) return;
    const mtus = this.ports.map((p) => p.dev.mtu);
    super.setMtu(mtus.length === 0 ? ETH_DATA_LEN : Math.min(...mtus));
  }

  /** A port came up or went down: the bridge has a carrier while one is up and has one itself. */
  portStateChanged(): void {
    this.carrier = this.ports.some((p) => p.dev.up && p.dev.carrier);
  }

  /** A frame of this machine's own (`br_dev_xmit`). */
  protected transmit(skb: Skb): void {
    const nfBridge = skb.nfBridge;
    if (nfBridge?.bridgedDnat) {
      // The neighbour of a bridged DNAT was found: go on with bridging.
      nfBridge.bridgedDnat = false;
      nfBridge.physout = undefined;
      skb.srcMac = nfBridge.srcMac;
      skb.dev = nfBridge.physin;
      this.forwardFrame(skb);
      return;
    }
    const mac = skb.dstMac;
    if (isGroupMac(mac)) {
      this.#flood(skb, mac === BROADCAST_MAC ? "broadcast" : "multicast", undefined, true, false);
      return;
    }
    const entry = this.fdb.find(mac);
    if (entry === undefined) {
      this.#flood(skb, "unicast", undefined, true, false);
    } else if (entry.port === undefined) {
      this.drop(skb, "LOCAL_MAC", `${this.name} sends to itself`);
    } else {
      this.#trace(skb, undefined, "forward", entry, [entry.port.dev]);
      this.#deliver(skb, undefined, entry.port, true);
    }
  }

  /** A frame arrives at a port (`br_handle_frame`). */
  #handleFrame(dev: NetDevice, skb: Skb): boolean {
    if (!this.up) {
      this.drop(skb, "DEV_READY", `${this.name} is down`);
      return true;
    }
    if (skb.dstMac === this.mac) skb.packetType = PACKET_HOST;
    nfHook(
      this.netns,
      NFPROTO_BRIDGE,
      NF_INET_PRE_ROUTING,
      skb,
      dev,
      undefined,
      bridgeForwardFrame,
    );
    return true;
  }

  /** Behind the bridge's PREROUTING: learns, and looks up the destination (`br_handle_frame_finish`). */
  forwardFrame(skb: Skb): void {
    const port = skb.dev?.bridgePort;
    if (port === undefined) {
      this.drop(skb, "BRIDGE_NO_PORT", "its port has left the bridge");
      return;
    }
    if (port.learning) this.fdb.learn(skb.srcMac, port);
    const mac = skb.dstMac;
    if (isGroupMac(mac)) {
      this.#flood(skb, mac === BROADCAST_MAC ? "broadcast" : "multicast", port, false, true);
      return;
    }
    const entry = this.fdb.find(mac);
    if (entry === undefined) {
      this.#flood(skb, "unicast", port, false, this.promiscuity > 0);
    } else if (entry.local) {
      this.#trace(skb, port, "local", entry, [this]);
      this.#passUp(skb);
    } else {
      const copy = this.promiscuity > 0 ? skb.clone() : undefined;
      if (copy !== undefined) this.network.recording?.unrepeatable();
      this.#trace(skb, port, "forward", entry, entry.port === undefined ? [] : [entry.port.dev]);
      this.#deliver(skb, port, entry.port as BridgePort, false);
      if (copy !== undefined) this.#passUp(copy);
    }
  }

  #flood(skb: Skb, kind: Flooding, from: BridgePort | undefined, own: boolean, up: boolean): void {
    this.network.recording?.unrepeatable();
    const targets = this.ports.filter(
      (p) =>
        shouldDeliver(from, p) === undefined &&
        (kind === "unicast" ? p.flood : kind === "multicast" ? p.mcastFlood : p.bcastFlood),
    );
    if (skb.trace !== undefined) {
      this.#trace(skb, from, "flood", undefined, [
        ...targets.map((p) => p.dev),
        ...(up ? [this] : []),
      ]);
    }
    if (targets.length === 0 && !up) {
      this.drop(skb, "BRIDGE_NO_PORT", `${this.name} has no other port`);
      return;
    }
    // What rules may want to see goes to every port as a frame of its own.
    const filtered = this.netns.hooks?.at(NFPROTO_ARP, own ? NF_INET_LOCAL_OUT : NF_INET_FORWARD);
    const seen = filtered === undefined ? targets.filter((p) => !p.dev.sendIgnored(skb)) : targets;
    const copies = seen.length + (up ? 1 : 0);
    seen.forEach((port, i) => {
      this.#deliver(i === copies - 1 ? skb : skb.clone(), from, port, own);
    });
    if (up) this.#passUp(skb);
  }

  #deliver(skb: Skb, from: BridgePort | undefined, to: BridgePort, own: boolean): void {
    const refused = shouldDeliver(from, to);
    if (refused !== undefined) {
      this.drop(skb, refused, `from ${from?.dev.name ?? this.name} to ${to.dev.name}`);
      return;
    }
    const input = skb.dev;
    skb.dev = to.dev;
    if (!own) skb.summedHeader = -1; // skb_forward_csum
    nfHook(
      this.netns,
      NFPROTO_BRIDGE,
      own ? NF_INET_LOCAL_OUT : NF_INET_FORWARD,
      skb,
      own ? undefined : input,
      to.dev,
      bridgeForwardFinish,
    );
  }

  /** The frame is for this machine (`br_pass_frame_up`). */
  #passUp(skb: Skb): void {
    const port = skb.dev;
    nfHook(this.netns, NFPROTO_BRIDGE, NF_INET_LOCAL_IN, skb, port, undefined, bridgePassUp);
  }

  #trace(
    skb: Skb,
    from: BridgePort | undefined,
    decision: "forward" | "flood" | "local",
    entry: FdbEntry | undefined,
    to: readonly NetDevice[],
  ): void {
    skb.trace?.steps.push({
      kind: "bridge",
      netns: this.netns,
      packet: skb.number,
      bridge: this,
      from: from?.dev ?? this,
      decision,
      mac: skb.dstMac,
      entry,
      to,
    });
  }
}

/** Why a port does not take a frame (`should_deliver`); `undefined` when it does. */
function shouldDeliver(
  from: BridgePort | undefined,
  to: BridgePort,
): "BRIDGE_SAME_PORT" | "BRIDGE_ISOLATED" | "DEV_READY" | undefined {
  if (!to.dev.up) return "DEV_READY";
  if (from === to && !to.hairpin) return "BRIDGE_SAME_PORT";
  if (from?.isolated && to.isolated) return "BRIDGE_ISOLATED";
  return undefined;
}
