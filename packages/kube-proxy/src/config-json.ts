import { InputError } from "@cnilab/core";
import { SCHEDULER_NAMES, type SchedulerName } from "@cnilab/linux";
import { DEFAULT_CONFIG, type DetectLocalMode, type KubeProxyConfig } from "./config.ts";

const MODES: readonly DetectLocalMode[] = [
  "ClusterCIDR",
  "NodeCIDR",
  "BridgeInterface",
  "InterfaceNamePrefix",
];

/**
 * Settings as the golden vectors' `config.json` has them; what is absent keeps its default.
 * @throws InputError where a value has another type or is not one of those known
 */
export function readConfig(json: unknown, where: string): KubeProxyConfig {
  const settings = readObject(json, "kube-proxy's configuration", where);
  const local = readObject(settings["detectLocal"] ?? {}, "detectLocal", where);
  const ipvs = readObject(settings["ipvs"] ?? {}, "ipvs", where);
  const mode = read(settings, "detectLocalMode", "string", DEFAULT_CONFIG.detectLocalMode, where);
  if (!MODES.includes(mode as DetectLocalMode)) {
    throw new InputError(`detectLocalMode must be one of ${MODES.join(", ")}, not ${mode}`, where);
  }
  const bit = read(settings, "masqueradeBit", "number", DEFAULT_CONFIG.masqueradeBit, where);
  if (!Number.isInteger(bit) || bit < 0 || bit > 31) {
    throw new InputError(`masqueradeBit must be a whole number from 0 to 31, not ${bit}`, where);
  }
  const scheduler = read(ipvs, "scheduler", "string", "", where) || DEFAULT_CONFIG.ipvsScheduler;
  if (!SCHEDULER_NAMES.includes(scheduler as SchedulerName)) {
    const known = SCHEDULER_NAMES.join(", ");
    throw new InputError(`ipvs.scheduler must be one of ${known}, not ${scheduler}`, where);
  }
  return {
    ...DEFAULT_CONFIG,
    detectLocalMode: mode as DetectLocalMode,
    clusterCIDRs: read(settings, "clusterCIDR", "string", "", where).split(",").filter(Boolean),
    bridgeInterface: read(local, "bridgeInterface", "string", "", where),
    interfaceNamePrefix: read(local, "interfaceNamePrefix", "string", "", where),
    masqueradeAll: read(settings, "masqueradeAll", "boolean", false, where),
    masqueradeBit: bit,
    localhostNodePorts: read(settings, "localhostNodePorts", "boolean", true, where),
    nodePortAddresses: readCidrs(settings, "nodePortAddresses", where),
    ipvsScheduler: scheduler as SchedulerName,
    ipvsStrictARP: read(ipvs, "strictARP", "boolean", false, where),
    ipvsExcludeCIDRs: readCidrs(ipvs, "excludeCIDRs", where),
  };
}

function readCidrs(from: Record<string, unknown>, key: string, where: string): string[] {
  const cidrs = from[key] ?? [];
  if (!Array.isArray(cidrs) || cidrs.some((c) => typeof c !== "string")) {
    throw new InputError(`${key} must be a list of CIDRs`, where);
  }
  return cidrs as string[];
}

function readObject(json: unknown, name: string, where: string): Record<string, unknown> {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new InputError(`${name} must be a JSON object`, where);
  }
  return json as Record<string, unknown>;
}

interface Types {
  readonly string: string;
  readonly number: number;
  readonly boolean: boolean;
}

function read<T extends keyof Types>(
  from: Record<string, unknown>,
  key: string,
  type: T,
  whenAbsent: Types[T],
  where: string,
): Types[T] {
  const value = from[key] ?? whenAbsent;
  if (typeof value !== type) throw new InputError(`${key} must be a ${type}`, where);
  return value as Types[T];
}
