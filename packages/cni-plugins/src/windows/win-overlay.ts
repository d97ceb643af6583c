import type { CniCall, CniPlugin, CniResult } from "@cnilab/core";
import { formatIp, parseIp } from "@cnilab/net";
import type { HostComputeNetwork } from "@cnilab/windows";
import { ipamStatus, ipamType, orRelease } from "../delegate-ipam.ts";
import { failure } from "../failure.ts";
import { configuredPolicies, withLoopbackDsr, withOutboundNat } from "./endpoint-policies.ts";
import { addHcnEndpoint, firstAddress, hcnNetworkOf, removeHcnEndpoint } from "./hcn-endpoint.ts";

const DEFAULT_MAC_PREFIX = "0E-2A";

/** Joins a container to an overlay network of HNS (plugins/main/windows/win-overlay, API version 2). IPv4 only. */
export const winOverlay: CniPlugin = {
  type: "win-overlay",

  add(call: CniCall): CniResult {
    const { config } = call;
    const prefix = (config["endpointMacPrefix"] as string | undefined) || DEFAULT_MAC_PREFIX;
    if (prefix.length !== 5 || prefix[2] !== "-") {
      throw failure(`endpointMacPrefix [${prefix}] is invalid, value must be of the format xx-xx`);
    }
    const network = hcnNetworkOf(call, "Overlay");
    const address = firstAddress(call);
    return orRelease(call, () => {
      if (typeof address.address !== "number") {
        throw failure("IPAM plugin return is missing valid IP Address");
      }
      const dsr = withLoopbackDsr(configuredPolicies(call), call, formatIp(address.address));
      const subnet = network.Ipams[0]?.Subnets[0];
      const policies =
        config["ipMasq"] === true ? withOutboundNat(dsr, subnet?.IpAddressPrefix ?? "") : dsr;
      return addHcnEndpoint(call, network, {
        address,
        gateway: parseIp(subnet?.Routes[0]?.NextHop ?? ""),
        mac: macOf(prefix, address.address),
        policies: [...policies, providerAddressOf(network)],
      });
    });
  },

  del: removeHcnEndpoint,

  /** The real one looks at nothing either. */
  check(): void {},

  status(call: CniCall): void {
    if (ipamType(call) !== "") ipamStatus(call);
  },
};

/** The prefix and the four octets of the address: no two endpoints of the overlay are the same. */
function macOf(prefix: string, address: number): string {
  const octets = [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff);
  return [prefix, ...octets.map((o) => o.toString(16).padStart(2, "0"))].join("-");
}

/** The node's address, as HNS tells it of the network (`ApplyDefaultPAPolicy`). */
function providerAddressOf({ Policies }: HostComputeNetwork): {
  readonly Type: "ProviderAddress";
  readonly Settings: { readonly ProviderAddress: string };
} {
  for (const policy of Policies) if (policy.Type === "ProviderAddress") return policy;
  return { Type: "ProviderAddress", Settings: { ProviderAddress: "" } };
}
