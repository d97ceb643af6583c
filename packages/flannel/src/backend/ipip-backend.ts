import { IpTunnel } from "@cnilab/linux";
import type { IpipConf } from "../conf/backend-conf.ts";
import type { Lease, LeaseAttributes } from "../lease/lease.ts";
import type { LeaseEvents, LeaseTable } from "../lease/lease-table.ts";
import { FlanneldError } from "../lease/subnet-manager.ts";
import { type Backend, type BackendContext, plainAttributes } from "./backend.ts";
import { ensureAddress } from "./device-address.ts";
import { NodeRoutes } from "./route-backend.ts";

const DEVICE = "flannel.ipip";
/** Bytes of the outer IPv4 header. */
const OVERHEAD = 20;

/** IPv4 in IPv4, to whatever gateway a route names (pkg/backend/ipip). */
export class IpipBackend implements Backend {
  readonly #context: BackendContext;
  readonly #conf: IpipConf;
  #lease: Lease | undefined;
  #dev: IpTunnel | undefined;
  #routes: NodeRoutes | undefined;

  constructor(context: BackendContext, conf: IpipConf) {
    this.#context = context;
    this.#conf = conf;
  }

  get mtu(): number {
    return this.#dev?.mtu ?? 0;
  }

  register(acquire: (attributes: LeaseAttributes) => Lease): Lease {
    const { iface } = this.#context;
    const lease = acquire(plainAttributes(iface, "ipip"));
    const dev = this.#configureDevice(lease);
    this.#lease = lease;
    this.#dev = dev;
    this.#routes = new NodeRoutes(this.#context, {
      backendType: "ipip",
      families: [4],
      routeTo: ({ publicIp }, underlay) => {
        const direct = this.#conf.directRouting && underlay.directDevice(publicIp) !== undefined;
        return { dev: direct ? iface.dev : dev, onlink: true };
      },
    });
    return lease;
  }

  #configureDevice(lease: Lease): IpTunnel {
    const { iface, conf } = this.#context;
    const mtu = iface.dev.mtu - OVERHEAD;
    if (mtu <= 0) {
      throw new FlanneldError(
        `MTU ${iface.dev.mtu} of iface ${iface.dev.name} is too small for ipip mode to work`,
      );
    }
    const dev = this.#ensureDevice();
    // Whatever it was made with: the kernel's own idea does not know the external interface.
    dev.setMtu(mtu);
    if (lease.subnet === undefined || conf.network === undefined) {
      throw new FlanneldError(`failed to ensure address of interface ${DEVICE}: no IPv4 subnet`);
    }
    ensureAddress(dev, lease.subnet, conf.network);
    dev.setUp();
    return dev;
  }

  /** A device of the user's own under this name is not touched. */
  #ensureDevice(): IpTunnel {
    const { iface, netns, log } = this.#context;
    const local = iface.ifaceAddress as number;
    const existing = netns.findDevice(DEVICE);
    if (existing !== undefined) {
      if (!(existing instanceof IpTunnel) || existing.kind !== "ipip") {
        throw new FlanneldError(
          `${DEVICE} isn't an ipip mode device, please remove device and try again`,
        );
      }
      if (existing.local === local && existing.remote === 0) return existing;
      log(`"${DEVICE}" already exists with incompatible attributes; recreating device`);
      existing.remove();
    }
    return new IpTunnel(netns, { name: DEVICE, local });
  }

  run(table: LeaseTable): void {
    this.#routes?.run(table, this.#lease as Lease);
  }

  update(table: LeaseTable, events: LeaseEvents): void {
    this.#routes?.update(table, events);
  }

  stop(): void {
    this.#routes?.stop();
  }
}
