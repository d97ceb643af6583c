import { formatIp, type IpAddress, type Prefix } from "@cnilab/net";
import {
  formatCommunity,
  type LargeCommunity,
  type StandardCommunity,
  sameLarge,
} from "./community.ts";
import type { BgpOrigin } from "./path-attributes.ts";
import type { RouteSource } from "./route.ts";

/** A route as a filter sees it, and may change it. */
export interface FilterRoute {
  readonly net: Prefix;
  readonly source: RouteSource;
  readonly ifname: string | undefined;
  /** `bgp_next_hop`. */
  readonly nextHop: IpAddress | undefined;
  readonly origin: BgpOrigin;
  /** `krt_tunnel`, of Calico's own BIRD: the device that the kernel's route leaves by. */
  krtTunnel: string | undefined;
  preference: number;
  krtMetric: number | undefined;
  localPref: number | undefined;
  med: number | undefined;
  asPath: readonly number[];
  communities: readonly StandardCommunity[];
  largeCommunities: readonly LargeCommunity[];
}

/** Numbers of a route, by the names that BIRD's filters have for them. */
export type FilterNumber = "preference" | "krt_metric" | "bgp_local_pref" | "bgp_med";

/** Conditions of BIRD's filter language, as much as Calico writes. */
export type FilterCondition =
  /** `net ~ PREFIX`, or `net ~ [ PREFIX{LOW,HIGH} ]`: the prefix itself and more specific ones. */
  | {
      readonly is: "net-in";
      readonly prefix: Prefix;
      readonly lengths?: readonly [low: number, high: number];
    }
  | { readonly is: "net-equal"; readonly prefix: Prefix }
  | { readonly is: "source"; readonly source: RouteSource }
  /** Pattern with `*` and `?`. */
  | { readonly is: "ifname"; readonly pattern: string }
  | { readonly is: "defined"; readonly number: FilterNumber }
  | {
      readonly is: "number";
      readonly number: FilterNumber;
      readonly operator: "=" | "<" | ">";
      readonly value: number;
    }
  | { readonly is: "next-hop"; readonly address: IpAddress }
  | { readonly is: "next-hop-in"; readonly prefix: Prefix }
  | { readonly is: "community"; readonly community: StandardCommunity | LargeCommunity }
  | { readonly is: "as-path-begins"; readonly numbers: readonly number[] }
  | { readonly is: "not"; readonly condition: FilterCondition }
  | { readonly is: "and" | "or"; readonly conditions: readonly FilterCondition[] };

export type FilterStatement =
  | { readonly do: "accept" | "reject" }
  | {
      readonly do: "if";
      readonly condition: FilterCondition;
      readonly block: readonly FilterStatement[];
      readonly elseBlock?: readonly FilterStatement[];
    }
  | { readonly do: "set"; readonly number: FilterNumber; readonly value: number }
  /** `TO = VALUE - FROM`. */
  | {
      readonly do: "subtract";
      readonly number: FilterNumber;
      readonly value: number;
      readonly from: FilterNumber;
    }
  | { readonly do: "add-community"; readonly community: StandardCommunity | LargeCommunity }
  | { readonly do: "prepend"; readonly as: number }
  | { readonly do: "tunnel"; readonly device: string };

/** Statements that end with `accept` or `reject`; what runs out of statements is rejected, as BIRD has it. */
export type Filter = readonly FilterStatement[];

export const ACCEPT: FilterStatement = { do: "accept" };
export const REJECT: FilterStatement = { do: "reject" };

/** Runs a filter; what it sets stays set in `route`. @returns whether the route is accepted */
export function runFilter(filter: Filter, route: FilterRoute): boolean {
  return run(filter, route) === "accept";
}

function run(statements: Filter, route: FilterRoute): "accept" | "reject" | undefined {
  for (const statement of statements) {
    switch (statement.do) {
      case "accept":
      case "reject":
        return statement.do;
      case "if": {
        const branch = holds(statement.condition, route) ? statement.block : statement.elseBlock;
        const verdict = branch === undefined ? undefined : run(branch, route);
        if (verdict !== undefined) return verdict;
        break;
      }
      case "set":
        write(route, statement.number, statement.value);
        break;
      case "subtract":
        write(route, statement.number, statement.value - (read(route, statement.from) ?? 0));
        break;
      case "add-community":
        addCommunity(route, statement.community);
        break;
      case "prepend":
        route.asPath = [statement.as, ...route.asPath];
        break;
      case "tunnel":
        route.krtTunnel = statement.device;
        break;
    }
  }
  return undefined;
}

function holds(condition: FilterCondition, route: FilterRoute): boolean {
  switch (condition.is) {
    case "net-in": {
      const { prefix, lengths } = condition;
      if (!prefix.covers(route.net)) return false;
      if (lengths === undefined) return true;
      return route.net.length >= lengths[0] && route.net.length <= lengths[1];
    }
    case "net-equal":
      return condition.prefix.equals(route.net);
    case "source":
      return route.source === condition.source;
    case "ifname":
      return route.ifname !== undefined && matchesPattern(condition.pattern, route.ifname);
    case "defined":
      return read(route, condition.number) !== undefined;
    case "number": {
      const value = read(route, condition.number);
      if (value === undefined) return false;
      if (condition.operator === "=") return value === condition.value;
      return condition.operator === "<" ? value < condition.value : value > condition.value;
    }
    case "next-hop":
      return route.nextHop === condition.address;
    case "next-hop-in":
      return route.nextHop !== undefined && condition.prefix.contains(route.nextHop);
    case "community":
      return hasCommunity(route, condition.community);
    case "as-path-begins":
      return condition.numbers.every((as, i) => route.asPath[i] === as);
    case "not":
      return !holds(condition.condition, route);
    case "and":
      return condition.conditions.every((c) => holds(c, route));
    case "or":
      return condition.conditions.some((c) => holds(c, route));
  }
}

