import { addToIp, formatIp, type Prefix } from "@cnilab/net";
import type { HostNetworkService, WindowsMachine } from "@cnilab/windows";
import { type Backend, type BackendContext, plainAttributes } from "../backend/backend.ts";
import { NodeRoutes } from "../backend/route-backend.ts";
import type { Lease, LeaseAttributes } from "../lease/lease.ts";
import type { LeaseEvents, LeaseTable } from "../lease/lease-table.ts";
import { FlanneldError } from "../lease/subnet-manager.ts";
import { hnsCall } from "./hns-call.ts";

/** Name of the HNS network, and so of the CNI network. */
export const HOST_GW_NETWORK = "cbr0";

/**
 * host-gw on Windows (pkg/backend/hostgw/hostgw_windows.go): an l2bridge network for the node's pods, an endpoint in the
 * host that is their gateway, forwarding, and a route to every other node. IPv4 only.
 */
export class WindowsHostGwBackend implements Backend {
  readonly #context: BackendContext;
  readonly #machine: WindowsMachine;
  readonly #routes: NodeRoutes;
  #lease: Lease | undefined;

  /** @throws FlanneldError */
  constructor(context: BackendContext, machine: WindowsMachine) {
    const { iface } = context;
    if (iface.extAddress !== iface.ifaceAddress) {
      throw new FlanneldError(
        "your PublicIP differs from interface IP, meaning that probably you're on a NAT, which is not supported by host-gw backend",
      );
    }
    this.#context = context;
    this.#machine = machine;
    this.#routes = new NodeRoutes(context, {
      backendType: "host-gw",
      families: [4],
      // The card's addresses are on the host's vNIC by then.
      routeTo: () => ({ dev: machine.hns.vswitch?.management ?? iface.dev, onlink: false }),
    });
  }

  get mtu(): number {
    return this.#context.iface.dev.mtu;
  }

  register(acquire: (attributes: LeaseAttributes) => Lease): Lease {
    const lease = acquire(plainAttributes(this.#context.iface, "host-gw"));
    const { subnet } = lease;
    if (subnet === undefined) throw new FlanneldError("the node has no IPv4 pod range");
    const { hns, initNs } = this.#machine;
    const network = ensureNetwork(hns, subnet);
    ensureBridgeEndpoint(hns, network, subnet);
    initNs.sysctl.set("net.ipv4.ip_forward", 1);
    this.#lease = lease;
    return lease;
  }

  run(table: LeaseTable): void {
    this.#routes.run(table, this.#lease as Lease);
  }

  update(table: LeaseTable, events: LeaseEvents): void {
    this.#routes.update(table, events);
  }

  /** Network, endpoint and routes stay. */
  stop(): void {
    this.#routes.stop();
  }
}

/** @returns the network's ID */
function ensureNetwork(hns: HostNetworkService, subnet: Prefix): string {
  const existing = hns.getNetworkByName(HOST_GW_NETWORK);
  const fits = existing?.Ipams[0]?.Subnets[0]?.IpAddressPrefix === String(subnet);
  if (existing !== undefined && fits) return existing.ID;
  return hnsCall(`create HNSNetwork ${HOST_GW_NETWORK}`, () => {
    if (existing !== undefined) hns.deleteNetwork(existing.ID);
    const NextHop = formatIp(addToIp(subnet.address, 1));
    const created = hns.createNetwork({
      Name: HOST_GW_NETWORK,
      Type: "L2Bridge",
      Ipams: [
        {
          Type: "Static",
          Subnets: [
            {
              IpAddressPrefix: String(subnet),
              Routes: [{ NextHop, DestinationPrefix: "0.0.0.0/0" }],
            },
          ],
        },
      ],
    });
    return created.ID;
  });
}

/** The second address of the range: what pods take for their gateway. */
function ensureBridgeEndpoint(hns: HostNetworkService, network: string, subnet: Prefix): void {
  const name = `${HOST_GW_NETWORK}_ep`;
  if (hns.getEndpointByName(name) !== undefined) return;
  hnsCall(`create bridge HNSEndpoint ${name}`, () => {
    const IpAddress = formatIp(addToIp(subnet.address, 2));
    const endpoint = hns.createEndpoint(network, { Name: name, IpConfigurations: [{ IpAddress }] });
    hns.hostAttach(endpoint.ID);
  });
}
