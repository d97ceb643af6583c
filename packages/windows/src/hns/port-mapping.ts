import { familyOf, formatIp, type IpAddress, isUnspecified } from "@cnilab/net";
import type { HcnEndpointPolicy } from "../hcn/endpoint.ts";
import { hcnAddress } from "../hcn/hcn-address.ts";
import {
  type HostComputeLoadBalancer,
  LoadBalancerDistributionNone,
  LoadBalancerPortMappingFlagsVipExternalIP,
} from "../hcn/load-balancer.ts";
import type { HnsEndpoint } from "./hns-endpoint.ts";
import { addLoadBalancerRules } from "./load-balancer-rules.ts";
import type { SwitchTables } from "./switch-tables.ts";

/** Host ports: for VFP a load balancer with one endpoint, that answers at the node's addresses. @throws HcnError */
export function addPortMappings(
  endpoint: HnsEndpoint,
  tables: SwitchTables,
  nodeAddresses: readonly IpAddress[],
): void {
  for (const policy of endpoint.object.Policies) {
    if (policy.Type !== "PortMapping") continue;
    const vip = policy.Settings.VIP === "" ? undefined : hcnAddress(policy.Settings.VIP);
    for (const node of nodeAddresses) {
      const frontend = vip === undefined || isUnspecified(vip) ? node : vip;
      if (familyOf(frontend) === familyOf(node)) {
        addMapping(endpoint, tables, policy.Settings, frontend, node);
      }
    }
  }
}

function addMapping(
  { object, addresses, port, rules }: HnsEndpoint,
  tables: SwitchTables,
  settings: Extract<HcnEndpointPolicy, { Type: "PortMapping" }>["Settings"],
  frontend: IpAddress,
  node: IpAddress,
): void {
  const { InternalPort, ExternalPort, Protocol } = settings;
  const family = familyOf(node);
  const mapping = {
    Protocol,
    InternalPort,
    ExternalPort,
    DistributionType: LoadBalancerDistributionNone,
    Flags: LoadBalancerPortMappingFlagsVipExternalIP,
  };
  const balancer: HostComputeLoadBalancer = {
    ID: object.ID,
    HostComputeEndpoints: [object.ID],
    SourceVIP: "",
    FrontendVIPs: [formatIp(frontend)],
    PortMappings: [mapping],
    Flags: 0,
    origin: undefined,
  };
  const backends = addresses
    .filter((a) => familyOf(a) === family)
    .map((address) => ({ address, port }));
  addLoadBalancerRules(rules, tables, balancer, {
    family,
    frontends: [frontend],
    sourceVip: undefined,
    backends,
    node,
  });
}
