import { RouteLayer, type SharedRoute } from "@cnilab/linux";
import type { IpAddress, IpFamily, Mac } from "@cnilab/net";
import { sideOf } from "../lease/lease.ts";
import type { LeaseTable } from "../lease/lease-table.ts";
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

/**
 * The state that the vxlan backend wants for a table of leases (pkg/backend/vxlan/vxlan_network.go).
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
  for (const { family: its, mac, remote } of table.stale) {
    if (its === family && directDevice(remote) === undefined) fdb.set(mac, remote);
  }
  for (const lease of table.leases.values()) {
    const side = sideOf(lease, family);
    const mac = vtepMacOf(lease, family);
    if (side === undefined || mac === undefined) continue;
    const { subnet, publicIp } = side;
    const dev = directDevice(publicIp);
    if (dev !== undefined) {
      const route = { prefix: subnet, gateway: publicIp, onlink: false };
      const there = direct.get(dev);
      if (there === undefined) direct.set(dev, [route]);
      else there.push(route);
      continue;
    }
    neighbours.set(subnet.address, mac);
    fdb.set(mac, publicIp);
    routes.push({ prefix: subnet, gateway: subnet.address, onlink: true });
  }
  return {
    routes: new RouteLayer(routes),
    neighbours,
    fdb,
    direct: new Map([...direct].map(([dev, list]) => [dev, new RouteLayer(list)])),
  };
}
