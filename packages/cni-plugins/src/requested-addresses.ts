import type { CniCall, CniIp, CniPlugin, CniResult, CniRoute, PluginConfig } from "@cnilab/core";
import { RT_SCOPE_LINK } from "@cnilab/linux";
import { familyOf, formatIp, type IpAddress } from "@cnilab/net";
import { hostLocal } from "./host-local/host-local.ts";
import { loadIpamConfig } from "./host-local/ipam-config.ts";
import { type RangeSet, rangeFor } from "./host-local/range.ts";
import { asVersion, CURRENT_VERSION } from "./result-version.ts";

/**
 * host-local for one pod that is to have certain addresses. Those of the node's ranges are allocated as by
 * the `ips` capability. One from outside is given as it is: on the pod's interface with the range's gateway
 * and prefix length, so that bridges accept the gateway, and a route by which the pod reaches the gateway.
 */
export class RequestedAddresses implements CniPlugin {
  readonly type = "host-local";
  readonly #requested: readonly IpAddress[];

  constructor(requested: readonly IpAddress[]) {
    this.#requested = requested;
  }

  add(call: CniCall): CniResult {
    const { ranges, routes } = loadIpamConfig(call.config);
    const outside = this.#outside(ranges);
    const inside = this.#requested.filter((ip) => !outside.includes(ip));
    const allocated = ranges.filter((set) => outsideFor(set, outside) === undefined);
    const fromRanges =
      allocated.length === 0 ? undefined : hostLocal.add(withRequest(call, allocated, inside));
    const left = [...(fromRanges?.ips ?? [])];
    const ips: CniIp[] = [];
    const onLink: CniRoute[] = [];
    for (const set of ranges) {
      const ip = outsideFor(set, outside);
      const [range] = set;
      if (ip === undefined || range === undefined) {
        const next = left.shift();
        if (next !== undefined) ips.push(next);
        continue;
      }
      const gateway = formatIp(range.gateway);
      ips.push({ address: `${formatIp(ip)}/${range.subnet.length}`, gateway });
      if (!range.subnet.contains(ip)) onLink.push(onLinkRoute(range.gateway));
    }
    const result: CniResult = {
      cniVersion: CURRENT_VERSION,
      ips,
      routes: [...onLink, ...(routes ?? [])],
    };
    return asVersion(result, call.config.cniVersion);
  }

  del(call: CniCall): void {
    hostLocal.del(call);
  }

  check(call: CniCall): void {
    const { ranges } = loadIpamConfig(call.config);
    const outside = this.#outside(ranges);
    if (ranges.some((set) => outsideFor(set, outside) === undefined)) hostLocal.check(call);
  }

  #outside(ranges: readonly RangeSet[]): IpAddress[] {
    return this.#requested.filter((ip) => ranges.every((set) => rangeFor(set, ip) === undefined));
  }
}

/** The address from outside that stands for one of a range set: that of its family. */
function outsideFor(set: RangeSet, outside: readonly IpAddress[]): IpAddress | undefined {
  return outside.find((ip) => familyOf(ip) === set[0]?.subnet.family);
}

/** The configuration with some of its ranges only, and the addresses that are wanted of them. */
function withRequest(
  call: CniCall,
  ranges: readonly RangeSet[],
  wanted: readonly IpAddress[],
): CniCall {
  const { subnet: _, ...section } = call.config.ipam as {
    readonly type: string;
    readonly subnet?: string;
  };
  const config: PluginConfig = {
    ...call.config,
    runtimeConfig: { ...call.config.runtimeConfig, ips: wanted.map(formatIp) },
    ipam: {
      ...section,
      ranges: ranges.map((set) =>
        set.map((range) => ({
          subnet: String(range.subnet),
          rangeStart: formatIp(range.start),
          rangeEnd: formatIp(range.end),
          gateway: formatIp(range.gateway),
        })),
      ),
    },
  };
  return { ...call, config };
}

/** To the gateway itself no gateway leads: zeros stand for none. */
function onLinkRoute(gateway: IpAddress): CniRoute {
  return typeof gateway === "number"
    ? { dst: `${formatIp(gateway)}/32`, gw: "0.0.0.0", scope: RT_SCOPE_LINK }
    : { dst: `${formatIp(gateway)}/128`, gw: "::" };
}
