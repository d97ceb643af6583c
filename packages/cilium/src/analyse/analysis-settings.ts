import type { CniOptionValues, KubeObject, Node, Pod } from "@cnilab/core";
import { DEFAULT_POLICY_SETTINGS, type PolicySettings } from "../policy/policy-settings.ts";

/** What of an agent's settings says who may talk to whom. */
export interface AnalysisSettings extends PolicySettings {
  /** `policyCIDRMatchMode: nodes` */
  readonly cidrMatchesNodes: boolean;
  /** `policyAuditMode`: nothing is denied. */
  readonly audit: boolean;
  /** `labels`: patterns beside those built in. */
  readonly labelPatterns: readonly string[];
}

/** @param options values of the chart by their paths; what is absent is as the chart has it */
export function analysisSettings(
  options: CniOptionValues,
  objects: Iterable<KubeObject>,
): AnalysisSettings {
  const text = (key: string) => {
    const value = options[key];
    return value === undefined || value === "" ? undefined : String(value);
  };
  const flag = (key: string, preset: boolean) => {
    const value = options[key];
    return typeof value === "boolean" ? value : preset;
  };
  return {
    ...DEFAULT_POLICY_SETTINGS,
    clusterName: text("cluster.name") ?? DEFAULT_POLICY_SETTINGS.clusterName,
    defaultLocalCluster: flag("clustermesh.policyDefaultLocalCluster", false),
    dualStack: isDualStack(objects),
    enforcement: (text("policyEnforcementMode") ?? "default") as PolicySettings["enforcement"],
    hostFirewall: flag("hostFirewall.enabled", false),
    nodeSelectorLabels: flag("nodeSelectorLabels", false),
    l7Proxy: flag("l7Proxy", true),
    cidrMatchesNodes: words(text("policyCIDRMatchMode")).includes("nodes"),
    audit: flag("policyAuditMode", false),
    labelPatterns: words(text("labels")),
  };
}

/** Whether a node or a pod has addresses of both families. */
function isDualStack(objects: Iterable<KubeObject>): boolean {
  for (const object of objects) {
    const texts =
      object.kind === "Node"
        ? ((object as Node).spec?.podCIDRs ?? [])
        : object.kind === "Pod"
          ? ((object as Pod).status?.podIPs ?? []).map(({ ip }) => ip)
          : [];
    const isIpv6 = (text: string) => text.includes(":");
    if (texts.some(isIpv6) && !texts.every(isIpv6)) return true;
  }
  return false;
}

function words(text: string | undefined): readonly string[] {
  return text === undefined ? [] : text.split(/[ ,]+/).filter((word) => word !== "");
}
