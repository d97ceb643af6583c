import type { Machine } from "./machine.ts";

/** A plugin's own configuration: what CNI hands it on standard input. */
export interface PluginConfig {
  readonly cniVersion: string;
  readonly name: string;
  readonly type: string;
  readonly ipam?: { readonly type: string; readonly [key: string]: unknown };
  readonly dns?: CniDns;
  readonly runtimeConfig?: Readonly<Record<string, unknown>>;
  readonly args?: { readonly cni?: Readonly<Record<string, unknown>> };
  readonly prevResult?: CniResult;
  readonly [key: string]: unknown;
}

/** A network configuration list (CNI specification 1.1, section 1). */
export interface NetworkConfigList {
  readonly cniVersion: string;
  readonly cniVersions?: readonly string[];
  readonly name: string;
  readonly disableCheck?: boolean;
  readonly disableGC?: boolean;
  readonly plugins: readonly NetworkPluginConfig[];
}

/** One plugin of a list, before the runtime adds name, version and runtime configuration. */
export interface NetworkPluginConfig {
  readonly type: string;
  readonly capabilities?: Readonly<Record<string, boolean>>;
  readonly ipam?: { readonly type: string; readonly [key: string]: unknown };
  readonly [key: string]: unknown;
}

export interface CniInterface {
  readonly name: string;
  readonly mac?: string;
  readonly mtu?: number;
  readonly sandbox?: string;
  readonly socketPath?: string;
  readonly pciID?: string;
}

export interface CniIp {
  /** Only in results of version 0.4.0 and older. */
  readonly version?: "4" | "6";
  /** Index into {@link CniResult.interfaces}. */
  readonly interface?: number;
  /** In CIDR notation, host bits kept. */
  readonly address: string;
  readonly gateway?: string;
}

export interface CniRoute {
  readonly dst: string;
  readonly gw?: string;
  readonly mtu?: number;
  readonly advmss?: number;
  readonly priority?: number;
  readonly table?: number;
  readonly scope?: number;
}

export interface CniDns {
  readonly nameservers?: readonly string[];
  readonly domain?: string;
  readonly search?: readonly string[];
  readonly options?: readonly string[];
}

/** What ADD returns (CNI specification 1.1, section 5). */
export interface CniResult {
  readonly cniVersion: string;
  readonly interfaces?: readonly CniInterface[];
  readonly ips?: readonly CniIp[];
  readonly routes?: readonly CniRoute[];
  readonly dns?: CniDns;
}

export type CniCommand = "ADD" | "DEL" | "CHECK" | "GC" | "STATUS" | "VERSION";

/** One execution of a plugin: what a real one finds in its environment and on standard input. */
export interface CniCall {
  readonly containerId: string;
  /** Path of the pod's {@link Sandbox}; empty when it is gone already (DEL). */
  readonly netns: string;
  readonly ifName: string;
  /** `CNI_ARGS`: `KEY=value;KEY=value`. */
  readonly args: string;
  readonly config: PluginConfig;
  /** The machine it runs on. */
  readonly host: Machine;
  /** Executes another plugin, as `type: bridge` or an `ipam.type`, with the same environment. */
  delegate(type: string, command: CniCommand, config: PluginConfig): CniResult | undefined;
}

/** A CNI plugin that runs inside the simulator. Failures are {@link CniError}s. */
export interface CniPlugin {
  /** Name of the binary, as `bridge` or `host-local`. */
  readonly type: string;
  /** Versions of the specification that it speaks; absent for all. */
  readonly supportedVersions?: readonly string[];
  add(call: CniCall): CniResult;
  del(call: CniCall): void;
  check(call: CniCall): void;
  gc?(call: CniCall): void;
  status?(call: CniCall): void;
}

/** Error codes of the CNI specification; plugins report most failures of their own as 999. */
export const CNI_ERROR = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  containerUnknown: 3,
  invalidEnvironment: 4,
  ioFailure: 5,
  decodeFailure: 6,
  invalidNetworkConfig: 7,
  tryAgainLater: 11,
  notAvailable: 50,
  limitedConnectivity: 51,
  generic: 999,
} as const;

/** What a failing plugin prints on standard output. */
export class CniError extends Error {
  override readonly name = "CniError";
  readonly code: number;
  readonly details: string | undefined;

  constructor(code: number, message: string, details?: string) {
    super(message);
    this.code = code;
    this.details = details;
  }
}

/**
 * A plugin that waits, as one does that has asked an agent and has no answer yet: ADD has not ended. Whoever ran it runs it again when
 * it is told to, for the same container, or gives up and runs DEL.
 */
export class CniWaiting extends CniError {
  /** Calls back once, when what the plugin waits for has come. @returns what ends the waiting without that */
  readonly whenOver: (callback: () => void) => () => void;

  constructor(message: string, whenOver: (callback: () => void) => () => void) {
    super(CNI_ERROR.tryAgainLater, message);
    this.whenOver = whenOver;
  }
}
