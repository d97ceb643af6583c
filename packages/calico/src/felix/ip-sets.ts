import type { IpFamily } from "@cnilab/net";
import type { IpSetDelta, IpSetMembers } from "../calc/ip-set.ts";
import type { IpSetType } from "../calc/messages.ts";
import { ipSetName } from "../names/ip-set-name.ts";
import { type FIXED_SET, fixedSet } from "../rules/fixed-names.ts";
import type { DataplaneInput } from "./dataplane-input.ts";

/** How the kernel is to look for members. */
export type IpSetKind = "hash:ip" | "hash:net" | "hash:ip,port";

/** A set as a dataplane wants it. */
export interface WantedIpSet {
  readonly kind: IpSetKind;
  /** Of one family; the same object as long as they are the same. */
  readonly members: ReadonlySet<string>;
  /** Which of {@link members} this node's set does not have: so all nodes have the same members where each leaves itself out. */
  readonly except?: string | undefined;
  /** Of a set that policies name. */
  readonly version?: number;
  /** What is different from an older version: whoever has that need not compare. */
  readonly since?: IpSetDelta | undefined;
}

/** What makes the members of a set those that are wanted. */
export function memberChanges(
  there: WantedIpSet | undefined,
  wanted: WantedIpSet,
): { readonly added: readonly string[]; readonly removed: readonly string[] } {
  if (there !== undefined && sameMembers(there, wanted)) return { added: [], removed: [] };
  const { since } = wanted;
  if (since !== undefined && since.version === there?.version) return since;
  return { added: notIn(there, wanted), removed: there === undefined ? [] : notIn(wanted, there) };
}

/** Whether both are known to have the same members without a look at them. */
export function sameMembers(x: WantedIpSet, y: WantedIpSet): boolean {
  return x.members === y.members && x.except === y.except;
}

function notIn(set: WantedIpSet | undefined, { members, except }: WantedIpSet): string[] {
  return [...members].filter((member) => {
    const isThere = set !== undefined && member !== set.except && set.members.has(member);
    return member !== except && !isThere;
  });
}

const KINDS: Readonly<Record<IpSetType, IpSetKind>> = {
  IP: "hash:ip",
  NET: "hash:net",
  IP_AND_PORT: "hash:ip,port",
};

/** All sets of a family by their names in the kernel. */
export function wantedIpSets(input: DataplaneInput, family: IpFamily): Map<string, WantedIpSet> {
  const sets = new Map<string, WantedIpSet>();
  for (const [id, of] of input.policy.ipSets) {
    sets.set(ipSetName(id, family), ofPolicies(of)[family]);
  }
  for (const [name, set] of fixedSets(input, family)) sets.set(name, set);
  return sets;
}

function fixedSets(input: DataplaneInput, family: IpFamily): Map<string, WantedIpSet> {
  const { config, pools } = input;
  const { rules } = config;
  const sets = new Map<string, WantedIpSet>();
  const add = (set: keyof typeof FIXED_SET, kind: IpSetKind, members: readonly string[]) => {
    sets.set(fixedSet(set, family), { kind, members: ofFamily(members, family) });
  };
  const forNetwork = pools.filter(
    ({ allowedUses = [] }) => !(allowedUses.length === 1 && allowedUses[0] === "LoadBalancer"),
  );
  add(
    "networkPools",
    "hash:net",
    forNetwork.map(({ cidr }) => cidr),
  );
  add(
    "masqueradePools",
    "hash:net",
    pools.filter(({ masquerade }) => masquerade === true).map(({ cidr }) => cidr),
  );
  add("thisHost", "hash:ip", [...input.interfaces.values()].flat());
  add(
    "dscpSources",
    "hash:net",
    [...dscpSources(input, family).keys()].flatMap((s) => s.split(",")),
  );
  const excludesHosts = rules.natOutgoingExclusions === "IPPoolsAndHostIPs";
  if ((family === 4 && rules.ipipEnabled) || excludesHosts) {
    const external = family === 4 ? config.externalNodes : [];
    add("allHosts", "hash:net", joined(input.hostAddresses[family], external));
  }
  if (family === 4 ? rules.vxlanEnabled : rules.vxlanEnabledV6) {
    const { all, own } = input.vxlanSources[family];
    const from = joined(all, config.externalNodes);
    // Where somebody else has the node's address as well, it is in the set.
    const except = from.indexOf(own ?? "") === from.lastIndexOf(own ?? "") ? own : undefined;
    const members = ofFamily(from, family);
    sets.set(fixedSet("allVxlanHosts", family), { kind: "hash:net", members, except });
  }
  return sets;
}

/** Addresses, one endpoint's joined by commas, with the DSCP that what leaves the cluster from there gets (`felix/dataplane/linux/dscp_mgr.go`). */
export function dscpSources(input: DataplaneInput, family: IpFamily): Map<string, number> {
  const sources = new Map<string, number>();
  const add = (addresses: readonly string[], dscp: number | undefined) => {
    if (dscp === undefined || addresses.length === 0) return;
    sources.set(addresses.map((each) => each.split("/", 1)[0]).join(), dscp);
  };
  for (const { ipv4Nets, ipv6Nets, qosPolicies } of input.policy.workloads.values()) {
    add(family === 4 ? ipv4Nets : ipv6Nets, qosPolicies?.[0]?.dscp);
  }
  for (const each of input.policy.hosts.values()) {
    const addresses = family === 4 ? each.expectedIpv4Addrs : each.expectedIpv6Addrs;
    add(addresses, each.qosPolicies?.[0]?.dscp);
  }
  return sources;
}

const split = new WeakMap<IpSetMembers, Readonly<Record<IpFamily, WantedIpSet>>>();

/** A set that policies name, by family. Shared by all nodes that have it. */
function ofPolicies(of: IpSetMembers): Readonly<Record<IpFamily, WantedIpSet>> {
  let both = split.get(of);
  if (both === undefined) {
    both = { 4: part(of, 4), 6: part(of, 6) };
    split.set(of, both);
  }
  return both;
}

function part({ type, members, version, since }: IpSetMembers, family: IpFamily): WantedIpSet {
  const isOwn = isOf(family);
  const own = [...members].filter(isOwn);
  return {
    kind: KINDS[type],
    members: new Set(own),
    version,
    since: since && {
      version: since.version,
      added: since.added.filter(isOwn),
      removed: since.removed.filter(isOwn),
    },
  };
}

/** The same list where nothing is to be added. */
function joined(list: readonly string[], more: readonly string[]): readonly string[] {
  return more.length === 0 ? list : [...list, ...more];
}

const byFamily = new WeakMap<readonly string[], Map<IpFamily, ReadonlySet<string>>>();

/** Members in a list that is not changed any more; the same object for the same list. */
function ofFamily(list: readonly string[], family: IpFamily): ReadonlySet<string> {
  let both = byFamily.get(list);
  if (both === undefined) {
    both = new Map();
    byFamily.set(list, both);
  }
  let members = both.get(family);
  if (members === undefined) {
    members = new Set(list.filter(isOf(family)));
    both.set(family, members);
  }
  return members;
}

/** Of a member with a port, only the address has colons before the comma. */
function isOf(family: IpFamily): (member: string) => boolean {
  return (member) => (member.split(",", 1)[0] as string).includes(":") === (family === 6);
}
