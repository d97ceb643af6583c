import { BROADCAST_MAC, isGroupMac, type Mac } from "@cnilab/net";
import { KernelError } from "../kernel-error.ts";
import type { NetNamespace } from "../net-namespace.ts";
import type { Skb } from "../skb.ts";
import { type DeviceOptions, NetDevice, type ReceiveHandler } from "./net-device.ts";

/** Who may talk to whom among the macvlans of one device. */
export type MacvlanMode = "private" | "vepa" | "bridge" | "passthru";

/** All macvlans on one lower device: they share its receive handler (`struct macvlan_port`). */
class MacvlanPort implements ReceiveHandler {
  readonly lower: NetDevice;
  readonly macvlans = new Map<Mac, Macvlan>();
  #promiscuous = false;

  constructor(lower: NetDevice) {
    this.lower = lower;
  }

  /** The lower device is deleted: so are those on it. */
  deviceRemoved(): void {
    for (const macvlan of [...this.macvlans.values()]) macvlan.remove();
  }

  /**
   * The lower device has to take frames for MACs that are not its own. Only hardware has a list for
   * them; the others become promiscuous (`__dev_set_rx_mode`, `macvlan_open`).
   */
  filterUnicast(): void {
    let needed = false;
    for (const macvlan of this.macvlans.values()) {
      if (macvlan.up && (macvlan.mode === "passthru" || this.lower.kind !== "")) needed = true;
    }
    if (needed === this.#promiscuous) return;
    this.#promiscuous = needed;
    this.lower.promiscuity += needed ? 1 : -1;
  }

  /** `macvlan_handle_frame`. */
  handle(_dev: NetDevice, skb: Skb): boolean {
    if (isGroupMac(skb.dstMac)) return this.#handleGroup(skb);
    const [only] = this.macvlans.values();
    const target = only?.mode === "passthru" ? only : this.macvlans.get(skb.dstMac);
    if (target === undefined) return false;
    target.deliver(skb);
    return true;
  }

  /** Whom a broadcast or multicast from below is for (`macvlan_process_broadcast`). */
  #handleGroup(skb: Skb): boolean {
    this.lower.network.recording?.unrepeatable();
    const sender = this.macvlans.get(skb.srcMac);
    if (sender?.mode === "private" || sender?.mode === "passthru") {
      // Its own frame comes back from the switch: nobody else may see it.
      sender.deliver(skb);
      return true;
    }
    for (const macvlan of this.macvlans.values()) {
      if (macvlan === sender || !macvlan.up || !macvlan.hears(skb)) continue;
      // Those in bridge mode have seen a bridge's frame on its way out.
      const wanted =
        sender === undefined ||
        macvlan.mode === "vepa" ||
        (macvlan.mode === "bridge" && sender.mode === "vepa");
      if (wanted) macvlan.deliver(skb.clone());
    }
    return false;
  }
}

/** A device with a MAC of its own on top of another one (kernel drivers/net/macvlan.c). */
export class Macvlan extends NetDevice {
  readonly kind = "macvlan";
  readonly lower: NetDevice;
  readonly mode: MacvlanMode;
  readonly #port: MacvlanPort;

  /** @throws KernelError EBUSY where the lower device is a bridge port; EINVAL for an MTU above its own, or beside passthru */
  constructor(
    netns: NetNamespace,
    options: DeviceOptions & { readonly lower: NetDevice; readonly mode?: MacvlanMode },
  ) {
    // A macvlan of a macvlan sits on the same device.
    const lower = options.lower instanceof Macvlan ? options.lower.lower : options.lower;
    if (options.mtu !== undefined && options.mtu > lower.mtu) {
      throw new KernelError(
        "EINVAL",
        `MTU ${options.mtu} is above the ${lower.mtu} of ${lower.name}`,
      );
    }
    const { receiveHandler } = lower;
    if (receiveHandler !== undefined && !(receiveHandler instanceof MacvlanPort)) {
      throw new KernelError("EBUSY", `${lower.name} is in use`);
    }
    const mode = options.mode ?? "vepa";
    const others = [...(receiveHandler?.macvlans.values() ?? [])];
    if (others.some((m) => m.mode === "passthru") || (mode === "passthru" && others.length > 0)) {
      throw new KernelError("EINVAL", `a macvlan in passthru mode is alone on ${lower.name}`);
    }
    super(netns, options, lower.mtu);
    if (mode === "passthru") this.mac = lower.mac;
    else if (options.mac === undefined) this.mac = netns.kernel.randomMac();
    this.lower = lower;
    this.mode = mode;
    this.#port = receiveHandler ?? new MacvlanPort(lower);
    lower.receiveHandler = this.#port;
    this.network.touch();
    this.#port.macvlans.set(this.mac, this);
  }

  protected override stateChanged(): void {
    this.#port.filterUnicast();
  }

  protected override macChanged(old: Mac): void {
    this.#port.macvlans.delete(old);
    this.#port.macvlans.set(this.mac, this);
    super.macChanged(old);
  }

  override remove(): void {
    super.remove();
    this.#port.macvlans.delete(this.mac);
    if (this.#port.macvlans.size === 0) this.lower.receiveHandler = undefined;
    this.network.touch();
  }

  /** `macvlan_queue_xmit`. */
  protected transmit(skb: Skb): void {
    if (!this.lower.up) {
      this.drop(skb, "NO_CARRIER", `${this.lower.name} below is down`);
      return;
    }
    if (this.mode === "bridge") {
      if (isGroupMac(skb.dstMac)) {
        this.network.recording?.unrepeatable();
        for (const other of this.#port.macvlans.values()) {
          if (other !== this && other.up && other.mode === "bridge" && other.hears(skb)) {
            const copy = skb.clone();
            copy.scrub(other.netns !== this.netns);
            other.deliver(copy);
          }
        }
      } else {
        const other = this.#port.macvlans.get(skb.dstMac);
        if (other !== undefined && other !== this && other.mode === "bridge") {
          skb.scrub(other.netns !== this.netns);
          other.deliver(skb);
          return;
        }
      }
    }
    skb.scrub(this.lower.netns !== this.netns);
    this.lower.queueTransmit(skb);
  }

  /**
   * Whether a group's frame gets through the device's filter (`macvlan_broadcast`). The kernel's has 256 places
   * keyed at boot, so that one frame in 256 gets through for nothing.
   */
  hears(skb: Skb): boolean {
    if (skb.dstMac === BROADCAST_MAC || this.promiscuity > 0 || this.allMulticast) return true;
    return !skb.isIp || this.netns.isInGroup(this, skb.ip.dst);
  }

  /** A frame for this device. */
  deliver(skb: Skb): void {
    if (!this.up) {
      this.drop(skb, "DEV_READY", `${this.name} is down`);
      return;
    }
    this.classify(skb);
    this.network.enqueue(this, skb);
  }
}
