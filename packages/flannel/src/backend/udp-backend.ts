import { Tun } from "@cnilab/linux";
import { type IpAddress, type Ipv4Address, LpmTable } from "@cnilab/net";
import type { UdpConf } from "../conf/backend-conf.ts";
import { type Lease, type LeaseAttributes, sideOf } from "../lease/lease.ts";
import type { LeaseEvents, LeaseTable } from "../lease/lease-table.ts";
import { FlanneldError } from "../lease/subnet-manager.ts";
import { type Backend, type BackendContext, plainAttributes } from "./backend.ts";
import { attempt } from "./device-address.ts";
import { UdpProxy } from "./udp-proxy.ts";

/** Bytes of the outer IPv4 and UDP headers. */
const OVERHEAD = 28;

/** Packets through a program in user space, for kernels without vxlan (pkg/backend/udp). */
export class UdpBackend implements Backend {
  readonly #context: BackendContext;
  readonly #conf: UdpConf;
  #proxy: UdpProxy | undefined;

  constructor(context: BackendContext, conf: UdpConf) {
    this.#context = context;
    this.#conf = conf;
  }

  get mtu(): number {
    return this.#context.iface.dev.mtu - OVERHEAD;
  }

  register(acquire: (attributes: LeaseAttributes) => Lease): Lease {
    const lease = acquire(plainAttributes(this.#context.iface));
    const { network } = this.#context.conf;
    if (lease.subnet === undefined || network === undefined) {
      throw new FlanneldError("the udp backend needs an IPv4 subnet");
    }
    const { subnet } = lease;
    const tun = new Tun(this.#context.netns, { name: freeName(this.#context), mtu: this.mtu });
    const listen = {
      address: this.#context.iface.ifaceAddress as Ipv4Address,
      port: this.#conf.port,
    };
    const error = attempt(() => {
      tun.addAddress(subnet.address, 32);
      tun.setUp();
      // A route to the network may be there already, as of a bridge: then that one stays.
      attempt(() => tun.netns.addRoute({ dst: network, dev: tun, scope: 0 }));
      this.#proxy = new UdpProxy(tun, subnet, listen, new LpmTable());
    });
    if (error !== undefined) {
      tun.remove();
      throw new FlanneldError(`failed to start listening on UDP socket: ${error.message}`);
    }
    return lease;
  }

  run(table: LeaseTable): void {
    this.#follow(table);
  }

  update(table: LeaseTable, _events: LeaseEvents): void {
    this.#follow(table);
  }

  /** Only the program's list changes; leases of every backend are in it. */
  #follow(table: LeaseTable): void {
    if (this.#proxy === undefined) return;
    this.#proxy.routes = table.derive("udp", () => nodesBySubnet(table));
  }

  /** The device goes with the program. */
  stop(): void {
    this.#proxy?.stop();
  }
}

function nodesBySubnet(table: LeaseTable): LpmTable<IpAddress> {
  const nodes = new LpmTable<IpAddress>();
  for (const lease of table.leases.values()) {
    const side = sideOf(lease, 4);
    if (side !== undefined) nodes.set(side.subnet, side.publicIp);
  }
  return nodes;
}

/** The first free name of the pattern `flannel%d`. */
function freeName({ netns }: BackendContext): string {
  for (let i = 0; ; i++) if (netns.findDevice(`flannel${i}`) === undefined) return `flannel${i}`;
}
