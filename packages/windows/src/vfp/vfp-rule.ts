import type { Origin } from "@cnilab/core";
import type { FilterRule } from "@cnilab/linux";
import {
  formatEndpoint,
  formatIp,
  formatMac,
  type IpAddress,
  type Mac,
  type Prefix,
} from "@cnilab/net";
import type { FlowTuple } from "./flow-tuple.ts";
import type { LoadBalancerPolicy } from "./load-balancer-policy.ts";

/** What a packet must be like; what is absent does not matter. */
export interface VfpCondition {
  /** IP protocol numbers. */
  readonly protocols?: readonly number[];
  readonly sources?: readonly Prefix[];
  readonly destinations?: readonly Prefix[];
  /** Destinations that the rule leaves alone. */
  readonly exceptions?: readonly Prefix[];
  readonly sourcePorts?: readonly number[];
  readonly destinationPorts?: readonly number[];
}

/** What a rule does; the types are those that `vfpctrl` names where it is known to have one. */
export type VfpAction =
  | { readonly type: "allow" }
  | { readonly type: "block" }
  /** To a backend of a load balancer. */
  | { readonly type: "lbnat"; readonly policy: LoadBalancerPolicy }
  /** To one destination, as a server that gets packets with the VIP does. */
  | { readonly type: "dnat"; readonly address: IpAddress; readonly port: number }
  /** From another source, with a port out of a pool. */
  | { readonly type: "dynnat"; readonly address: IpAddress }
  /** Into VXLAN. */
  | {
      readonly type: "encap";
      readonly vni: number;
      readonly providerAddress: IpAddress;
      /** Destination MAC inside: the other node's distributed router. */
      readonly mac: Mac;
    };

/** One row of a match-action table. Immutable. */
export class VfpRule implements FilterRule {
  readonly name: string;
  /** The lowest wins. */
  readonly priority: number;
  readonly condition: VfpCondition;
  readonly action: VfpAction;
  readonly origin: Origin | undefined;
  /** Layer and group; set by the group that holds it. */
  location = "";

  constructor(
    name: string,
    priority: number,
    condition: VfpCondition,
    action: VfpAction,
    origin?: Origin,
  ) {
    this.name = name;
    this.priority = priority;
    this.condition = condition;
    this.action = action;
    this.origin = origin;
  }

  matches({ protocol, src, dst, srcPort, dstPort }: FlowTuple): boolean {
    const c = this.condition;
    return (
      (c.protocols === undefined || c.protocols.includes(protocol)) &&
      (c.destinationPorts === undefined || c.destinationPorts.includes(dstPort)) &&
      (c.destinations === undefined || contains(c.destinations, dst)) &&
      (c.sourcePorts === undefined || c.sourcePorts.includes(srcPort)) &&
      (c.sources === undefined || contains(c.sources, src)) &&
      (c.exceptions === undefined || !contains(c.exceptions, dst))
    );
  }

  /** On one line; `vfpctrl /list-rule` spreads it over a dozen. */
  get text(): string {
    const conditions = conditionTexts(this.condition).map(([what, value]) => `${what} ${value}`);
    const when = conditions.length === 0 ? "any" : conditions.join(", ");
    return `${this.name}, priority ${this.priority}, ${when}: ${actionText(this.action)}`;
  }
}

/** What a rule demands, as names and values. */
export function conditionTexts(c: VfpCondition): [string, string][] {
  const rows: [string, readonly unknown[] | undefined][] = [
    ["Protocols", c.protocols],
    ["Source IP", c.sources?.map(prefixText)],
    ["Source ports", c.sourcePorts],
    ["Destination IP", c.destinations?.map(prefixText)],
    ["Destination ports", c.destinationPorts],
    ["Destination IP exceptions", c.exceptions?.map(prefixText)],
  ];
  return rows.flatMap(([what, values]) => (values ? [[what, values.join(", ")]] : []));
}

export function actionText(action: VfpAction): string {
  switch (action.type) {
    case "lbnat": {
      const { dips, dsr, sourceVip } = action.policy;
      const to = dips.map((d) => formatEndpoint(d.address, d.port)).join(", ");
      const from = dsr || sourceVip === undefined ? "" : `, source ${formatIp(sourceVip)}`;
      return `lbnat to ${to}${from}`;
    }
    case "dnat":
      return `dnat to ${formatEndpoint(action.address, action.port)}`;
    case "dynnat":
      return `dynnat to source ${formatIp(action.address)}`;
    case "encap":
      return `encap VXLAN VNI ${action.vni} to ${formatIp(action.providerAddress)}, MAC ${formatMac(action.mac)}`;
    default:
      return action.type;
  }
}

function prefixText(prefix: Prefix): string {
  return prefix.isHost ? formatIp(prefix.address) : String(prefix);
}

function contains(prefixes: readonly Prefix[], address: IpAddress): boolean {
  for (const prefix of prefixes) if (prefix.contains(address)) return true;
  return false;
}
