import { formatIp, type IpAddress, type IpFamily, Prefix } from "@cnilab/net";
import type { HostComputeLoadBalancer, LoadBalancerPortMapping } from "../hcn/load-balancer.ts";
import {
  LoadBalancerDistributionNone,
  LoadBalancerFlagsDSR,
  LoadBalancerPortMappingFlagsVipExternalIP,
} from "../hcn/load-balancer.ts";
import { LoadBalancerPolicy } from "../vfp/load-balancer-policy.ts";
import { type VfpAction, type VfpCondition, VfpRule } from "../vfp/vfp-rule.ts";
import type { RuleSet } from "./rule-set.ts";
import type { ContainerPort, SwitchTables } from "./switch-tables.ts";

/** Priority of load-balancing rules; this model's own. */
const LB_PRIORITY = 100;

/** An endpoint that a load balancer sends to. */
export interface Backend {
  readonly address: IpAddress;
  /** Its port at this switch; `undefined` for one on another node. */
  readonly port: ContainerPort | undefined;
}

export interface LoadBalancerFacts {
  readonly family: IpFamily;
  /** Addresses that it answers to. */
  readonly frontends: readonly IpAddress[];
  readonly sourceVip: IpAddress | undefined;
  readonly backends: readonly Backend[];
  /** The node's own address of the family. */
  readonly node: IpAddress;
}

/**
 * The rules of one load balancer (Microsoft's DSRLoadBalancerPolicyVfpRules test names those of containers' ports): with
 * direct server return each container's port translates by itself; without it the VIP leaves the container, and the
 * host's port translates, with a source of the host's own. What comes from outside always meets the host's port.
 * @returns the policies behind the rules, one a port mapping
 */
export function addLoadBalancerRules(
  rules: RuleSet,
  tables: SwitchTables,
  object: HostComputeLoadBalancer,
  facts: LoadBalancerFacts,
): LoadBalancerPolicy[] {
  return object.PortMappings.map((mapping) => addMapping(rules, tables, object, mapping, facts));
}

function addMapping(
  rules: RuleSet,
  tables: SwitchTables,
  object: HostComputeLoadBalancer,
  mapping: LoadBalancerPortMapping,
  { family, frontends, sourceVip, backends, node }: LoadBalancerFacts,
): LoadBalancerPolicy {
  const { Protocol, InternalPort, ExternalPort, DistributionType, Flags } = mapping;
  const dsr = (object.Flags & LoadBalancerFlagsDSR) !== 0;
  const external = (Flags & LoadBalancerPortMappingFlagsVipExternalIP) !== 0;
  const policy = new LoadBalancerPolicy({
    id: object.ID,
    dips: backends.map(({ address }) => ({ address, port: InternalPort })),
    distribution: DistributionType === LoadBalancerDistributionNone ? "5-tuple" : "source-ip",
    dsr,
    sourceVip,
    origin: object.origin,
  });
  const id = object.ID.slice(0, 5);
  const lbnat: VfpAction = { type: "lbnat", policy };
  for (const vip of frontends) {
    const condition: VfpCondition = {
      protocols: [Protocol],
      destinations: [Prefix.host(vip)],
      destinationPorts: [ExternalPort],
    };
    const rule = (name: string, action: VfpAction) =>
      new VfpRule(name, LB_PRIORITY, condition, action, object.origin);
    const what = `${formatIp(vip)}_${ExternalPort}_${InternalPort}_${Protocol}`;
    const host = rule(`LB_HOST_${id}_${what}`, lbnat);
    rules.add(tables.hostOut, host);
    if (!dsr || external) rules.add(tables.hostIn, rule(host.name, lbnat));
    if (!dsr) continue;
    rules.add(tables.lbDsr[family], rule(`LB_DSR_${id}_${formatIp(node)}_${what}`, lbnat));
    for (const { address, port } of external ? backends : []) {
      if (port === undefined) continue;
      const name = `NAT_${id}_${formatIp(vip)}_${ExternalPort}_${Protocol}`;
      const dnat: VfpAction = { type: "dnat", address, port: InternalPort };
      rules.add(port.nat.of("IN", family), rule(name, dnat));
    }
  }
  return policy;
}
