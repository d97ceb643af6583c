import type { CniCall, PluginConfig } from "@cnilab/core";
import { readCniArgs } from "./cni-args.ts";
import { failure } from "./failure.ts";

/** The bridge plugin's configuration, with its defaults. */
export interface BridgeConfig {
  readonly bridge: string;
  readonly isGateway: boolean;
  readonly isDefaultGateway: boolean;
  readonly forceAddress: boolean;
  readonly ipMasq: boolean;
  readonly ipMasqBackend: string | undefined;
  /** 0 for the kernel's own. */
  readonly mtu: number;
  readonly hairpinMode: boolean;
  readonly promiscMode: boolean;
  readonly macSpoofCheck: boolean;
  readonly enableDad: boolean;
  readonly disableContainerInterface: boolean;
  readonly portIsolation: boolean;
  /** For the container's interface. */
  readonly mac: string | undefined;
}

/** Of each configuration, but for the MAC that may be asked for: pods of a node come with the same object. */
const known = new WeakMap<PluginConfig, BridgeConfig>();

/** @throws CniError */
export function loadBridgeConfig({ config, args }: CniCall): BridgeConfig {
  let loaded = known.get(config);
  if (loaded === undefined) {
    loaded = load(config);
    known.set(config, loaded);
  }
  const mac = requestedMac(args, config.args?.cni?.["mac"], config.runtimeConfig?.["mac"]);
  return mac === undefined ? loaded : { ...loaded, mac };
}

/** @throws CniError */
function load(config: PluginConfig): BridgeConfig {
  const vlan = config["vlan"];
  if (typeof vlan === "number" && (vlan < 0 || vlan > 4094)) {
    throw failure(`invalid VLAN ID ${vlan} (must be between 0 and 4094)`);
  }
  if (vlan || config["vlanTrunk"] !== undefined) {
    throw failure("VLAN filtering of bridges is not modelled: leave vlan and vlanTrunk out");
  }
  const isDefaultGateway = config["isDefaultGateway"] === true;
  return {
    bridge: (config["bridge"] as string | undefined) || "cni0",
    isGateway: isDefaultGateway || config["isGateway"] === true,
    isDefaultGateway,
    forceAddress: config["forceAddress"] === true,
    ipMasq: config["ipMasq"] === true,
    ipMasqBackend: config["ipMasqBackend"] as string | undefined,
    mtu: (config["mtu"] as number | undefined) ?? 0,
    hairpinMode: config["hairpinMode"] === true,
    promiscMode: config["promiscMode"] === true,
    macSpoofCheck: config["macspoofchk"] === true,
    enableDad: config["enabledad"] === true,
    disableContainerInterface: config["disableContainerInterface"] === true,
    portIsolation: config["portIsolation"] === true,
    mac: undefined,
  };
}

/** Out of `CNI_ARGS`, `args.cni` and the `mac` capability; the last one that says something counts. */
function requestedMac(args: string, inConfig: unknown, capability: unknown): string | undefined {
  const fromArgs = args === "" ? undefined : readCniArgs(args, ["MAC"]).MAC;
  return ((capability || inConfig || fromArgs) as string | undefined) || undefined;
}
