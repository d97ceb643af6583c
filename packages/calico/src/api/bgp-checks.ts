import {
  boolean,
  type Check,
  describe,
  dnsSubdomain,
  fail,
  integer,
  list,
  oneField,
  oneOf,
  strictObject,
  string,
} from "@cnilab/core/validation";
import { familyOf, type IpAddress, type IpFamily, tryParseIp } from "@cnilab/net";
import {
  address,
  anyCase,
  asNumber,
  community,
  duration,
  enabledOrDisabled,
  interfacePattern,
  isCommunity,
  isSet,
  network,
  orEmpty,
  parseAsNumber,
  peerAddress,
  prefixOf,
  selector,
  splitPeerAddress,
  unique,
} from "./field-checks.ts";
import type { BGPConfigurationSpec } from "./v3/bgp-configuration.ts";
import type { BGPFilterRule } from "./v3/bgp-filter.ts";
import type { BGPPeerSpec } from "./v3/bgp-peer.ts";

// Routing (api/pkg/apis/projectcalico/v3/bgpconfig.go, bgppeer.go, bgpfilter.go, and the validators of libcalico-go).

export const programClusterRoutes: Check = oneOf(
  "Enabled",
  "Disabled",
  "EnabledIPIPOnly",
  "EnabledNoEncapOnly",
);
export const routePriority: Check = integer(1, 2_147_483_646);
export const logSeverity: Check = anyCase("Trace", "Debug", "Info", "Warning", "Error", "Fatal");

const password = strictObject({
  secretKeyRef: strictObject({ name: string, key: string, optional: boolean }, ["key"]),
});
const serviceBlocks = list(strictObject({ cidr: network }));

/** An address of one family. */
function addressOf(family: IpFamily): Check {
  return (value, path) => {
    address(value, path);
    if (familyOf(tryParseIp(value as string) as IpAddress) === family) return;
    fail(path, `must be an IPv${family} address, not ${describe(value)}`);
  };
}

const configurationFields = strictObject({
  logSeverityScreen: logSeverity,
  nodeToNodeMeshEnabled: boolean,
  asNumber,
  serviceLoadBalancerIPs: serviceBlocks,
  serviceExternalIPs: serviceBlocks,
  serviceClusterIPs: serviceBlocks,
  serviceLoadBalancerAggregation: enabledOrDisabled,
  communities: list(
    strictObject({ name: dnsSubdomain, value: community }, ["name", "value"]),
    0,
    500,
  ),
  prefixAdvertisements: list(
    strictObject({ cidr: network, communities: list(string, 0, 50) }, ["cidr", "communities"]),
    0,
    500,
  ),
  listenPort: integer(1, 65_535),
  nodeMeshPassword: password,
  nodeMeshMaxRestartTime: duration,
  bindMode: oneOf("None", "NodeIP"),
  ignoredInterfaces: unique(list(interfacePattern)),
  localWorkloadPeeringIPV4: orEmpty(addressOf(4)),
  localWorkloadPeeringIPV6: orEmpty(addressOf(6)),
  programClusterRoutes,
  ipv4NormalRoutePriority: routePriority,
  ipv6NormalRoutePriority: routePriority,
});

/** Fields that are the whole cluster's, not one node's (`libcalico-go/lib/clientv3/bgpconfig.go` ValidateDefaultOnlyFields). */
export const CLUSTER_WIDE_BGP_FIELDS: readonly (keyof BGPConfigurationSpec)[] = [
  "nodeToNodeMeshEnabled",
  "asNumber",
  "serviceLoadBalancerIPs",
  "serviceExternalIPs",
  "serviceClusterIPs",
  "nodeMeshPassword",
  "nodeMeshMaxRestartTime",
];

export const bgpConfigurationSpec: Check = (value, path) => {
  configurationFields(value, path);
  const spec = value as BGPConfigurationSpec;
  for (const field of ["nodeMeshPassword", "nodeMeshMaxRestartTime"] as const) {
    if (spec[field] !== undefined && spec.nodeToNodeMeshEnabled === false) {
      fail([...path, field], "cannot stand where nodeToNodeMeshEnabled is false");
    }
  }
  const communities = spec.communities ?? [];
  const advertisements = spec.prefixAdvertisements ?? [];
  if (communities.length > 0 && advertisements.length === 0) {
    fail([...path, "communities"], "are named, and no prefixAdvertisements use them");
  }
  const names = new Set(communities.map(({ name }) => name));
  advertisements.forEach((each, i) => {
    each.communities.forEach((text, j) => {
      if (names.has(text) || isCommunity(text)) return;
      fail(
        [...path, "prefixAdvertisements", i, "communities", j],
        `must be a name of communities or a value such as 65000:100, not ${describe(text)}`,
      );
    });
  });
};

