import {
  CNI_ERROR,
  type CniCall,
  type CniCommand,
  CniError,
  type CniPlugin,
  type CniResult,
} from "@cnilab/core";
import { quote } from "./go-text.ts";
import { DEFAULT_SPEC_VERSION, SPEC_VERSIONS, versionAtLeast } from "./spec-version.ts";

/** What may stand in container IDs and network names. */
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/**
 * Executes one plugin as its own main function would: environment, configuration and version are looked
 * at first (containernetworking/cni pkg/skel).
 * @returns the result of ADD
 * @throws CniError what it prints when it fails
 */
export function executePlugin(
  plugin: CniPlugin,
  command: CniCommand,
  call: CniCall,
): CniResult | undefined {
  if (command === "VERSION") return undefined;
  checkEnvironment(command, call);
  checkNetworkName(call.config.name);
  const version = call.config.cniVersion || DEFAULT_SPEC_VERSION;
  checkCommandVersion(plugin, command, version);
  switch (command) {
    case "ADD":
      return plugin.add(call);
    case "DEL":
      plugin.del(call);
      return undefined;
    case "CHECK":
      plugin.check(call);
      return undefined;
    case "GC":
      plugin.gc?.(call);
      return undefined;
    case "STATUS":
      plugin.status?.(call);
      return undefined;
  }
}

/** What `VERSION` answers. */
export function supportedVersions(plugin: CniPlugin): readonly string[] {
  return plugin.supportedVersions ?? SPEC_VERSIONS;
}

function checkEnvironment(command: CniCommand, call: CniCall): void {
  if (command !== "ADD" && command !== "CHECK" && command !== "DEL") return;
  const missing: string[] = [];
  if (call.containerId === "") missing.push("CNI_CONTAINERID");
  else if (!NAME.test(call.containerId)) {
    throw environmentError("invalid characters in containerID", call.containerId);
  }
  if (call.netns === "" && command !== "DEL") missing.push("CNI_NETNS");
  if (call.ifName === "") missing.push("CNI_IFNAME");
  else checkInterfaceName(call.ifName);
  if (missing.length > 0) {
    throw environmentError(`required env variables [${missing.join(",")}] missing`);
  }
}

function checkInterfaceName(name: string): void {
  if (name.length > 15) {
    throw environmentError(
      "interface name is too long",
      "interface name should be less than 16 characters",
    );
  }
  if (name === "." || name === "..") throw environmentError("interface name is . or ..");
  if (/[/:\s]/.test(name)) {
    throw environmentError("interface name contains / or : or whitespace characters");
  }
}

function environmentError(message: string, details?: string): CniError {
  return new CniError(CNI_ERROR.invalidEnvironment, message, details);
}

function checkNetworkName(name: string): void {
  if (!name) throw new CniError(CNI_ERROR.invalidNetworkConfig, "missing network name");
  if (!NAME.test(name)) {
    const message = "invalid characters found in network name";
    throw new CniError(CNI_ERROR.invalidNetworkConfig, message, name);
  }
}

/** Versions in which each command appeared. */
const SINCE: Readonly<Partial<Record<CniCommand, string>>> = {
  CHECK: "0.4.0",
  GC: "1.1.0",
  STATUS: "1.1.0",
};

function checkCommandVersion(plugin: CniPlugin, command: CniCommand, version: string): void {
  const since = SINCE[command];
  if (since !== undefined && !versionAtLeast(version, since)) {
    throw versionError(`config version does not allow ${command}`);
  }
  const versions = supportedVersions(plugin);
  if (!versions.includes(version)) {
    throw versionError(
      "incompatible CNI versions",
      `config is ${quote(version)}, plugin supports [${versions.map(quote).join(" ")}]`,
    );
  }
  if (!versionAtLeast(version, "0.3.0")) {
    throw versionError(
      `results of CNI ${version} are not modelled: take cniVersion 0.3.0 or newer`,
    );
  }
}

function versionError(message: string, details?: string): CniError {
  return new CniError(CNI_ERROR.incompatibleVersion, message, details);
}
