import type { Mac } from "@cnilab/net";
import type { Network } from "../network.ts";
import type { NetDevice } from "./net-device.ts";
import type { Nic } from "./nic.ts";

const LOW_32 = 0x100000000;
/** MACs of solicited-node groups: 33:33:ff and the last three bytes of an address (RFC 2464 section 7, RFC 4291 section 2.7.1). */
const SOLICITED = 0x3333ff;
const LOW_24 = 0x1000000;

/** Whether a frame is for a solicited-node group. */
export function isSolicitedMac(mac: Mac): boolean {
  return Math.floor(mac / LOW_24) === SOLICITED;
}

/**
 * Who listens to a solicited-node group on a segment. Cards filter by group in hardware (`dev_mc_add`, `ndo_set_rx_mode`): all others
 * never see the frame. Who listens is asked of all once a group, and again when something else than neighbours has changed.
 */
export class SolicitedAudience {
  readonly #network: Network;
  readonly #nics: ReadonlySet<Nic>;
  #configuration = -1;
  readonly #listeners = new Map<Mac, readonly Nic[]>();

  constructor(network: Network, nics: ReadonlySet<Nic>) {
    this.#network = network;
    this.#nics = nics;
  }

  /** NICs that let a frame to this group in, as they are plugged in. */
  of(mac: Mac): readonly Nic[] {
    if (this.#configuration !== this.#network.configuration) {
      this.#configuration = this.#network.configuration;
      this.#listeners.clear();
    }
    let found = this.#listeners.get(mac);
    if (found === undefined) {
      found = [...this.#nics].filter((nic) => listens(nic, mac));
      this.#listeners.set(mac, found);
    }
    return found;
  }
}

/** Whether a card lets in frames to a group's MAC: an address or group of its own ends like that, or somebody sees all that comes. */
function listens(dev: NetDevice, mac: Mac): boolean {
  if (dev.promiscuity > 0 || dev.allMulticast || dev.receiveHandler !== undefined) return true;
  if (dev.tc !== undefined || dev.xdp !== undefined) return true;
  if (dev.netns.packetSockets !== undefined) return true;
  const last = mac % LOW_24;
  for (const { address } of dev.addresses6) {
    if (typeof address !== "number" && (address.d & 0xffffff) === last) return true;
  }
  for (const ip of dev.neighbours?.proxies ?? []) {
    if (typeof ip !== "number" && (ip.d & 0xffffff) === last) return true;
  }
  for (const group of dev.groups ?? []) {
    if (typeof group !== "number" && group.d >>> 0 === mac % LOW_32) return true;
  }
  return false;
}