const peerFields = strictObject({
  node: orEmpty(dnsSubdomain),
  nodeSelector: selector,
  peerIP: orEmpty(peerAddress),
  asNumber,
  localASNumber: asNumber,
  peerSelector: selector,
  keepOriginalNextHop: boolean,
  nextHopMode: oneOf("Auto", "Self", "Keep"),
  password,
  sourceAddress: orEmpty(oneOf("UseNodeIP", "None")),
  maxRestartTime: duration,
  keepaliveTime: duration,
  numAllowedLocalASNumbers: integer(0, 2_147_483_647),
  ttlSecurity: integer(0, 255),
  reachableBy: orEmpty(address),
  filters: list(dnsSubdomain),
  localWorkloadSelector: selector,
  reversePeering: oneOf("Auto", "Manual"),
});

/** Pairs of fields that exclude each other. */
const EXCLUSIVE: readonly (readonly [keyof BGPPeerSpec, keyof BGPPeerSpec])[] = [
  ["node", "nodeSelector"],
  ["peerIP", "peerSelector"],
  ["peerIP", "localWorkloadSelector"],
  ["peerSelector", "localWorkloadSelector"],
];

export const bgpPeerSpec: Check = (value, path) => {
  peerFields(value, path);
  const peer = value as BGPPeerSpec;
  for (const [one, other] of EXCLUSIVE) {
    if (isSet(peer[one]) && isSet(peer[other])) {
      fail([...path, other], `cannot stand beside ${one}`);
    }
  }
  const number = parseAsNumber(peer.asNumber) ?? 0;
  if (isSet(peer.peerSelector) && number !== 0) {
    fail([...path, "asNumber"], "cannot stand beside peerSelector: nodes have their own");
  }
  if (isSet(peer.localWorkloadSelector) && number === 0) {
    fail([...path, "asNumber"], "is required beside localWorkloadSelector");
  }
  if (peer.keepOriginalNextHop === true && peer.nextHopMode !== undefined) {
    fail([...path, "keepOriginalNextHop"], "cannot stand beside nextHopMode, which replaces it");
  }
  if (!isSet(peer.reachableBy)) return;
  const at = splitPeerAddress(peer.peerIP ?? "");
  if (at === undefined) fail([...path, "reachableBy"], "needs peerIP beside it");
  const of = (text: string) => familyOf(tryParseIp(text) as IpAddress);
  if (at !== undefined && of(at.address) !== of(peer.reachableBy as string)) {
    fail([...path, "reachableBy"], `must be of the family of peerIP ${peer.peerIP}`);
  }
};

const communityMatch = strictObject({ values: list(community, 1, 1) }, ["values"]);

const operation = oneField({
  addCommunity: strictObject({ value: community }, ["value"]),
  prependASPath: strictObject({ prefix: list(asNumber, 1, 10) }, ["prefix"]),
  setPriority: strictObject({ value: routePriority }, ["value"]),
});

function filterRule(family: IpFamily): Check {
  const length = integer(0, family === 4 ? 32 : 128);
  const fields = strictObject(
    {
      cidr: orEmpty(network),
      prefixLength: strictObject({ min: length, max: length }),
      source: orEmpty(oneOf("RemotePeers")),
      interface: orEmpty(interfacePattern),
      matchOperator: orEmpty(oneOf("Equal", "NotEqual", "In", "NotIn")),
      peerType: orEmpty(oneOf("eBGP", "iBGP")),
      communities: communityMatch,
      asPathPrefix: list(asNumber),
      priority: routePriority,
      action: oneOf("Accept", "Reject"),
      operations: list(operation, 1, 10),
    },
    ["action"],
  );
  return (value, path) => {
    fields(value, path);
    const rule = value as BGPFilterRule;
    if (isSet(rule.cidr) && prefixOf(rule.cidr as string).family !== family) {
      fail([...path, "cidr"], `must be an IPv${family} range, not ${rule.cidr}`);
    }
    if (isSet(rule.cidr) !== isSet(rule.matchOperator)) {
      const missing = isSet(rule.cidr) ? "matchOperator" : "cidr";
      fail([...path, missing], `is required beside ${isSet(rule.cidr) ? "cidr" : "matchOperator"}`);
    }
    if (rule.prefixLength !== undefined && !isSet(rule.cidr)) {
      fail([...path, "prefixLength"], "needs cidr beside it");
    }
    if ((rule.operations ?? []).length > 0 && rule.action !== "Accept") {
      fail([...path, "operations"], "are for action Accept alone");
    }
  };
}

const filterRulesV4 = list(filterRule(4));
const filterRulesV6 = list(filterRule(6));

export const bgpFilterSpec: Check = strictObject({
  exportV4: filterRulesV4,
  importV4: filterRulesV4,
  exportV6: filterRulesV6,
  importV6: filterRulesV6,
});
