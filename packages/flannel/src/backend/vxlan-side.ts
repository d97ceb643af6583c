import { KernelError, type NetDevice, type NetNamespace, RouteLayer, Vxlan } from "@cnilab/linux";
import { formatIp, type IpAddress, type IpFamily, type Mac } from "@cnilab/net";
import type { VxlanConf } from "../conf/backend-conf.ts";
import { networkOf } from "../conf/net-conf.ts";
import { type Lease, type LeaseSide, sideOf, subnetKey } from "../lease/lease.ts";
import type { LeaseTable } from "../lease/lease-table.ts";
import { FlanneldError } from "../lease/subnet-manager.ts";
import { vtepMacOf } from "../lease/vtep.ts";
import type { BackendContext } from "./backend.ts";
import { attempt, ensureAddress } from "./device-address.ts";
import { fdbSlot, type MapSlot, neighbourSlot, RouteSlot, releaseLayers } from "./shared-layers.ts";
import { UnderlayRoutes } from "./underlay-routes.ts";
import { renderVxlan, type VxlanState } from "./vxlan-state.ts";

/** Bytes that flanneld takes off for the tunnel, of either family: too few for IPv6. */
export const ENCAP_OVERHEAD = 50;

const EMPTY = new RouteLayer([]);

/** The tunnel of one family: `flannel.1` or `flannel-v6.1`, and what leads into it. */
export class VxlanSide {
  readonly #context: BackendContext;
  readonly #conf: VxlanConf;
  readonly family: IpFamily;
  readonly dev: Vxlan;
  readonly #underlay: UnderlayRoutes;
  readonly #routes: RouteSlot;
  readonly #neighbours: MapSlot<IpAddress, Mac>;
  readonly #fdb: MapSlot<Mac, IpAddress>;
  readonly #direct = new Map<string, RouteSlot>();
  #own: Lease | undefined;
  /** Of {@link UnderlayRoutes} when the state was attached. */
  #signature: string | undefined;
  /** Set while the kernel has the state that is shared with other nodes. */
  #shared = false;

  /** Makes the device, or finds it. @throws FlanneldError */
  constructor(context: BackendContext, conf: VxlanConf, family: IpFamily) {
    const network = networkOf(context.conf, family);
    if (network === undefined) throw new FlanneldError(`IPv${family} is not enabled`);
    this.#context = context;
    this.#conf = conf;
    this.family = family;
    this.dev = ensureDevice(context, conf, family);
    this.#underlay = new UnderlayRoutes(context.netns, family, network);
    this.#routes = new RouteSlot(this.dev, family);
    this.#neighbours = neighbourSlot(this.dev);
    this.#fdb = fdbSlot(this.dev);
  }

