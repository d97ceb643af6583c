import {
  CNI_ERROR,
  type CniCall,
  type CniCommand,
  CniError,
  type CniPlugin,
  type CniResult,
  CniWaiting,
  type Machine,
  type NetworkConfigList,
  type NetworkPluginConfig,
  type PluginConfig,
} from "@cnilab/core";
import { quote } from "./go-text.ts";
import { executePlugin } from "./plugin-execution.ts";
import { ResultCache } from "./result-cache.ts";
import { asVersion } from "./result-version.ts";
import { versionAtLeast } from "./spec-version.ts";

/** One container's interface: what a runtime says beside the network (libcni `RuntimeConf`). */
export interface RuntimeConf {
  readonly containerId: string;
  /** Path of the network namespace; empty when it is gone. */
  readonly netns: string;
  readonly ifName: string;
  /** `CNI_ARGS`: `KEY=value;KEY=value`. */
  readonly args?: string;
  /** By capability; a plugin is given those that its configuration asks for. */
  readonly capabilityArgs?: Readonly<Record<string, unknown>> | undefined;
}

/** A container's interface that is still in use, as GC is told of it. */
export interface ValidAttachment {
  readonly containerID: string;
  readonly ifname: string;
}

/** One plugin that was executed from a list; delegates are part of theirs. */
export interface PluginExecution {
  readonly type: string;
  readonly command: CniCommand;
  readonly network: string;
  readonly containerId: string;
  /** What it printed: of ADD when it went well. */
  readonly result: CniResult | undefined;
  readonly error: CniError | undefined;
}

export interface CniRuntimeOptions {
  readonly host: Machine;
  /** By type: what stands for the binaries in `/opt/cni/bin`. */
  readonly plugins: ReadonlyMap<string, CniPlugin>;
  /** Takes the place of whatever plugin an `ipam.type` names. */
  readonly ipam?: CniPlugin;
  /** Told of each plugin of a list right after it ran. */
  readonly observe?: (execution: PluginExecution) => void;
}

/** Runs the plugins of a network one after the other, as libcni does for container runtimes. */
export class CniRuntime {
  readonly #host: Machine;
  readonly #plugins: ReadonlyMap<string, CniPlugin>;
  readonly #ipam: CniPlugin | undefined;
  readonly #observe: ((execution: PluginExecution) => void) | undefined;
  readonly #cache: ResultCache;

  constructor({ host, plugins, ipam, observe }: CniRuntimeOptions) {
    this.#host = host;
    this.#plugins = plugins;
    this.#ipam = ipam;
    this.#observe = observe;
    this.#cache = new ResultCache(host.files);
  }

  /** ADD of every plugin, each with the result of the one before. @throws CniError of the first that fails */
  addNetworkList(list: NetworkConfigList, rt: RuntimeConf): CniResult {
    let result: CniResult | undefined;
    for (const plugin of list.plugins) {
      try {
        result = this.#run("ADD", list, plugin, rt, result);
      } catch (error) {
        throw described(error, plugin, "add");
      }
    }
    if (result === undefined) {
      throw new CniError(CNI_ERROR.invalidNetworkConfig, `network ${list.name} has no plugins`);
    }
    this.#cache.add(list, rt, result);
    return result;
  }

  /** DEL of every plugin, the last one first, with the result of the ADD. @throws CniError of the first that fails */
  delNetworkList(list: NetworkConfigList, rt: RuntimeConf): void {
    const result = versionAtLeast(list.cniVersion, "0.4.0")
      ? this.cachedResult(list, rt)
      : undefined;
    for (const plugin of list.plugins.toReversed()) {
      try {
        this.#run("DEL", list, plugin, rt, result);
      } catch (error) {
        throw described(error, plugin, "delete");
      }
    }
    this.#cache.remove(list, rt);
  }

  /** CHECK of every plugin with the result of the ADD. @throws CniError of the first that fails */
  checkNetworkList(list: NetworkConfigList, rt: RuntimeConf): void {
    if (!versionAtLeast(list.cniVersion, "0.4.0")) {
      throw new CniError(
        CNI_ERROR.generic,
        `configuration version ${quote(list.cniVersion)} does not support the CHECK command`,
      );
    }
    if (list.disableCheck === true) return;
    const result = this.cachedResult(list, rt);
    for (const plugin of list.plugins) this.#run("CHECK", list, plugin, rt, result);
  }

