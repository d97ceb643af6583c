import { identityRange } from "../../identity/numeric-identity.ts";
import { LabelFilter } from "../../labels/label-filter.ts";
import type { AgentConfig } from "../../options/agent-config.ts";
import type { PolicySettings } from "../../policy/policy-settings.ts";
import type { ClusterCilium } from "../cluster-cilium.ts";
import { type AgentWorld, Propagation } from "../identity/agent-world.ts";
import { ClusterIdentities } from "../identity/cluster-identities.ts";
import type { IpcacheSettings } from "../identity/cluster-ipcache.ts";
import { ClusterPolicies } from "./cluster-policies.ts";

/** Identities, addresses and policies as all agents of a cluster know them; found by `cluster.part(ClusterSecurity)`. */
export class ClusterSecurity {
  /** How late agents hear of changes. */
  readonly propagation: Propagation = new Propagation();
  readonly identities: ClusterIdentities;
  readonly policies: ClusterPolicies;

  constructor({ config, api, clock, network, maps }: ClusterCilium) {
    const world: AgentWorld = { api, clock, network, maps, propagation: this.propagation };
    this.identities = new ClusterIdentities(world, {
      clusterName: config.clusterName,
      range: identityRange(0),
      filter: new LabelFilter((config.policy.labels ?? "").split(/\s+/)),
      graceMs: config.policy.identityChangeGraceMs,
    });
    this.policies = new ClusterPolicies(world, this.identities, {
      policy: policySettings(config),
      ipcache: ipcacheSettings(config),
      maxEntries: config.maps.policy,
    });
  }
}

export function policySettings({
  clusterName,
  families,
  policy,
  l7Proxy,
}: AgentConfig): PolicySettings {
  return {
    clusterName,
    defaultLocalCluster: false,
    dualStack: families.length > 1,
    enforcement: policy.enforcement,
    allowLocalhost: "auto",
    hostFirewall: policy.hostFirewall,
    nodeSelectorLabels: false,
    l7Proxy,
  };
}

function ipcacheSettings({
  clusterName,
  families,
  routing,
  policy,
  wireguard,
}: AgentConfig): IpcacheSettings {
  return {
    clusterName,
    families,
    underlay: routing.underlay,
    dualStack: families.length > 1,
    cidrMatchesNodes: policy.cidrMatchesNodes,
    nodeLabels: false,
    hostFirewall: policy.hostFirewall,
    encryption: wireguard === undefined ? "none" : wireguard.nodeEncryption ? "nodes" : "pods",
  };
}