function read(route: FilterRoute, number: FilterNumber): number | undefined {
  switch (number) {
    case "preference":
      return route.preference;
    case "krt_metric":
      return route.krtMetric;
    case "bgp_local_pref":
      return route.localPref;
    case "bgp_med":
      return route.med;
  }
}

function write(route: FilterRoute, number: FilterNumber, value: number): void {
  switch (number) {
    case "preference":
      route.preference = value;
      break;
    case "krt_metric":
      route.krtMetric = value;
      break;
    case "bgp_local_pref":
      route.localPref = value;
      break;
    case "bgp_med":
      route.med = value;
      break;
  }
}

function hasCommunity(
  { communities, largeCommunities }: FilterRoute,
  community: StandardCommunity | LargeCommunity,
): boolean {
  if (typeof community === "number") return communities.includes(community);
  return largeCommunities.some((c) => sameLarge(c, community));
}

function addCommunity(route: FilterRoute, community: StandardCommunity | LargeCommunity): void {
  if (hasCommunity(route, community)) return;
  if (typeof community === "number") route.communities = [...route.communities, community];
  else route.largeCommunities = [...route.largeCommunities, community];
}

/** BIRD's `patmatch`: `*` for any text, `?` for one character. */
export function matchesPattern(pattern: string, text: string): boolean {
  let star = -1;
  let mark = 0;
  let p = 0;
  for (let t = 0; t < text.length; ) {
    if (
      p < pattern.length &&
      (pattern[p] === "?" || pattern[p] === text[t]) &&
      pattern[p] !== "*"
    ) {
      p++;
      t++;
    } else if (pattern[p] === "*") {
      star = p++;
      mark = t;
    } else if (star >= 0) {
      p = star + 1;
      t = ++mark;
    } else {
      return false;
    }
  }
  while (pattern[p] === "*") p++;
  return p === pattern.length;
}

const SOURCES: Readonly<Record<RouteSource, string>> = {
  bgp: "RTS_BGP",
  static: "RTS_STATIC",
  device: "RTS_DEVICE",
  inherit: "RTS_INHERIT",
};

/** The filter as BIRD reads it, a line each. */
export function filterText(filter: Filter, indent = ""): string[] {
  return filter.flatMap((statement) => statementText(statement, indent));
}

function statementText(statement: FilterStatement, indent: string): string[] {
  switch (statement.do) {
    case "accept":
    case "reject":
      return [`${indent}${statement.do};`];
    case "if": {
      const lines = [
        `${indent}if ${conditionText(statement.condition)} then {`,
        ...filterText(statement.block, `${indent}  `),
      ];
      if (statement.elseBlock !== undefined) {
        lines.push(`${indent}} else {`, ...filterText(statement.elseBlock, `${indent}  `));
      }
      return [...lines, `${indent}}`];
    }
    case "set":
      return [`${indent}${statement.number} = ${statement.value};`];
    case "subtract":
      return [`${indent}${statement.number} = ${statement.value} - ${statement.from};`];
    case "add-community": {
      const { community } = statement;
      const list = typeof community === "number" ? "bgp_community" : "bgp_large_community";
      return [`${indent}${list}.add(${formatCommunity(community)});`];
    }
    case "prepend":
      return [`${indent}bgp_path.prepend(${statement.as});`];
    case "tunnel":
      return [`${indent}krt_tunnel = "${statement.device}";`];
  }
}

function conditionText(condition: FilterCondition): string {
  switch (condition.is) {
    case "net-in": {
      const { prefix, lengths } = condition;
      return lengths === undefined ? `(net ~ ${prefix})` : `(net ~ [ ${prefix}{${lengths}} ])`;
    }
    case "net-equal":
      return `(net = ${condition.prefix})`;
    case "source":
      return `(source = ${SOURCES[condition.source]})`;
    case "ifname":
      return `(defined(ifname) && ifname ~ "${condition.pattern}")`;
    case "defined":
      return `defined(${condition.number})`;
    case "number":
      return `(${condition.number} ${condition.operator} ${condition.value})`;
    case "next-hop":
      return `(defined(bgp_next_hop) && bgp_next_hop = ${formatIp(condition.address)})`;
    case "next-hop-in":
      return `(defined(bgp_next_hop) && bgp_next_hop ~ ${condition.prefix})`;
    case "community": {
      const { community } = condition;
      const list = typeof community === "number" ? "bgp_community" : "bgp_large_community";
      return `(${formatCommunity(community)} ~ ${list})`;
    }
    case "as-path-begins":
      return `(bgp_path ~ [= ${condition.numbers.join(" ")} * =])`;
    case "not":
      return `!${conditionText(condition.condition)}`;
    case "and":
    case "or": {
      const operator = condition.is === "and" ? " && " : " || ";
      return `(${condition.conditions.map(conditionText).join(operator)})`;
    }
  }
}
