import type { Kernel } from "@cnilab/linux";
import { formatIp } from "@cnilab/net";
import { CiliumAgent } from "../agent/cilium-agent.ts";
import { ClusterSecurity } from "../agent/policy/cluster-security.ts";
import { PolicyPart } from "../agent/policy/policy-part.ts";
import { NodeServices } from "../agent/services/node-services.ts";
import type { CiliumIdentity } from "../api/v2/identity.ts";
import type { CiliumNode } from "../api/v2/node.ts";
import { IDENTITY_SCOPE, scopeOf } from "../identity/numeric-identity.ts";
import { RESERVED_LABELS } from "../identity/reserved-identities.ts";
import { fromSecurityLabels, type LabelSet, printLabels } from "../labels/label-set.ts";
import { formatFrontend } from "../services/frontend.ts";
import { agentStatus } from "./agent-status.ts";
import { dbgTable } from "./dbg-table.ts";
import type { DbgOutput } from "./listing.ts";

// What `cilium-dbg` asks of the agent itself, rather than of maps.

/** `cilium-dbg endpoint list` (cilium-dbg/cmd/endpoint_list.go). */
function endpointListing(agent: CiliumAgent): DbgOutput {
  const policies = agent.part(PolicyPart);
  const { audit } = agent.config.policy;
  const word = (enforced: boolean | undefined) => {
    if (enforced !== true) return "Disabled";
    return audit ? "Disabled (Audit)" : "Enabled";
  };
  const endpoints = [...agent.endpoints].sort((x, y) => x.id - y.id);
  const lines = [
    "ENDPOINT\tPOLICY (ingress)\tPOLICY (egress)\tIDENTITY\tLABELS (source:key[=value])\tIPv6\tIPv4\tSTATUS\t",
    "\tENFORCEMENT\tENFORCEMENT\t\t\t\t\t\t",
  ];
  const json = endpoints.map((endpoint) => {
    const { id, identity, state, ipv4, ipv6 } = endpoint;
    const policy = policies?.status(endpoint);
    const labels = printLabels(endpoint.labels);
    const [first = "no labels", ...others] = labels;
    const [v4, v6] = [ipv4, ipv6].map((ip) => (ip === undefined ? "" : formatIp(ip)));
    const cells = [id, word(policy?.ingress), word(policy?.egress), identity, first, v6, v4, state];
    lines.push(`${cells.join("\t")}\t`, ...others.map((label) => `\t\t\t\t${label}\t\t\t\t`));
    return {
      id,
      status: {
        "external-identifiers": {
          "container-id": endpoint.containerId,
          "pod-name": endpoint.podKey,
        },
        identity: { id: identity, labels },
        labels: { "security-relevant": labels },
        networking: { addressing: [{ ipv4: v4, ipv6: v6 }] },
        policy: {
          realized: {
            id: identity,
            "policy-enabled": enabled(policy?.ingress === true, policy?.egress === true, audit),
            "policy-revision": policy?.revision ?? 0,
          },
        },
        state,
      },
    };
  });
  return { text: dbgTable(lines), json };
}

/** `models.EndpointPolicyEnabled` */
function enabled(ingress: boolean, egress: boolean, audit: boolean): string {
  const what = ingress ? (egress ? "both" : "ingress") : egress ? "egress" : "none";
  return audit && what !== "none" ? `audit-${what}` : what;
}

/** `cilium-dbg identity list` (identity_list.go): those of all, and those that the node gave to ranges. */
function identityListing(agent: CiliumAgent): DbgOutput {
  const { selectors } = agent.cluster.part(ClusterSecurity).policies;
  const labels = new Map<number, LabelSet>(
    [...RESERVED_LABELS].filter(([identity]) => identity > 0),
  );
  for (const object of agent.node.api.list(
    "CiliumIdentity.cilium.io",
  ) as readonly CiliumIdentity[]) {
    labels.set(Number(object.metadata.name), fromSecurityLabels(object["security-labels"]));
  }
  for (const [, { identity }] of agent.maps.ipcache.entries()) {
    const own = selectors.labelsOf(identity);
    if (own !== undefined && scopeOf(identity) !== IDENTITY_SCOPE.global) labels.set(identity, own);
  }
  const sorted = [...labels].sort(([x], [y]) => x - y);
  const lines = sorted.flatMap(([id, set]) =>
    printLabels(set).map((label, i) => `${i === 0 ? id : ""}\t${label}`),
  );
  return {
    text: dbgTable(["ID\tLABELS", ...lines], 2),
    json: sorted.map(([id, set]) => ({ id, labels: printLabels(set) })),
  };
}

