import type { Lease, LeaseAttributes } from "../lease/lease.ts";
import type { LeaseEvents, LeaseTable } from "../lease/lease-table.ts";
import { FlanneldError } from "../lease/subnet-manager.ts";
import { type Backend, type BackendContext, plainAttributes } from "./backend.ts";
import { NodeRoutes } from "./route-backend.ts";

/** Every node is the gateway to its pods; all must be on one link (pkg/backend/hostgw). */
export class HostGwBackend implements Backend {
  readonly #context: BackendContext;
  readonly #routes: NodeRoutes;
  #lease: Lease | undefined;

  /** @throws FlanneldError */
  constructor(context: BackendContext) {
    const { iface, conf } = context;
    if (iface.extAddress !== iface.ifaceAddress) {
      throw new FlanneldError(
        "your PublicIP differs from interface IP, meaning that probably you're on a NAT, which is not supported by host-gw backend",
      );
    }
    this.#context = context;
    this.#routes = new NodeRoutes(context, {
      backendType: "host-gw",
      families: [
        ...(conf.enableIPv4 ? [4 as const] : []),
        ...(conf.enableIPv6 ? [6 as const] : []),
      ],
      routeTo: () => ({ dev: iface.dev, onlink: false }),
    });
  }

  get mtu(): number {
    return this.#context.iface.dev.mtu;
  }

  register(acquire: (attributes: LeaseAttributes) => Lease): Lease {
    const { iface } = this.#context;
    this.#lease = acquire({
      ...plainAttributes(iface, "host-gw"),
      publicIpv6: iface.extV6Address,
    });
    return this.#lease;
  }

  run(table: LeaseTable): void {
    this.#routes.run(table, this.#lease as Lease);
  }

  update(table: LeaseTable, events: LeaseEvents): void {
    this.#routes.update(table, events);
  }

  stop(): void {
    this.#routes.stop();
  }
}
