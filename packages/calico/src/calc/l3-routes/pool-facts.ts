import { type Prefix, tryParsePrefix } from "@cnilab/net";
import type { IPPool } from "../../api/v3/ip-pool.ts";
import type { IpPoolType } from "../messages.ts";

/** What an IP pool says about the routes to addresses in it. */
export interface PoolFacts {
  readonly name: string;
  readonly cidr: Prefix;
  readonly type: IpPoolType;
  readonly natOutgoing: boolean;
  readonly crossSubnet: boolean;
  readonly ipip: boolean;
  readonly vxlan: boolean;
}

/** `felix/calc/l3_route_resolver.go` getPoolInfo; nothing for a range that cannot be read. */
export function poolFacts({ metadata, spec }: IPPool): PoolFacts | undefined {
  const cidr = tryParsePrefix(spec.cidr);
  if (cidr === undefined) return undefined;
  const ipip = isOn(spec.ipipMode);
  const vxlan = isOn(spec.vxlanMode);
  return {
    name: metadata.name,
    cidr,
    type: poolType(spec.allowedUses, ipip, vxlan),
    natOutgoing: spec.natOutgoing === true,
    crossSubnet: spec.ipipMode === "CrossSubnet" || spec.vxlanMode === "CrossSubnet",
    ipip,
    vxlan,
  };
}

function isOn(mode: string | undefined): boolean {
  return mode === "Always" || mode === "CrossSubnet";
}

/** A pool for load balancers alone has no pods, and no routes are on its account (isLoadBalancerOnlyPool). */
function poolType(uses: readonly string[] | undefined, ipip: boolean, vxlan: boolean): IpPoolType {
  if (uses?.length === 1 && uses[0] === "LoadBalancer") return "NONE";
  if (vxlan) return "VXLAN";
  return ipip ? "IPIP" : "NO_ENCAP";
}
