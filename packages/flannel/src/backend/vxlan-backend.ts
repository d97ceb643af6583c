import type { NetDevice } from "@cnilab/linux";
import type { VxlanConf } from "../conf/backend-conf.ts";
import { isOwn, type Lease, type LeaseAttributes } from "../lease/lease.ts";
import type { LeaseEvents, LeaseTable } from "../lease/lease-table.ts";
import { FlanneldError } from "../lease/subnet-manager.ts";
import { vxlanData } from "../lease/vtep.ts";
import type { Backend, BackendContext } from "./backend.ts";
import { ENCAP_OVERHEAD, VxlanSide } from "./vxlan-side.ts";

/** Pause before a deleted device is made again, when that failed: doubled each time up to the limit. */
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 30_000;

/** Ethernet in UDP, with all endpoints known beforehand (pkg/backend/vxlan). */
export class VxlanBackend implements Backend {
  readonly #context: BackendContext;
  readonly #conf: VxlanConf;
  #sides: VxlanSide[] = [];
  #lease: Lease | undefined;
  #unwatch: (() => void) | undefined;
  #stopped = false;

  constructor(context: BackendContext, conf: VxlanConf) {
    this.#context = context;
    this.#conf = conf;
  }

  /** IPv6 costs 20 bytes more, which flanneld does not count. */
  get mtu(): number {
    return (this.#conf.mtu ?? this.#context.iface.dev.mtu) - ENCAP_OVERHEAD;
  }

  register(acquire: (attributes: LeaseAttributes) => Lease): Lease {
    this.#sides = this.#makeSides();
    const lease = acquire(this.#attributes());
    for (const side of this.#sides) side.configure(lease);
    this.#lease = lease;
    return lease;
  }

  #makeSides(): VxlanSide[] {
    const { enableIPv4, enableIPv6 } = this.#context.conf;
    const sides: VxlanSide[] = [];
    if (enableIPv4) sides.push(new VxlanSide(this.#context, this.#conf, 4));
    if (enableIPv6) sides.push(new VxlanSide(this.#context, this.#conf, 6));
    return sides;
  }

  #attributes(): LeaseAttributes {
    const { extAddress, extV6Address } = this.#context.iface;
    const data = (family: 4 | 6) => {
      const side = this.#sides.find((s) => s.family === family);
      return side === undefined ? "null" : vxlanData(this.#conf.vni, side.dev.mac);
    };
    return {
      publicIp: extAddress,
      publicIpv6: extV6Address,
      backendType: "vxlan",
      backendData: data(4),
      backendV6Data: data(6),
    };
  }

  run(table: LeaseTable): void {
    for (const side of this.#sides) side.attach(table, true);
    // The IPv6 device has no watcher.
    if (!this.#context.conf.enableIPv4) return;
    this.#unwatch = this.#context.netns.onLinkDeleted((dev) => this.#deleted(dev));
  }

  update(table: LeaseTable, events: LeaseEvents): void {
    if (this.#sides.every((side) => side.intact)) {
      for (const side of this.#sides) side.attach(table, false);
      return;
    }
    for (const side of this.#sides) side.materialise();
    for (const lease of events.removed) this.#remove(lease);
    for (const lease of events.added) this.#add(lease);
  }

  #add(lease: Lease): void {
    if (!this.#isForUs(lease)) return;
    // As in the real one, what went wrong with IPv4 spares IPv6.
    for (const side of this.#sides) if (!side.add(lease)) return;
  }

  #remove(lease: Lease): void {
    if (this.#isForUs(lease)) for (const side of this.#sides) side.remove(lease);
  }

  #isForUs(lease: Lease): boolean {
    const { backendType } = lease.attributes;
    if (isOwn(lease, this.#lease)) return false;
    if (backendType === "vxlan") return true;
    this.#context.log(`ignoring non-vxlan v4Subnet(${lease.subnet}): type=${backendType}`);
    return false;
  }

  /** Somebody deleted the device: it is made again, but not the way to the other nodes. */
  #deleted(dev: NetDevice): void {
    if (this.#stopped || dev.name !== `flannel.${this.#conf.vni}`) return;
    this.#context.clock.schedule(0, () => this.#recreate(FIRST_RETRY_MS));
  }

  #recreate(retryMs: number): void {
    if (this.#stopped || this.#lease === undefined) return;
    for (const side of this.#sides) side.materialise();
    try {
      this.#sides = this.#makeSides();
      for (const side of this.#sides) side.configure(this.#lease);
    } catch (error) {
      if (!(error instanceof FlanneldError)) throw error;
      this.#context.log(error.message);
      const next = Math.min(2 * retryMs, LONGEST_RETRY_MS);
      this.#context.clock.schedule(retryMs, () => this.#recreate(next), { background: true });
    }
  }

  /** Device, routes, neighbours and endpoints stay. */
  stop(): void {
    this.#stopped = true;
    this.#unwatch?.();
  }
}
