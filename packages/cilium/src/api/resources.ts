import type { Condition, CustomResource, KubeObject, PrinterColumn } from "@cnilab/core";
import { type Check, fail } from "@cnilab/core/validation";
import { ALPHA_VERSION, GROUP, VERSION } from "./kinds.ts";
import { cidrGroup, endpoint, identity, networkPolicy, node, podIpPool } from "./object-checks.ts";
import type { CiliumEndpoint } from "./v2/endpoint.ts";
import type { CiliumNode } from "./v2/node.ts";
import type { CiliumPodIPPool } from "./v2/pod-ip-pool.ts";

function resource(given: Omit<CustomResource, "group" | "version">): CustomResource {
  return { group: GROUP, version: VERSION, ...given };
}

const AGE: PrinterColumn = {
  name: "Age",
  type: "date",
  value: ({ metadata }) => metadata.creationTimestamp,
};

/** What the operator says of a policy; nothing checks a status. */
const VALID: PrinterColumn = {
  name: "Valid",
  type: "string",
  value: (object) => {
    const { status } = object as { readonly status?: { readonly conditions?: unknown } };
    const conditions = status?.conditions;
    if (!Array.isArray(conditions)) return undefined;
    return (conditions as (Condition | null)[]).find((each) => each?.type === "Valid")?.status;
  },
};

function endpointColumn(
  name: string,
  type: "string" | "integer",
  value: (status: CiliumEndpoint["status"] | undefined) => unknown,
  wide = false,
): PrinterColumn {
  return {
    name,
    type,
    ...(wide && { wide }),
    value: (object) => value((object as CiliumEndpoint).status),
  };
}

function nodeAddress(type: string): PrinterColumn {
  return {
    name: type,
    type: "string",
    value: (object) =>
      (object as CiliumNode).spec.addresses?.find((each) => each.type === type)?.ip,
  };
}

/** An identity's name is its number. */
const identityName: Check = (value, path) => {
  if (typeof value === "string" && /^[1-9][0-9]{0,9}$/.test(value)) return;
  fail(path, "must be a number, such as 12345");
};

/** Parts that nodes have must stay what they are (the operator refuses another length: operator/pkg/ipam/allocator/multipool). */
function poolUpdate(pool: CiliumPodIPPool, old: CiliumPodIPPool): void {
  for (const family of ["ipv4", "ipv6"] as const) {
    const [now, before] = [pool.spec[family]?.maskSize, old.spec[family]?.maskSize];
    if (now === undefined || before === undefined || now === before) continue;
    fail(["spec", family, "maskSize"], `cannot be changed from ${before}; make another pool`);
  }
}

/** The kinds of cilium.io that are modelled, as the API server knows them (pkg/k8s/apis/cilium.io). */
export const CILIUM_RESOURCES: readonly CustomResource[] = [
  resource({
    kind: "CiliumCIDRGroup",
    plural: "ciliumcidrgroups",
    singular: "ciliumcidrgroup",
    shortNames: ["ccg"],
    namespaced: false,
    servedVersions: [{ group: GROUP, version: ALPHA_VERSION }],
    check: cidrGroup,
  }),
  resource({
    kind: "CiliumClusterwideNetworkPolicy",
    plural: "ciliumclusterwidenetworkpolicies",
    singular: "ciliumclusterwidenetworkpolicy",
    shortNames: ["ccnp"],
    namespaced: false,
    columns: [VALID],
    check: networkPolicy,
  }),
  resource({
    kind: "CiliumEndpoint",
    plural: "ciliumendpoints",
    singular: "ciliumendpoint",
    shortNames: ["cep", "ciliumep"],
    namespaced: true,
    columns: [
      endpointColumn("Security Identity", "integer", (status) => status?.identity?.id),
      endpointColumn(
        "Ingress Enforcement",
        "string",
        (status) => status?.policy?.ingress?.state,
        true,
      ),
      endpointColumn(
        "Egress Enforcement",
        "string",
        (status) => status?.policy?.egress?.state,
        true,
      ),
      endpointColumn("Endpoint State", "string", (status) => status?.state),
      endpointColumn("IPv4", "string", (status) => status?.networking?.addressing[0]?.ipv4),
      endpointColumn("IPv6", "string", (status) => status?.networking?.addressing[0]?.ipv6),
    ],
    check: endpoint,
  }),
  resource({
    kind: "CiliumIdentity",
    plural: "ciliumidentities",
    singular: "ciliumidentity",
    shortNames: ["ciliumid"],
    namespaced: false,
    name: identityName,
    columns: [
      {
        name: "Namespace",
        type: "string",
        value: ({ metadata }: KubeObject) => metadata.labels?.["io.kubernetes.pod.namespace"],
      },
      AGE,
    ],
    check: identity,
  }),
  resource({
    kind: "CiliumNetworkPolicy",
    plural: "ciliumnetworkpolicies",
    singular: "ciliumnetworkpolicy",
    shortNames: ["cnp", "ciliumnp"],
    namespaced: true,
    columns: [AGE, VALID],
    check: networkPolicy,
  }),
  resource({
    kind: "CiliumNode",
    plural: "ciliumnodes",
    singular: "ciliumnode",
    shortNames: ["cn", "ciliumn"],
    namespaced: false,
    columns: [nodeAddress("CiliumInternalIP"), nodeAddress("InternalIP"), AGE],
    check: node,
  }),
  {
    ...resource({
      kind: "CiliumPodIPPool",
      plural: "ciliumpodippools",
      singular: "ciliumpodippool",
      shortNames: ["cpip"],
      namespaced: false,
      check: podIpPool,
    }),
    version: ALPHA_VERSION,
    checkUpdate: (pool, old) => poolUpdate(pool as CiliumPodIPPool, old as CiliumPodIPPool),
  },
];