const BACKEND_STATES = ["active", "terminating", "quarantined", "maintenance"] as const;

/** `cilium-dbg service list` (service_list.go). */
function serviceListing(agent: CiliumAgent): DbgOutput {
  const services = [...(agent.part(NodeServices)?.listed() ?? [])].sort((x, y) => x.id - y.id);
  const lines = ["ID\tFrontend\tService Type\tBackend\t"];
  const json = services.map(({ id, frontend, backends }) => {
    const texts = backends.map(
      (backend, i) =>
        `${i + 1} => ${formatFrontend({ ...backend, scope: 0 })} (${BACKEND_STATES[backend.state]})`,
    );
    const [first = "", ...others] = texts;
    lines.push(`${id}\t${formatFrontend(frontend)}\t${frontend.type}\t${first}\t`);
    lines.push(...others.map((text) => `\t\t\t${text}\t`));
    const spec = {
      id,
      "frontend-address": {
        ip: formatIp(frontend.address),
        port: frontend.port,
        protocol: frontend.protocol.toLowerCase(),
        scope: frontend.scope === 0 ? "external" : "internal",
      },
      flags: { type: frontend.type },
      "backend-addresses": backends.map(({ address, port, protocol, state }) => ({
        ip: formatIp(address),
        port,
        protocol,
        state: BACKEND_STATES[state],
        preferred: true,
      })),
    };
    return { spec, status: { realized: spec } };
  });
  return { text: dbgTable(lines), json };
}

/** `cilium-dbg node list` (node_list.go). */
function nodeListing(agent: CiliumAgent): DbgOutput {
  const nodes = agent.node.api.list("CiliumNode.cilium.io") as readonly CiliumNode[];
  const { clusterName } = agent.config;
  const json = nodes.map(({ metadata: { name }, spec }) => {
    const of = (texts: readonly (string | undefined)[], v6: boolean) =>
      texts.find((text) => text !== undefined && text.includes(":") === v6) ?? "";
    const ips = (spec.addresses ?? []).flatMap(({ type, ip }) => (type === "InternalIP" ? ip : []));
    const { podCIDRs = [], pools } = spec.ipam ?? {};
    const ranges = [...podCIDRs, ...(pools?.allocated ?? []).flatMap(({ cidrs = [] }) => cidrs)];
    return {
      name: clusterName === "default" ? name : `${clusterName}/${name}`,
      "primary-address": {
        ipv4: { ip: of(ips, false), "alloc-range": of(ranges, false) },
        ipv6: { ip: of(ips, true), "alloc-range": of(ranges, true) },
      },
      source: name === agent.node.name ? "local" : "custom-resource",
    };
  });
  const lines = json.map(({ name, source, "primary-address": { ipv4, ipv6 } }) =>
    [name, ipv4.ip, ipv4["alloc-range"], ipv6.ip, ipv6["alloc-range"], source].join("\t"),
  );
  const title = "Name\tIPv4 Address\tEndpoint CIDR\tIPv6 Address\tEndpoint CIDR\tSource";
  return { text: dbgTable([title, ...lines.sort()], 0), json };
}

export type AgentListing =
  | "endpoint list"
  | "identity list"
  | "node list"
  | "service list"
  | "status";

const LISTINGS: Readonly<Record<AgentListing, (agent: CiliumAgent) => DbgOutput>> = {
  "endpoint list": endpointListing,
  "identity list": identityListing,
  "node list": nodeListing,
  "service list": serviceListing,
  status: agentStatus,
};

/** Words that `cilium-dbg` takes. */
export const AGENT_LISTINGS: readonly AgentListing[] = Object.keys(LISTINGS) as AgentListing[];

/** What the agent of a machine tells; `undefined` where none runs. */
export function agentOutput(kernel: Kernel, what: AgentListing): DbgOutput | undefined {
  const agent = CiliumAgent.of(kernel);
  return agent?.isUp === true ? LISTINGS[what](agent) : undefined;
}
