import { isGroupMac, type Mac } from "@cnilab/net";
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

  constructor(lower: NetDevice) {
    this.lower = lower;
  }

  /** `macvlan_handle_frame`. */
  handle(_dev: NetDevice, skb: Skb): boolean {
    if (isGroupMac(skb.dstMac)) {
      const sender = this.macvlans.get(skb.srcMac);
      for (const macvlan of this.macvlans.values()) {
        if (!macvlan.up || macvlan === sender) continue;
        // A frame that comes back from the switch: VEPA takes it, private does not.
        if (sender !== undefined && !(sender.mode === "vepa" && macvlan.mode === "vepa")) continue;
        macvlan.deliver(skb.clone());
      }
      return false;
    }
    const [only] = this.macvlans.values();
    const target = only?.mode === "passthru" ? only : this.macvlans.get(skb.dstMac);
    if (target === undefined) return false;
    target.deliver(skb);
    return true;
  }
}

/** A device with a MAC of its own on top of another one (kernel drivers/net/macvlan.c). */
export class Macvlan extends NetDevice {
  readonly kind = "macvlan";
  readonly lower: NetDevice;
  readonly mode: MacvlanMode;
  readonly #port: MacvlanPort;

  /** @throws KernelError EBUSY where the lower device is a bridge port, EINVAL for an MTU above its own */
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
    if (lower.receiveHandler !== undefined && !(lower.receiveHandler instanceof MacvlanPort)) {
      throw new KernelError("EBUSY", `${lower.name} is in use`);
    }
    super(netns, options, lower.mtu);
    if (options.mac === undefined) this.mac = netns.kernel.randomMac();
    this.lower = lower;
    this.mode = options.mode ?? "vepa";
    this.#port =
      lower.receiveHandler instanceof MacvlanPort ? lower.receiveHandler : new MacvlanPort(lower);
    if (this.mode === "passthru") {
      if (this.#port.macvlans.size > 0)
        throw new KernelError("EINVAL", `${lower.name} has other macvlans`);
      this.mac = lower.mac;
    }
    lower.receiveHandler = this.#port;
    this.#port.macvlans.set(this.mac, this);
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
          if (other !== this && other.up && other.mode === "bridge") {
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
