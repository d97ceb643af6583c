import { type LabelSelector, parseLabelSelector } from "@cnilab/core";
import type { PluginArguments } from "../corefile/directive-cursor.ts";
import { parseDuration } from "../corefile/go-duration.ts";
import { originsOf } from "../corefile/zone-names.ts";
import { isReverseName } from "../message/name.ts";
import { Fallthrough } from "../server/fallthrough.ts";

export type PodMode = "disabled" | "insecure" | "verified";

/** What the Corefile says to `kubernetes`. */
export interface KubernetesSettings {
  readonly zones: readonly string[];
  /** The first zone that is not a reverse one: names that PTR records give are in it. */
  readonly primaryZone: string;
  readonly ttl: number;
  readonly pods: PodMode;
  readonly fallthrough: Fallthrough;
  /** Undefined for all. */
  readonly namespaces?: ReadonlySet<string>;
  readonly endpointPodNames: boolean;
  readonly endpoints: boolean;
  readonly ignoreEmptyService: boolean;
  readonly zonal: boolean;
  readonly labels?: LabelSelector;
  readonly namespaceLabels?: LabelSelector;
}

const PROPERTIES = [
  "endpoint",
  "tls",
  "kubeconfig",
  "namespaces",
  "labels",
  "namespace_labels",
  "pods",
  "endpoint_pod_names",
  "ttl",
  "noendpoints",
  "fallthrough",
  "ignore",
  "zonal",
  "startup_timeout",
  "apiserver_qps",
  "apiserver_burst",
  "apiserver_max_inflight",
];

/** CoreDNS `plugin/kubernetes/setup.go` ParseStanza. @throws CorefileError */
export function parseKubernetes(
  use: PluginArguments,
  blockZones: readonly string[],
): KubernetesSettings {
  const zones = originsOf(use.words, blockZones);
  // The whole of in-addr.arpa and ip6.arpa do not count as reverse zones here (dnsutil.IsReverse).
  const primaryZone = zones.find((zone) => !isReverseName(zone));
  if (primaryZone === undefined) throw use.error("non-reverse zone name must be used");
  let settings: KubernetesSettings = {
    zones,
    primaryZone,
    ttl: 5,
    pods: "disabled",
    fallthrough: new Fallthrough(),
    endpointPodNames: false,
    endpoints: true,
    ignoreEmptyService: false,
    zonal: false,
  };
  const many = Number.POSITIVE_INFINITY;
  for (const property of use.properties) {
    const selector = (): LabelSelector => {
      const text = use.argsOf(property, 1, many).join(" ");
      const parsed = parseLabelSelector(text);
      if (parsed !== undefined) return parsed;
      throw use.error(
        `unable to parse ${property.name.text} selector value: '${text}'`,
        property.name,
      );
    };
    switch (property.name.text) {
      case "endpoint_pod_names":
        use.argsOf(property, 0);
        settings = { ...settings, endpointPodNames: true };
        break;
      case "pods": {
        const [mode] = use.argsOf(property, 1);
        if (mode !== "disabled" && mode !== "insecure" && mode !== "verified") {
          throw use.error(
            `wrong value for pods: ${mode}, must be one of: disabled, verified, insecure`,
            property.name,
          );
        }
        settings = { ...settings, pods: mode };
        break;
      }
      case "namespaces": {
        const names = use.argsOf(property, 1, many);
        settings = { ...settings, namespaces: new Set([...(settings.namespaces ?? []), ...names]) };
        break;
      }
      case "labels":
        settings = { ...settings, labels: selector() };
        break;
      case "namespace_labels":
        settings = { ...settings, namespaceLabels: selector() };
        break;
      case "fallthrough":
        settings = {
          ...settings,
          fallthrough: new Fallthrough(property.args.map(({ text }) => text)),
        };
        break;
      case "ttl": {
        const [text] = use.argsOf(property, 1) as [string];
        settings = { ...settings, ttl: use.number(property, text, 0, 3600) };
        break;
      }
      case "noendpoints":
        use.argsOf(property, 0);
        settings = { ...settings, endpoints: false };
        break;
      case "zonal":
        use.argsOf(property, 0);
        settings = { ...settings, zonal: true };
        break;
      case "ignore": {
        const [what] = use.argsOf(property, 0, many);
        if (what === "empty_service") settings = { ...settings, ignoreEmptyService: true };
        else if (what !== undefined) {
          throw use.error(`unable to parse ignore value: '${what}'`, property.name);
        }
        break;
      }
      case "multicluster":
        throw use.error("multicluster zones are not modelled", property.name);
      // How the API server is reached and how fast: here it is always there.
      case "endpoint":
        use.argsOf(property, 1, many);
        break;
      case "tls":
        use.argsOf(property, 3);
        break;
      case "kubeconfig":
        use.argsOf(property, 1, 2);
        break;
      case "startup_timeout": {
        const [text] = use.argsOf(property, 1) as [string];
        if (parseDuration(text) === undefined) {
          throw use.error(`failed to parse startup_timeout: ${text}`, property.name);
        }
        break;
      }
      case "apiserver_qps":
      case "apiserver_burst":
      case "apiserver_max_inflight":
        if (!(Number(use.argsOf(property, 1)[0]) >= 0)) {
          throw use.error(`${property.name.text} must be a number of at least 0`, property.name);
        }
        break;
      default:
        throw use.unknown(property, PROPERTIES);
    }
  }
  if (settings.namespaces !== undefined && settings.namespaceLabels !== undefined) {
    throw use.error("namespaces and namespace_labels cannot both be set");
  }
  if (settings.zonal && !settings.endpoints) {
    throw use.error("zonal requires the endpoint cache; remove noendpoints");
  }
  return settings;
}
