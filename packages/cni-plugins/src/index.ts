export { chainName } from "./chain-name.ts";
export {
  CniBridgeEngine,
  type CniBridgeEngineOptions,
} from "./cni-bridge-engine.ts";
export { hostLocal } from "./host-local/host-local.ts";
export { IpamEnginePlugin } from "./ipam-engine-plugin.ts";
export {
  CONFIG_FOLDER,
  parseNetworkList,
  readNetworkList,
  watchedNetworkList,
} from "./network-list.ts";
export { executePlugin, supportedVersions } from "./plugin-execution.ts";
export { PLUGINS } from "./plugins.ts";
export { asVersion } from "./result-version.ts";
export {
  CniRuntime,
  type CniRuntimeOptions,
  type PluginExecution,
  type RuntimeConf,
  type ValidAttachment,
} from "./runtime.ts";
