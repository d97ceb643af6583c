import type { CniCall, CniPlugin, CniResult } from "@cnilab/core";
import { addToIp, formatIp, maskIp } from "@cnilab/net";
import { ipamStatus, ipamType, orRelease } from "../delegate-ipam.ts";
import {
  configuredPolicies,
  withLoopbackDsr,
  withOutboundNat,
  withPortMappings,
} from "./endpoint-policies.ts";
import { addHcnEndpoint, firstAddress, hcnNetworkOf, removeHcnEndpoint } from "./hcn-endpoint.ts";

/** Joins a container to an l2bridge network of HNS (plugins/main/windows/win-bridge, API version 2). */
export const winBridge: CniPlugin = {
  type: "win-bridge",

  add(call: CniCall): CniResult {
    const network = hcnNetworkOf(call, "L2Bridge");
    const address = firstAddress(call);
    // The second address of the network is the node's endpoint, which routes for its containers.
    const gateway = addToIp(maskIp(address.address, address.length), 2);
    const masqNetwork = (call.config["ipMasqNetwork"] as string | undefined) ?? "";
    const nat = withOutboundNat(configuredPolicies(call), masqNetwork);
    const dsr = withLoopbackDsr(nat, call, formatIp(address.address));
    const policies = withPortMappings(dsr, call);
    return orRelease(call, () => addHcnEndpoint(call, network, { address, gateway, policies }));
  },

  del: removeHcnEndpoint,

  /** The real one looks at nothing either. */
  check(): void {},

  status(call: CniCall): void {
    if (ipamType(call) !== "") ipamStatus(call);
  },
};
