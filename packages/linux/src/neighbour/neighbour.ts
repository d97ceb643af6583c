import type { Timer } from "@cnilab/core";
import type { IpAddress, Mac } from "@cnilab/net";
import type { NetDevice } from "../device/net-device.ts";
import type { Skb } from "../skb.ts";

/** Neighbour states as `ip neighbour` prints them. */
export type NeighbourState =
  | "NONE"
  | "INCOMPLETE"
  | "REACHABLE"
  | "STALE"
  | "DELAY"
  | "PROBE"
  | "FAILED"
  | "NOARP"
  | "PERMANENT";

/** What a device knows of an address on its link (`struct neighbour`). */
export class Neighbour {
  readonly dev: NetDevice;
  readonly ip: IpAddress;
  /** Meaningless in states NONE, INCOMPLETE and FAILED. */
  mac: Mac = 0;
  state: NeighbourState = "NONE";
  /** `ip neigh … router`; learned in IPv6. */
  router = false;
  /** Learned by a program, not by the kernel (`extern_learn`). */
  externLearn = false;
  /** When it was last known to be right, when last used, when last changed: virtual ms. */
  confirmed = 0;
  used = 0;
  updated = 0;
  /** Solicitations sent in this state. */
  probes = 0;
  /** Packets that wait for the answer. */
  queue: Skb[] | undefined = undefined;
  /** The next solicitation, while one is to come. */
  timer: Timer | undefined = undefined;

  constructor(dev: NetDevice, ip: IpAddress) {
    this.dev = dev;
    this.ip = ip;
  }

  /** Whether a packet can be sent to {@link mac} (`NUD_VALID`). */
  get valid(): boolean {
    switch (this.state) {
      case "NONE":
      case "INCOMPLETE":
      case "FAILED":
        return false;
      default:
        return true;
    }
  }
}
