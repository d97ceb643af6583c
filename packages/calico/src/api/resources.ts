import type { CustomResource, KubeObject, StoredObjects } from "@cnilab/core";
import { type Check, fail, object, unread } from "@cnilab/core/validation";
import { tryParsePrefix } from "@cnilab/net";
import {
  bgpConfigurationSpec,
  bgpFilterSpec,
  bgpPeerSpec,
  CLUSTER_WIDE_BGP_FIELDS,
} from "./bgp-checks.ts";
import { AGE, conditionColumn, flagColumn, listColumn, specColumn, wide } from "./columns.ts";
import {
  calicoNodeStatusSpec,
  clusterInformationSpec,
  kubeControllersConfigurationSpec,
  onlyDefault,
} from "./configuration-checks.ts";
import { crdV1 } from "./crd-v1.ts";
import {
  defaultBgpConfiguration,
  defaultFelixConfiguration,
  defaultIpamConfiguration,
  defaultPolicy,
  defaultPool,
  defaultStagedKubernetesPolicy,
  defaultStagedPolicy,
  defaultTier,
} from "./defaults.ts";
import {
  checkFixedTier,
  FIXED_TIERS,
  hostEndpointSpec,
  networkSetSpec,
  profileSpec,
  tierName,
  tierSpec,
} from "./endpoint-checks.ts";
import { felixConfigurationSpec } from "./felix-checks.ts";
import { blockAffinitySpec, ipamBlockSpec, ipamHandleSpec } from "./ipam-checks.ts";
import { GROUP, VERSION_CURRENT } from "./kinds.ts";
import {
  globalNetworkPolicySpec,
  networkPolicySpec,
  policyName,
  stagedGlobalNetworkPolicySpec,
  stagedKubernetesNetworkPolicySpec,
  stagedNetworkPolicySpec,
} from "./policy-checks.ts";
import { ipamConfigurationSpec, ipPoolSpec, ipReservationSpec } from "./pool-checks.ts";
import type { BGPConfiguration } from "./v3/bgp-configuration.ts";
import type { FelixConfiguration } from "./v3/felix-configuration.ts";
import type { IPPool } from "./v3/ip-pool.ts";
import type { PolicySpec } from "./v3/network-policy.ts";
import type { Tier } from "./v3/tier.ts";

type Given = Omit<CustomResource, "group" | "version" | "check"> & { readonly spec: Check };

/** @param more checks of the whole object, once `spec` is good */
function resource({ spec, ...given }: Given, more?: Check): CustomResource {
  const fields = object({ spec, status: unread }, ["spec"]);
  return {
    group: GROUP,
    version: VERSION_CURRENT,
    servedVersions: [crdV1()],
    check:
      more === undefined
        ? fields
        : (value, path) => {
            fields(value, path);
            more(value, path);
          },
    ...given,
  };
}

const POLICY_COLUMNS = [
  specColumn("Tier", "tier"),
  specColumn("Order", "order", "number"),
  wide(specColumn("Selector", "selector")),
];
const STAGED = "it is staged, which only counts what it would do";

/** No label may stand for the namespace: sets have that of their own. */
const noNamespaceLabel: Check = (value) => {
  const { labels = {} } = (value as KubeObject).metadata;
  const key = "projectcalico.org/namespace";
  if (Object.hasOwn(labels, key)) {
    fail(["metadata", "labels", key], "is Calico's own label; leave it out");
  }
};

const clusterWideFields: Check = (value) => {
  const { metadata, spec } = value as BGPConfiguration;
  if (metadata.name === "default") return;
  const field = CLUSTER_WIDE_BGP_FIELDS.find((name) => spec[name] !== undefined);
  if (field !== undefined) {
    fail(["spec", field], `is for the BGPConfiguration default alone, not for ${metadata.name}`);
  }
};

const nodeSelectorFits: Check = (value) => {
  const { metadata, spec } = value as FelixConfiguration;
  const { name } = metadata;
  if (spec.nodeSelector === undefined || (name !== "default" && !name.startsWith("node."))) return;
  fail(
    ["spec", "nodeSelector"],
    `cannot stand in ${name}, which is for ${name === "default" ? "all nodes" : "one node"}; name it otherwise`,
  );
};

function poolUpdate(pool: IPPool, old: IPPool): void {
  for (const field of ["cidr", "blockSize"] as const) {
    if (pool.spec[field] === old.spec[field]) continue;
    fail(
      ["spec", field],
      `cannot be changed from ${old.spec[field]}; make another pool, and disable this one`,
    );
  }
  const before = old.spec.allowedUses?.includes("LoadBalancer") === true;
  if (before && pool.spec.allowedUses?.some((use) => use !== "LoadBalancer")) {
    fail(["spec", "allowedUses"], "cannot be changed from LoadBalancer");
  }
}

