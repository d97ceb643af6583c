import { type IpAddress, tryParsePrefix } from "@cnilab/net";
import {
  EndpointFlagsRemoteEndpoint,
  formatWindowsMac,
  type HcnEndpointPolicy,
  type HostComputeEndpoint,
  type HostComputeNetwork,
  type HostNetworkService,
  isRemote,
} from "@cnilab/windows";

/**
 * The HNS endpoints of a network as one sync sees them: those of the node's pods, and remote ones that kube-proxy makes for
 * what is elsewhere, each as long as a service port refers to it.
 */
export class HnsEndpoints {
  readonly #hns: HostNetworkService;
  #network: HostComputeNetwork;
  #byIp = new Map<string, HostComputeEndpoint>();
  readonly #references = new Map<string, number>();

  constructor(hns: HostNetworkService, network: HostComputeNetwork) {
    this.#hns = hns;
    this.#network = network;
  }

  /** Asks HNS anew; where it has both, a remote endpoint stands before a local one with its address. */
  query(network: HostComputeNetwork): void {
    this.#network = network;
    this.#byIp = new Map();
    for (const endpoint of this.#hns.listEndpointsOfNetwork(network.ID)) {
      for (const { IpAddress } of endpoint.IpConfigurations) {
        if (this.#byIp.has(IpAddress) && !isRemote(endpoint)) continue;
        this.#byIp.set(IpAddress, endpoint);
      }
    }
  }

  find(ip: string): HostComputeEndpoint | undefined {
    return this.#byIp.get(ip);
  }

  /** @param fields MAC, and on an overlay the node where the address is. @throws HcnError */
  create(
    ip: string,
    fields: {
      readonly mac: string;
      readonly remote: boolean;
      readonly providerAddress?: string | undefined;
    },
  ): HostComputeEndpoint {
    const policies: HcnEndpointPolicy[] =
      fields.providerAddress === undefined || !fields.remote
        ? []
        : [
            {
              Type: "ProviderAddress",
              Settings: { ProviderAddress: fields.providerAddress },
            },
          ];
    const endpoint = this.#hns.createEndpoint(this.#network.ID, {
      IpConfigurations: [{ IpAddress: ip }],
      MacAddress: fields.mac,
      Policies: policies,
      Flags: fields.remote ? EndpointFlagsRemoteEndpoint : 0,
    });
    this.#byIp.set(ip, endpoint);
    return endpoint;
  }

  refer(id: string): void {
    this.#references.set(id, (this.#references.get(id) ?? 0) + 1);
  }

  release(id: string): void {
    this.#references.set(id, (this.#references.get(id) ?? 1) - 1);
  }

  /** Deletes remote endpoints that nobody refers to any more. */
  deleteUnused(): void {
    for (const [id, count] of this.#references) {
      if (count > 0) continue;
      this.#references.delete(id);
      const there = [...this.#byIp].find(([, endpoint]) => endpoint.ID === id);
      if (there === undefined) continue;
      this.#hns.deleteEndpoint(id);
      this.#byIp.delete(there[0]);
    }
  }

  /** The node whose pods have the address, or whose own it is; `undefined` for one outside of the overlay. */
  providerAddressOf(ip: string, address: IpAddress): string | undefined {
    for (const policy of this.#network.Policies) {
      if (policy.Type !== "RemoteSubnetRoute") continue;
      const { DestinationPrefix, ProviderAddress } = policy.Settings;
      if (ip === ProviderAddress) return ProviderAddress;
      if (tryParsePrefix(DestinationPrefix)?.contains(address)) return ProviderAddress;
    }
    return undefined;
  }
}

/** A MAC for an endpoint that has none here; it never reaches a wire (`conjureMac`). */
export function conjureMac(address: IpAddress): string {
  if (typeof address === "number") return formatWindowsMac(0x0211 * 2 ** 32 + address);
  const octets = [0, 8, 16, 24].map((shift) => (address.d >>> shift) & 0xff);
  return formatWindowsMac(octets.reduce((mac, octet) => mac * 256 + octet, 0x0211));
}
