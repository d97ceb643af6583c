import { addToIp, formatIp, formatMac, type Prefix } from "@cnilab/net";
import {
  HcnError,
  type HcnNetworkPolicy,
  type HostComputeNetwork,
  type HostNetworkService,
  parseWindowsMac,
  WINDOWS_VXLAN_PORT,
  type WindowsMachine,
} from "@cnilab/windows";
import type { Backend, BackendContext } from "../backend/backend.ts";
import type { VxlanConf } from "../conf/backend-conf.ts";
import { JsonObject } from "../conf/json-object.ts";
import { isOwn, type Lease, type LeaseAttributes, sideOf } from "../lease/lease.ts";
import type { LeaseEvents, LeaseTable } from "../lease/lease-table.ts";
import { FlanneldError } from "../lease/subnet-manager.ts";
import { vtepMacOf, vxlanData } from "../lease/vtep.ts";
import { hnsCall } from "./hns-call.ts";

/** The least VNI that Windows takes. */
const LEAST_VNI = 4096;
const ENCAP_OVERHEAD = 50;

/** Name of the HNS network, and so of the CNI network. */
export function vxlanNetworkName(conf: VxlanConf): string {
  return `flannel.${conf.vni}`;
}

/**
 * vxlan on Windows (pkg/backend/vxlan/vxlan_windows.go, vxlan_network_windows.go): an overlay network of HNS, and in it a remote subnet
 * for every other node. Nobody is told of the node before HNS has chosen the MAC of its distributed router. IPv4 only.
 */
export class WindowsVxlanBackend implements Backend {
  readonly #context: BackendContext;
  readonly #conf: VxlanConf;
  readonly #hns: HostNetworkService;
  #network: HostComputeNetwork | undefined;
  #lease: Lease | undefined;

  /** @throws FlanneldError for what Windows has not */
  constructor(context: BackendContext, conf: VxlanConf, { hns }: WindowsMachine) {
    const refuse = (what: string) =>
      new FlanneldError(`invalid VXLAN backend config. ${what} on Windows`);
    if (conf.vni < LEAST_VNI) {
      throw refuse(`VNI [${conf.vni}] must be greater than or equal to ${LEAST_VNI}`);
    }
    // Without a port the daemon takes 4789 here, and 8472 on Linux.
    if (conf.port !== 0 && conf.port !== WINDOWS_VXLAN_PORT) {
      throw refuse(`Port [${conf.port}], other than ${WINDOWS_VXLAN_PORT}, is not supported`);
    }
    if (conf.directRouting) throw refuse("DirectRouting is not supported");
    if (conf.gbp) throw refuse("GBP is not supported");
    this.#context = context;
    this.#conf = conf;
    this.#hns = hns;
  }

  get mtu(): number {
    return this.#context.iface.dev.mtu - ENCAP_OVERHEAD;
  }

  register(acquire: (attributes: LeaseAttributes) => Lease): Lease {
    const { subnet } = acquire(
      this.#attributes(JSON.stringify({ VNI: this.#conf.vni, VtepMAC: "" })),
    );
    if (subnet === undefined) throw new FlanneldError("the node has no IPv4 pod range");
    const network = this.#ensureNetwork(subnet);
    this.#network = network;
    const mac = parseWindowsMac(routerMac(network));
    if (mac === undefined) throw new FlanneldError(`cannot parse DR MAC of ${network.Name}`);
    this.#lease = acquire(this.#attributes(vxlanData(this.#conf.vni, mac)));
    return this.#lease;
  }

  #attributes(backendData: string): LeaseAttributes {
    return {
      publicIp: this.#context.iface.extAddress,
      publicIpv6: undefined,
      backendType: "vxlan",
      backendData,
      backendV6Data: "null",
    };
  }

  #ensureNetwork(subnet: Prefix): HostComputeNetwork {
    const hns = this.#hns;
    const Name = vxlanNetworkName(this.#conf);
    const existing = hns.getNetworkByName(Name);
    const fits = existing?.Ipams[0]?.Subnets[0]?.IpAddressPrefix === String(subnet);
    if (existing !== undefined && fits) return existing;
    return hnsCall(`create HostComputeNetwork ${Name}`, () => {
      if (existing !== undefined) hns.deleteNetwork(existing.ID);
      const NextHop = formatIp(addToIp(subnet.address, 1));
      const { ID } = hns.createNetwork({
        Name,
        Type: "Overlay",
        Ipams: [
          {
            Type: "Static",
            Subnets: [
              {
                IpAddressPrefix: String(subnet),
                Routes: [{ NextHop, DestinationPrefix: "0.0.0.0/0" }],
                Policies: [{ Type: "VSID", Settings: { IsolationId: this.#conf.vni } }],
              },
            ],
          },
        ],
        Policies: [
          {
            Type: "NetAdapterName",
            Settings: { NetworkAdapterName: this.#context.iface.dev.name },
          },
        ],
      });
      hns.addNetworkPolicy(ID, { Type: "HostRoute", Settings: {} });
      return hns.getNetworkByName(Name) as HostComputeNetwork;
    });
  }

  run(table: LeaseTable): void {
    for (const lease of table.leases.values()) this.#change(lease, true);
  }

  update(_table: LeaseTable, { added, removed }: LeaseEvents): void {
    for (const lease of removed) this.#change(lease, false);
    for (const lease of added) this.#change(lease, true);
  }

  #change(lease: Lease, isAdded: boolean): void {
    if (isOwn(lease, this.#lease) || this.#network === undefined) return;
    const policy = this.#remoteSubnet(lease);
    if (policy === undefined) return;
    try {
      // A changed one takes the place of the old.
      this.#hns.removeNetworkPolicy(this.#network.ID, policy);
      if (isAdded) this.#hns.addNetworkPolicy(this.#network.ID, policy);
    } catch (error) {
      if (!(error instanceof HcnError)) throw error;
      this.#context.log(error.message);
    }
  }

  /** `undefined` for a lease that Windows cannot use, or whose node has no router yet. */
  #remoteSubnet(lease: Lease): HcnNetworkPolicy | undefined {
    const { backendType } = lease.attributes;
    if (backendType !== "vxlan") {
      this.#context.log(`ignoring non-vxlan subnet(${lease.subnet}): type=${backendType}`);
      return undefined;
    }
    const side = sideOf(lease, 4);
    const mac = vtepMacOf(lease, 4);
    if (side === undefined || mac === undefined) return undefined;
    const vni = JsonObject.parse(side.data, "backend-data").integer("VNI", 0, 0xffffff) ?? 0;
    if (vni < LEAST_VNI) {
      this.#context.log(
        `VNI is ${vni} but it is required to be greater than or equal to ${LEAST_VNI} on Windows.`,
      );
      return undefined;
    }
    return {
      Type: "RemoteSubnetRoute",
      Settings: {
        DestinationPrefix: String(side.subnet),
        IsolationId: vni,
        ProviderAddress: formatIp(side.publicIp),
        DistributedRouterMacAddress: formatMac(mac),
      },
    };
  }

  /** The network stays, with its remote subnets. */
  stop(): void {}
}

function routerMac({ Policies }: HostComputeNetwork): string {
  for (const policy of Policies) if (policy.Type === "DrMacAddress") return policy.Settings.Address;
  return "";
}