/** Two pools would give out one address (`libcalico-go/lib/clientv3/ippool.go` validateAndSetDefaults). */
function poolAmong(pool: IPPool, all: StoredObjects): void {
  const range = tryParsePrefix(pool.spec.cidr);
  for (const { metadata, spec } of all.list("IPPool.projectcalico.org")) {
    if (metadata.name === pool.metadata.name) continue;
    const other = tryParsePrefix(spec.cidr);
    if (range === undefined || other === undefined || !range.overlaps(other)) continue;
    fail(
      ["spec", "cidr"],
      `${range} overlaps ${other} of IPPool ${metadata.name}; give each its own range`,
    );
  }
}

/** A policy's tier must be there; some always are. */
function policyAmong(policy: KubeObject, all: StoredObjects): void {
  const { tier = "default" } = (policy as { readonly spec: PolicySpec } & KubeObject).spec;
  if (Object.hasOwn(FIXED_TIERS, tier)) return;
  if (all.get("Tier.projectcalico.org", tier) !== undefined) return;
  fail(["spec", "tier"], `is ${tier}, and there is no such Tier; make one, or choose another`);
}

/** The kinds of projectcalico.org/v3, as the API server knows them (api/config/crd); short names are calicoctl's, too. */
export const CALICO_RESOURCES: readonly CustomResource[] = [
  resource(
    {
      kind: "BGPConfiguration",
      plural: "bgpconfigurations",
      singular: "bgpconfiguration",
      shortNames: ["bgpconfig", "bgpconfigs"],
      namespaced: false,
      spec: bgpConfigurationSpec,
      default: defaultBgpConfiguration,
      columns: [
        AGE,
        wide(specColumn("LogSeverity", "logSeverityScreen")),
        wide(specColumn("MeshEnabled", "nodeToNodeMeshEnabled", "boolean")),
        wide(specColumn("ASNumber", "asNumber")),
      ],
    },
    clusterWideFields,
  ),
  resource({
    kind: "BGPFilter",
    plural: "bgpfilters",
    singular: "bgpfilter",
    namespaced: false,
    spec: bgpFilterSpec,
  }),
  resource({
    kind: "BGPPeer",
    plural: "bgppeers",
    singular: "bgppeer",
    namespaced: false,
    spec: bgpPeerSpec,
    columns: [
      specColumn("Node Selector", "nodeSelector"),
      specColumn("Node", "node"),
      specColumn("Local ASN", "localASNumber"),
      specColumn("Peer Selector", "peerSelector"),
      specColumn("Peer IP", "peerIP"),
      specColumn("Peer ASN", "asNumber"),
    ],
  }),
  resource({
    kind: "BlockAffinity",
    plural: "blockaffinities",
    singular: "blockaffinity",
    shortNames: ["affinity", "affinities"],
    namespaced: false,
    spec: blockAffinitySpec,
    columns: [
      specColumn("CIDR", "cidr"),
      specColumn("Node", "node"),
      specColumn("Type", "type"),
      wide(specColumn("State", "state")),
    ],
  }),
  resource({
    kind: "CalicoNodeStatus",
    plural: "caliconodestatuses",
    singular: "caliconodestatus",
    namespaced: false,
    spec: calicoNodeStatusSpec,
    columns: [specColumn("Node", "node"), specColumn("Classes", "classes")],
  }),
  resource({
    kind: "ClusterInformation",
    plural: "clusterinformations",
    singular: "clusterinformation",
    shortNames: ["clusterinfo", "clusterinfos"],
    namespaced: false,
    name: onlyDefault,
    spec: clusterInformationSpec,
    columns: [
      specColumn("Version", "calicoVersion"),
      specColumn("Ready", "datastoreReady", "boolean"),
      specColumn("Types", "clusterType"),
    ],
  }),
  resource(
    {
      kind: "FelixConfiguration",
      plural: "felixconfigurations",
      singular: "felixconfiguration",
      shortNames: ["felixconfig", "felixconfigs"],
      namespaced: false,
      spec: felixConfigurationSpec,
      default: defaultFelixConfiguration,
    },
    nodeSelectorFits,
  ),
  resource({
    kind: "GlobalNetworkPolicy",
    plural: "globalnetworkpolicies",
    singular: "globalnetworkpolicy",
    shortNames: ["gnp", "cgnp"],
    namespaced: false,
    name: policyName,
    spec: globalNetworkPolicySpec,
    default: defaultPolicy,
    checkAmong: policyAmong,
    columns: [...POLICY_COLUMNS, AGE],
  }),
  resource(
    {
      kind: "GlobalNetworkSet",
      plural: "globalnetworksets",
      singular: "globalnetworkset",
      shortNames: ["gns"],
      namespaced: false,
      spec: networkSetSpec,
      columns: [AGE, listColumn("Nets", "nets")],
    },
    noNamespaceLabel,
  ),
  resource({
    kind: "HostEndpoint",
    plural: "hostendpoints",
    singular: "hostendpoint",
    shortNames: ["hep", "heps"],
    namespaced: false,
    spec: hostEndpointSpec,
    columns: [
      specColumn("Node", "node"),
      specColumn("Interface", "interfaceName"),
      listColumn("IPs", "expectedIPs"),
      listColumn("Profiles", "profiles"),
    ],
  }),
  resource({
    kind: "IPAMBlock",
    plural: "ipamblocks",
    singular: "ipamblock",
    namespaced: false,
    spec: ipamBlockSpec,
    columns: [
      specColumn("CIDR", "cidr"),
      specColumn("Affinity", "affinity"),
      specColumn("ClaimTime", "affinityClaimTime", "date"),
    ],
  }),
  resource({
    kind: "IPAMConfiguration",
    plural: "ipamconfigurations",
    singular: "ipamconfiguration",
    shortNames: ["ipamconfig", "ipamconfigs"],
    namespaced: false,
    name: onlyDefault,
    spec: ipamConfigurationSpec,
    servedVersions: [crdV1("IPAMConfig")],
    default: defaultIpamConfiguration,
    columns: [
      specColumn("StrictAffinity", "strictAffinity", "boolean"),
      specColumn("MaxBlocksPerHost", "maxBlocksPerHost", "integer"),
      specColumn("AutoAllocateBlocks", "autoAllocateBlocks", "boolean"),
    ],
  }),
  resource({
    kind: "IPAMHandle",
    plural: "ipamhandles",
    singular: "ipamhandle",
    namespaced: false,
    spec: ipamHandleSpec,
    columns: [specColumn("ID", "handleID")],
  }),
  resource({
    kind: "IPPool",
    plural: "ippools",
    singular: "ippool",
    shortNames: ["ipp", "ipps", "pool", "pools"],
    namespaced: false,
    spec: ipPoolSpec,
    default: defaultPool,
    checkAmong: poolAmong,
    checkUpdate: poolUpdate,
    columns: [
      specColumn("CIDR", "cidr"),
      specColumn("VXLAN", "vxlanMode"),
      specColumn("IPIP", "ipipMode"),
      specColumn("NAT", "natOutgoing", "boolean"),
      conditionColumn("Allocatable", "Allocatable", "status"),
      AGE,
      flagColumn("Disabled", "disabled"),
      flagColumn("DisableBGPExport", "disableBGPExport"),
      wide(specColumn("Selector", "nodeSelector")),
      wide(specColumn("AssignmentMode", "assignmentMode")),
    ],
  }),
  resource({
    kind: "IPReservation",
    plural: "ipreservations",
    singular: "ipreservation",
    namespaced: false,
    spec: ipReservationSpec,
    columns: [AGE, listColumn("CIDRs", "reservedCIDRs")],
  }),
  resource({
    kind: "KubeControllersConfiguration",
    plural: "kubecontrollersconfigurations",
    singular: "kubecontrollersconfiguration",
    shortNames: ["kcc", "kccs"],
    namespaced: false,
    name: onlyDefault,
    spec: kubeControllersConfigurationSpec,
  }),
  resource({
    kind: "NetworkPolicy",
    plural: "networkpolicies",
    singular: "networkpolicy",
    shortNames: ["cnp", "caliconetworkpolicy"],
    namespaced: true,
    name: policyName,
    spec: networkPolicySpec,
    default: defaultPolicy,
    checkAmong: policyAmong,
    columns: POLICY_COLUMNS,
  }),
  resource(
    {
      kind: "NetworkSet",
      plural: "networksets",
      singular: "networkset",
      shortNames: ["netset", "netsets"],
      namespaced: true,
      spec: networkSetSpec,
      columns: [AGE, listColumn("Nets", "nets")],
    },
    noNamespaceLabel,
  ),
  resource({
    kind: "Profile",
    plural: "profiles",
    singular: "profile",
    namespaced: false,
    spec: profileSpec,
  }),
  resource({
    kind: "StagedGlobalNetworkPolicy",
    plural: "stagedglobalnetworkpolicies",
    singular: "stagedglobalnetworkpolicy",
    shortNames: ["sgnp"],
    namespaced: false,
    name: policyName,
    spec: stagedGlobalNetworkPolicySpec,
    default: defaultStagedPolicy,
    checkAmong: policyAmong,
    notEnforced: STAGED,
    columns: POLICY_COLUMNS,
  }),
  resource({
    kind: "StagedKubernetesNetworkPolicy",
    plural: "stagedkubernetesnetworkpolicies",
    singular: "stagedkubernetesnetworkpolicy",
    shortNames: ["sknp"],
    namespaced: true,
    spec: stagedKubernetesNetworkPolicySpec,
    default: defaultStagedKubernetesPolicy,
    notEnforced: STAGED,
  }),
  resource({
    kind: "StagedNetworkPolicy",
    plural: "stagednetworkpolicies",
    singular: "stagednetworkpolicy",
    shortNames: ["scnp", "snp"],
    namespaced: true,
    name: policyName,
    spec: stagedNetworkPolicySpec,
    default: defaultStagedPolicy,
    checkAmong: policyAmong,
    notEnforced: STAGED,
    columns: POLICY_COLUMNS,
  }),
  resource(
    {
      kind: "Tier",
      plural: "tiers",
      singular: "tier",
      namespaced: false,
      name: tierName,
      spec: tierSpec,
      default: defaultTier,
      columns: [
        specColumn("Order", "order", "integer"),
        specColumn("DefaultAction", "defaultAction"),
        conditionColumn("Status", "Ready", "reason"),
      ],
    },
    (value) => checkFixedTier(value as Tier),
  ),
];
