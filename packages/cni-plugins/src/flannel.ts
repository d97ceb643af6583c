import {
  type CniCall,
  CniError,
  type CniPlugin,
  type CniResult,
  type CniRoute,
  type HostFiles,
  type HostFolder,
  type PluginConfig,
} from "@cnilab/core";
import type { Prefix } from "@cnilab/net";
import { failure } from "./failure.ts";
import { loadSubnetEnv, type SubnetEnv } from "./flannel-subnet-env.ts";
import { mapJson } from "./go-text.ts";

const SUBNET_FILE = "/run/flannel/subnet.env";
const DATA_DIR = "/var/lib/cni/flannel";

/** A delegate's configuration and its text, as it is kept for DEL. */
interface Delegate {
  readonly config: PluginConfig;
  readonly text: string;
}

/**
 * Hands everything on to another plugin, `bridge` mostly, with what flanneld left in subnet.env
 * (flannel-io/cni-plugin).
 */
export const flannel: CniPlugin = {
  type: "flannel",

  add(call: CniCall): CniResult {
    const { config, text } = delegateOf(call);
    dataFolder(call).write(call.containerId, text);
    const result = call.delegate(config.type, "ADD", config);
    if (result === undefined)
      throw failure(`failed to delegate add: ${config.type} gave no result`);
    return result;
  },

  /** With the configuration of the ADD: subnet.env may be another one by now, or gone. */
  del(call: CniCall): void {
    const folder = dataFolder(call);
    const text = folder.read(call.containerId);
    if (text === undefined) return;
    const config = parseDelegate(call.host.files, text);
    if (config !== undefined) call.delegate(config.type, "DEL", config);
    folder.remove(call.containerId);
  },

  /** The real one looks at nothing either. */
  check(): void {},
};

/** Where the configurations of the delegates are, by container. */
function dataFolder({ config, host }: CniCall): HostFolder {
  return host.files.folder((config["dataDir"] as string | undefined) || DATA_DIR);
}

/**
 * The last delegate of each machine: pod after pod asks for the same one, and what comes behind keeps
 * what it made of a configuration by its identity.
 */
const known = new WeakMap<
  HostFiles,
  Delegate & { readonly asked: unknown; readonly env: string }
>();

function delegateOf(call: CniCall): Delegate {
  const { config, host } = call;
  const file = (config["subnetFile"] as string | undefined) || SUBNET_FILE;
  const env = host.files.read(file);
  const last = known.get(host.files);
  if (
    last !== undefined &&
    last.env === env &&
    last.asked === config["delegate"] &&
    last.config.name === config.name &&
    last.config.cniVersion === config.cniVersion &&
    config.ipam === undefined &&
    config.runtimeConfig === undefined
  ) {
    return last;
  }
  const subnets = readSubnetEnv(file, env);
  const built =
    host.os === "windows" ? buildWindowsDelegate(config, subnets) : buildDelegate(config, subnets);
  const delegate = {
    config: built,
    text: mapJson(built),
    asked: config["delegate"],
    env: env ?? "",
  };
  if (config.ipam === undefined && config.runtimeConfig === undefined) {
    known.set(host.files, delegate);
  }
  return delegate;
}

function readSubnetEnv(file: string, text: string | undefined): SubnetEnv {
  try {
    return loadSubnetEnv(file, text);
  } catch (error) {
    if (!(error instanceof CniError)) throw error;
    throw failure(
      `failed to load flannel 'subnet.env' file: ${error.message}. Check the flannel pod log for this node.`,
    );
  }
}

function buildDelegate(config: PluginConfig, env: SubnetEnv): PluginConfig {
  const asked = askedOf(config);
  const type = (asked["type"] as string | undefined) ?? "bridge";
  return {
    // Where flanneld does not masquerade, the delegate has to.
    ipMasq: !env.ipMasq,
    mtu: env.mtu,
    ...(type === "bridge" && { isGateway: true }),
    ...asked,
    type,
    name: config.name,
    cniVersion: config.cniVersion,
    ...(config.runtimeConfig !== undefined && { runtimeConfig: config.runtimeConfig }),
    ipam: delegateIpam(config, env),
  };
}

/** flannel_windows.go: the delegate masquerades, as there are no rules of flanneld's that could. */
function buildWindowsDelegate(config: PluginConfig, env: SubnetEnv): PluginConfig {
  const asked = askedOf(config);
  const [network] = env.networks;
  const subnet = env.subnet ?? env.ipv6Subnet;
  return {
    ...asked,
    type: (asked["type"] as string | undefined) ?? "win-bridge",
    name: config.name,
    cniVersion: config.cniVersion,
    ipMasq: env.ipMasq,
    ...(network !== undefined && { ipMasqNetwork: String(network) }),
    ...(config.runtimeConfig !== undefined && { runtimeConfig: config.runtimeConfig }),
    ipam: { type: "host-local", subnet: String(subnet) },
  };
}

/** The `delegate` section, checked. @throws CniError */
function askedOf(config: PluginConfig): Readonly<Record<string, unknown>> {
  const asked = (config["delegate"] as Readonly<Record<string, unknown>> | undefined) ?? {};
  if (asked["type"] !== undefined && typeof asked["type"] !== "string") {
    throw failure("'delegate' dictionary, if present, must have (string) 'type' field");
  }
  for (const field of ["name", "ipam"]) {
    if (asked[field] !== undefined) {
      throw failure(
        `'delegate' dictionary must not have '${field}' field, it'll be set by flannel`,
      );
    }
  }
  return asked;
}

function delegateIpam(config: PluginConfig, env: SubnetEnv): NonNullable<PluginConfig["ipam"]> {
  const own = (config.ipam?.["routes"] as readonly CniRoute[] | undefined) ?? [];
  const subnets = [env.subnet, env.ipv6Subnet].filter((s): s is Prefix => s !== undefined);
  return {
    type: "host-local",
    ...config.ipam,
    ranges: subnets.map((subnet) => [{ subnet: String(subnet) }]),
    routes: [...own, ...env.networks.map((network): CniRoute => ({ dst: String(network) }))],
  };
}

function parseDelegate(files: HostFiles, text: string): PluginConfig | undefined {
  const last = known.get(files);
  if (last?.text === text) return last.config;
  try {
    return JSON.parse(text) as PluginConfig;
  } catch {
    return undefined;
  }
}
