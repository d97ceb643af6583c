import { RouteLayer, type SharedRoute } from "@cnilab/linux";
import type { IpAddress, IpFamily, Mac, Prefix } from "@cnilab/net";
import { sideOf } from "../lease/lease.ts";
import type { LeaseStep, LeaseTable } from "../lease/lease-table.ts";
import { vtepMacOf } from "../lease/vtep.ts";

/** What all nodes have for all leases in one family, each but for its own. */
export interface VxlanState {
  /** `<subnet> via <first address of it> dev flannel.1 onlink` */
  readonly routes: RouteLayer;
  /** The first address of a subnet is at its node's VTEP. */
  readonly neighbours: ReadonlyMap<IpAddress, Mac>;
  /** A VTEP is at its node's public address. */
  readonly fdb: ReadonlyMap<Mac, IpAddress>;
  /** `<subnet> via <public address>`, by the device they leave by, for nodes that need no tunnel. */
  readonly direct: ReadonlyMap<string, RouteLayer>;
}

/** What is there for one subnet. */
interface SubnetState {
  /** Into the tunnel, or by a device of the node's own to a public address. */
  route: SharedRoute | undefined;
  /** `undefined` for the tunnel. */
  routeDev: string | undefined;
  neighbour: Mac | undefined;
  readonly fdb: Map<Mac, IpAddress>;
}

/**
 * The state that the vxlan backend comes to with a table of leases (pkg/backend/vxlan/vxlan_network.go).
 * @param directDevice name of the device by which a public address is reached without a gateway, if direct routing is on
 */
export function renderVxlan(
  table: LeaseTable,
  family: IpFamily,
  directDevice: (address: IpAddress) => string | undefined,
): VxlanState {
  const routes: SharedRoute[] = [];
  const neighbours = new Map<IpAddress, Mac>();
  const fdb = new Map<Mac, IpAddress>();
  const direct = new Map<string, SharedRoute[]>();
  for (const steps of table.steps()) {
    const state: SubnetState = {
      route: undefined,
      routeDev: undefined,
      neighbour: undefined,
      fdb: new Map(),
    };
    for (const step of steps) apply(state, step, family, directDevice);
    const subnet = subnetOf(steps, family);
    if (subnet !== undefined && state.neighbour !== undefined) {
      neighbours.set(subnet.address, state.neighbour);
    }
    for (const [mac, remote] of state.fdb) fdb.set(mac, remote);
    if (state.route === undefined) continue;
    if (state.routeDev === undefined) routes.push(state.route);
    else {
      const there = direct.get(state.routeDev);
      if (there === undefined) direct.set(state.routeDev, [state.route]);
      else there.push(state.route);
    }
  }
  return {
    routes: new RouteLayer(routes),
    neighbours,
    fdb,
    direct: new Map([...direct].map(([dev, list]) => [dev, new RouteLayer(list)])),
  };
}

function subnetOf(steps: readonly LeaseStep[], family: IpFamily): Prefix | undefined {
  const lease = steps[0]?.lease;
  return family === 4 ? lease?.subnet : lease?.ipv6Subnet;
}

/** What one event does: leases that are not vxlan's, or make no sense, are passed over. */
function apply(
  state: SubnetState,
  { what, lease }: LeaseStep,
  family: IpFamily,
  directDevice: (address: IpAddress) => string | undefined,
): void {
  const side = sideOf(lease, family);
  const mac = vtepMacOf(lease, family);
  if (side === undefined || mac === undefined) return;
  const { subnet, publicIp } = side;
  const dev = directDevice(publicIp);
  const route: SharedRoute =
    dev === undefined
      ? { prefix: subnet, gateway: subnet.address, onlink: true }
      : { prefix: subnet, gateway: publicIp, onlink: false };
  if (what === "added") {
    state.route = route;
    state.routeDev = dev;
    if (dev !== undefined) return; // what the tunnel had stays
    state.neighbour = mac;
    state.fdb.set(mac, publicIp);
    return;
  }
  if (state.routeDev === dev && state.route?.gateway === route.gateway) state.route = undefined;
  if (dev !== undefined) return;
  state.neighbour = undefined;
  if (state.fdb.get(mac) === publicIp) state.fdb.delete(mac);
}
