import type { NetDevice } from "../device/net-device.ts";
import type { Bridge } from "./bridge.ts";

/** A device as port of a bridge; flags as `bridge -d link` prints them. */
export class BridgePort {
  readonly bridge: Bridge;
  readonly dev: NetDevice;
  hairpin = false;
  /** Isolated ports do not reach each other. */
  isolated = false;
  learning = true;
  flood = true;
  mcastFlood = true;
  bcastFlood = true;

  constructor(bridge: Bridge, dev: NetDevice) {
    this.bridge = bridge;
    this.dev = dev;
  }
}