  /** Gives the device its address, and brings it up. @throws FlanneldError */
  configure(lease: Lease): void {
    const subnet = this.family === 4 ? lease.subnet : lease.ipv6Subnet;
    const network = networkOf(this.#context.conf, this.family);
    if (subnet === undefined || network === undefined) {
      throw new FlanneldError(
        `failed to configure interface ${this.dev.name}: IPv${this.family} is enabled but the lease has no IPv${this.family}`,
      );
    }
    ensureAddress(this.dev, subnet, network);
    this.dev.setUp();
    this.#own = lease;
  }

  /** Whether the next table can be taken as it is: nobody has changed what the last one made. */
  get intact(): boolean {
    if (!this.#shared || !this.#routes.intact || !this.#neighbours.intact || !this.#fdb.intact) {
      return false;
    }
    for (const slot of this.#direct.values()) if (!slot.intact) return false;
    return !this.#conf.directRouting || this.#underlay.signature() === this.#signature;
  }

  /** Takes the table's state, shared with all nodes. @param start the daemon has just started */
  attach(table: LeaseTable, start: boolean): void {
    const state = this.#stateOf(table);
    const subnet = this.family === 4 ? this.#own?.subnet : this.#own?.ipv6Subnet;
    const own = subnet === undefined ? [] : [subnet];
    const how = start ? "takeOver" : "attach";
    for (const name of state.direct.keys()) {
      if (!this.#direct.has(name)) this.#direct.set(name, this.#directSlot(name));
    }
    if (start)
      releaseLayers(this.#context.netns, this.family, [this.dev.name, ...this.#direct.keys()]);
    // Direct routes first: what was one and is in the tunnel now gives way to that.
    for (const [name, slot] of this.#direct) {
      slot[how](state.direct.get(name) ?? EMPTY, own);
    }
    this.#neighbours[how](
      state.neighbours,
      own.map((prefix) => prefix.address),
    );
    this.#fdb[how](state.fdb, this.#ownMacs(table));
    this.#routes[how](state.routes, own);
    this.#shared = true;
  }

  /** MACs that the node's own lease has had. */
  #ownMacs(table: LeaseTable): Mac[] {
    if (this.#own === undefined) return [];
    const key = subnetKey(this.#own);
    const lease = table.leases.get(key);
    const all = [...(table.history.get(key) ?? []).map((s) => s.lease), ...(lease ? [lease] : [])];
    return [...new Set(all.flatMap((l) => vtepMacOf(l, this.family) ?? []))];
  }

  #stateOf(table: LeaseTable): VxlanState {
    const key = `vxlan ${this.family}`;
    if (!this.#conf.directRouting) {
      return table.derive(key, () => renderVxlan(table, this.family, () => undefined));
    }
    this.#signature = this.#underlay.signature();
    const render = () =>
      renderVxlan(table, this.family, (a) => this.#underlay.directDevice(a)?.name);
    return this.#signature === undefined
      ? render()
      : table.derive(`${key} ${this.#signature}`, render);
  }

  #directSlot(name: string): RouteSlot {
    return new RouteSlot(this.#context.netns.device(name), this.family);
  }

  /** Goes on alone, lease by lease. */
  materialise(): void {
    if (!this.#shared) return;
    this.#shared = false;
    this.#routes.materialise();
    this.#neighbours.materialise();
    this.#fdb.materialise();
    for (const slot of this.#direct.values()) slot.materialise();
    this.#direct.clear();
  }

  /** Programs the way to one node; a step that fails undoes those before it. @returns whether all went well */
  add(lease: Lease): boolean {
    const side = sideOf(lease, this.family);
    const mac = vtepMacOf(lease, this.family);
    if (side === undefined || mac === undefined) return false;
    const { netns } = this.#context;
    const { subnet, publicIp } = side;
    if (this.#isDirect(side)) {
      const direct = () => netns.addRoute({ dst: subnet, via: publicIp }, "replace");
      return this.#logged(`Error adding route to ${subnet} via ${formatIp(publicIp)}`, direct);
    }
    const neighbours = netns.neighboursOf(this.dev);
    neighbours.replace(subnet.address, mac);
    this.dev.replaceFdb(mac, publicIp);
    const route = { dst: subnet, via: subnet.address, dev: this.dev, onlink: true };
    if (
      this.#logged(`failed to add vxlanRoute (${subnet})`, () => netns.addRoute(route, "replace"))
    ) {
      return true;
    }
    neighbours.delete(subnet.address);
    this.dev.deleteFdb(mac);
    return false;
  }

  /** Each step goes on where the one before failed. */
  remove(lease: Lease): void {
    const side = sideOf(lease, this.family);
    const mac = vtepMacOf(lease, this.family);
    if (side === undefined || mac === undefined) return;
    const { netns } = this.#context;
    const { subnet, publicIp } = side;
    if (this.#isDirect(side)) {
      this.#logged(`Error deleting route to ${subnet}`, () =>
        netns.deleteRoute({ dst: subnet, via: publicIp }),
      );
      return;
    }
    netns.neighboursOf(this.dev).delete(subnet.address);
    this.#logged("DelFDB failed", () => this.dev.deleteFdb(mac));
    const route = { dst: subnet, via: subnet.address, dev: this.dev };
    this.#logged(`failed to delete vxlanRoute (${subnet})`, () => netns.deleteRoute(route));
  }

  #isDirect({ publicIp }: LeaseSide): boolean {
    return this.#conf.directRouting && this.#underlay.directDevice(publicIp) !== undefined;
  }

  #logged(what: string, call: () => unknown): boolean {
    const error = attempt(call);
    if (error !== undefined) this.#context.log(`${what}: ${error.message}`);
    return error === undefined;
  }
}

/** The device, new unless there is one that will do (pkg/backend/vxlan/device.go ensureLink). */
function ensureDevice(context: BackendContext, conf: VxlanConf, family: IpFamily): Vxlan {
  const { netns, iface } = context;
  const name = `${family === 4 ? "flannel" : "flannel-v6"}.${conf.vni}`;
  const local = family === 4 ? iface.extAddress : iface.extV6Address;
  const existing = netns.findDevice(name);
  const fits = existing instanceof Vxlan && isCompatible(existing, conf, iface.dev, local);
  if (existing !== undefined && !fits) {
    context.log(`"${name}" already exists with incompatible configuration; recreating device`);
    existing.remove();
  }
  const dev = fits ? existing : createDevice(context, conf, family, name);
  ignoreRouters(netns, name);
  return dev;
}

/** A device whose MTU leaves no room for IPv6 has no such setting; flanneld does not mind (`newVXLANDevice`). */
function ignoreRouters(netns: NetNamespace, name: string): void {
  try {
    netns.sysctl.set(`net/ipv6/conf/${name}/accept_ra`, 0);
  } catch (error) {
    if (!(error instanceof KernelError && error.errno === "ENOENT")) throw error;
  }
}

function createDevice(
  { netns, iface, leases }: BackendContext,
  conf: VxlanConf,
  family: IpFamily,
  name: string,
): Vxlan {
  const local = family === 4 ? iface.extAddress : iface.extV6Address;
  let dev: Vxlan | undefined;
  const error = attempt(() => {
    dev = new Vxlan(netns, {
      name,
      mac: leases.storedMac(family) ?? netns.kernel.randomMac(),
      mtu: (conf.mtu ?? iface.dev.mtu) - ENCAP_OVERHEAD,
      vni: conf.vni,
      link: iface.dev,
      ...(local === undefined ? {} : { local }),
      ...(conf.port === 0 ? {} : { port: conf.port }),
      learning: conf.learning,
      groupPolicy: conf.gbp,
    });
  });
  if (dev !== undefined) return dev;
  throw new FlanneldError(`failed to create vxlan device: ${error?.message}`);
}

/** vxlanLinksIncompat; MTU and MAC are not looked at. */
function isCompatible(
  dev: Vxlan,
  conf: VxlanConf,
  link: NetDevice,
  local: Vxlan["local"],
): boolean {
  return (
    dev.vni === conf.vni &&
    dev.link === link &&
    (dev.local === undefined || local === undefined || dev.local === local) &&
    (conf.port === 0 || dev.port === conf.port) &&
    dev.groupPolicy === conf.gbp
  );
}
