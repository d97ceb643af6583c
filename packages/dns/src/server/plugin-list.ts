import { setupAutopath } from "../plugins/autopath.ts";
import { setupCache } from "../plugins/cache.ts";
import { setupErrors } from "../plugins/errors.ts";
import { setupFile } from "../plugins/file.ts";
import { setupForward } from "../plugins/forward.ts";
import { setupHosts } from "../plugins/hosts.ts";
import { setupKubernetes } from "../plugins/kubernetes.ts";
import { setupLoadBalance } from "../plugins/loadbalance.ts";
import { setupLog } from "../plugins/log.ts";
import { setupLoop } from "../plugins/loop.ts";
import { setupMinimal } from "../plugins/minimal.ts";
import { setupRewrite } from "../plugins/rewrite.ts";
import { setupTemplate } from "../plugins/template.ts";
import { setupWhoami } from "../plugins/whoami.ts";
import type { PluginSetup } from "./plugin.ts";

export type PluginOrder = "v1.15" | "v1.13";

/** Plugins that answers depend on, in the order of CoreDNS v1.15's `plugin.cfg`: it decides, not the Corefile. */
const PLUGINS: readonly (readonly [name: string, setup: PluginSetup])[] = [
  ["errors", setupErrors],
  ["log", setupLog],
  ["loadbalance", setupLoadBalance],
  ["rewrite", setupRewrite],
  ["autopath", setupAutopath],
  ["cache", setupCache],
  ["minimal", setupMinimal],
  ["template", setupTemplate],
  ["hosts", setupHosts],
  ["kubernetes", setupKubernetes],
  ["file", setupFile],
  ["loop", setupLoop],
  ["forward", setupForward],
  ["whoami", setupWhoami],
];

/** What belongs to the server block itself, or serves something else than DNS: read and let be. */
export const PASSIVE_PLUGINS: ReadonlySet<string> = new Set([
  "bind",
  "root",
  "health",
  "ready",
  "prometheus",
  "reload",
  "pprof",
  "debug",
  "metadata",
  "trace",
  "timeouts",
  "multisocket",
  "cancel",
  "bufsize",
]);

/** Plugins that CoreDNS has and that are not modelled: named as such, not as unknown. */
export const OTHER_PLUGINS: ReadonlySet<string> = new Set(
  (
    "geoip proxyproto quic grpc_server https https3 nsid shed dnstap local dns64 any chaos tsig acl header dnssec tls " +
    "transfer route53 azure clouddns k8s_external auto secondary etcd grpc erratic on sign view nomad"
  ).split(" "),
);

/** In v1.13 and v1.14.0 `cache` stands before `rewrite` and `autopath` (plugin.cfg of those releases). */
export function orderedPlugins(order: PluginOrder): readonly (readonly [string, PluginSetup])[] {
  if (order === "v1.15") return PLUGINS;
  const cache = PLUGINS.filter(([name]) => name === "cache");
  const rest = PLUGINS.filter(([name]) => name !== "cache");
  const at = rest.findIndex(([name]) => name === "loadbalance") + 1;
  return [...rest.slice(0, at), ...cache, ...rest.slice(at)];
}

export const PLUGIN_NAMES: readonly string[] = PLUGINS.map(([name]) => name);