  /**
   * DEL for every attachment of the network that is not among the valid ones, then GC of every plugin.
   * Goes on where something fails. @throws CniError with all that failed
   */
  gcNetworkList(list: NetworkConfigList, valid: readonly ValidAttachment[]): void {
    if (list.disableGC === true) return;
    const failures: string[] = [];
    const attempt = (what: string, run: () => void) => {
      try {
        run();
      } catch (error) {
        if (!(error instanceof CniError)) throw error;
        failures.push(`${what}: ${error.message}`);
      }
    };
    for (const rt of this.#cache.attachments(list.name)) {
      const { containerId, ifName } = rt;
      if (valid.some((v) => v.containerID === containerId && v.ifname === ifName)) continue;
      attempt(`failed to delete stale attachment ${containerId} ${ifName}`, () =>
        this.delNetworkList(list, rt),
      );
    }
    if (versionAtLeast(list.cniVersion, "1.1.0")) {
      const nobody: RuntimeConf = { containerId: "", netns: "", ifName: "" };
      const attachments = { "cni.dev/valid-attachments": valid, "cni.dev/attachments": valid };
      for (const plugin of list.plugins) {
        attempt(`failed to GC plugin ${plugin.type}`, () =>
          this.#run("GC", list, { ...plugin, ...attachments }, nobody, undefined),
        );
      }
    }
    if (failures.length > 0) throw new CniError(CNI_ERROR.generic, failures.join("\n"));
  }

  /** STATUS of every plugin: whether the network can take containers. @throws CniError of the first that cannot */
  statusNetworkList(list: NetworkConfigList): void {
    if (!versionAtLeast(list.cniVersion, "1.1.0")) return;
    const nobody: RuntimeConf = { containerId: "", netns: "", ifName: "" };
    for (const plugin of list.plugins) this.#run("STATUS", list, plugin, nobody, undefined);
  }

  /** What the ADD of an attachment returned, in the list's version. */
  cachedResult(list: NetworkConfigList, rt: RuntimeConf): CniResult | undefined {
    const result = this.#cache.find(list, rt);
    return result === undefined ? undefined : asVersion(result, list.cniVersion);
  }

  #run(
    command: CniCommand,
    list: NetworkConfigList,
    plugin: NetworkPluginConfig,
    rt: RuntimeConf,
    prevResult: CniResult | undefined,
  ): CniResult | undefined {
    const config = pluginConfig(list, plugin, rt, prevResult);
    const tell = (result: CniResult | undefined, error: CniError | undefined) => {
      const { type } = plugin;
      const { containerId } = rt;
      this.#observe?.({ type, command, network: list.name, containerId, result, error });
    };
    try {
      const result = this.#execute(plugin.type, command, rt, config, false);
      tell(result, undefined);
      return result;
    } catch (error) {
      if (error instanceof CniError) tell(undefined, error);
      throw error;
    }
  }

  #execute(
    type: string,
    command: CniCommand,
    rt: RuntimeConf,
    config: PluginConfig,
    delegated: boolean,
  ): CniResult | undefined {
    const isIpam = delegated && this.#ipam !== undefined && type === config.ipam?.type;
    const plugin = isIpam ? this.#ipam : this.#plugins.get(type);
    if (plugin === undefined) {
      throw new CniError(
        CNI_ERROR.generic,
        `failed to find plugin ${quote(type)} in path [/opt/cni/bin]`,
      );
    }
    const call: CniCall = {
      containerId: rt.containerId,
      netns: rt.netns,
      ifName: rt.ifName,
      args: rt.args ?? "",
      config,
      host: this.#host,
      delegate: (other, otherCommand, otherConfig) =>
        this.#execute(other, otherCommand, rt, otherConfig, true),
    };
    return executePlugin(plugin, command, call);
  }
}

/** The plugin's object with what the runtime adds (libcni `buildOneConfig`). */
function pluginConfig(
  list: NetworkConfigList,
  plugin: NetworkPluginConfig,
  rt: RuntimeConf,
  prevResult: CniResult | undefined,
): PluginConfig {
  const runtimeConfig = capabilityArgsFor(plugin, rt);
  return {
    ...plugin,
    name: list.name,
    cniVersion: list.cniVersion,
    ...(prevResult !== undefined && { prevResult }),
    ...(runtimeConfig !== undefined && { runtimeConfig }),
  } as PluginConfig;
}

function capabilityArgsFor(
  { capabilities }: NetworkPluginConfig,
  rt: RuntimeConf,
): Record<string, unknown> | undefined {
  if (capabilities === undefined) return undefined;
  const { capabilityArgs } = rt;
  if (capabilityArgs === undefined) return undefined;
  let found: Record<string, unknown> | undefined;
  for (const capability in capabilities) {
    if (capabilities[capability] !== true) continue;
    const value = capabilityArgs[capability];
    if (value === undefined) continue;
    found ??= {};
    found[capability] = value;
  }
  return found;
}

/** The error of a plugin under libcni's words; its code stays. */
function described(error: unknown, { type }: NetworkPluginConfig, verb: "add" | "delete"): unknown {
  if (!(error instanceof CniError) || error instanceof CniWaiting) return error;
  const details = error.details === undefined ? "" : `; ${error.details}`;
  return new CniError(
    error.code,
    `plugin type=${quote(type)} failed (${verb}): ${error.message}${details}`,
  );
}
