import { type Ipv4Address, type Ipv6Address, tryParseIp } from "@cnilab/net";
import { DockerError } from "./docker-error.ts";

export type GatewayMode = "nat" | "nat-unprotected" | "routed" | "isolated";

const GATEWAY_MODES: readonly string[] = ["nat", "nat-unprotected", "routed", "isolated"];

/** What `--opt` says of a bridge network (libnetwork drivers/bridge/labels.go), with the driver's defaults. */
export interface BridgeOptions {
  /** Of the device; made of the network's id where it is absent. */
  readonly name: string | undefined;
  readonly mtu: number | undefined;
  readonly icc: boolean;
  readonly masquerade: boolean;
  readonly gatewayMode: GatewayMode;
  readonly gatewayMode6: GatewayMode;
  /** The bridge gets no address. */
  readonly inhibitIpv4: boolean;
  /** Where ports are published that name no host address. */
  readonly hostBinding: Ipv4Address;
  /** Source of what leaves the host; that of the interface where it is absent. */
  readonly hostIp: Ipv4Address | undefined;
  readonly hostIp6: Ipv6Address | undefined;
  readonly trustedHostInterfaces: readonly string[];
}

const PREFIX = "com.docker.network.";

/** @throws DockerError for a value that dockerd does not take; options that are none of the driver's mean nothing to it */
export function parseBridgeOptions(
  options: Readonly<Record<string, string>>,
  internal: boolean,
): BridgeOptions {
  const read = <T>(key: string, parse: (value: string) => T | undefined): T | undefined => {
    const label = `${PREFIX}${key}`;
    const value = options[label];
    if (value === undefined) return undefined;
    const parsed = parse(value);
    if (parsed === undefined) throw new DockerError(`failed to parse ${label} value: ${value}`);
    return parsed;
  };
  const gatewayMode = read("bridge.gateway_mode_ipv4", parseGatewayMode) ?? "nat";
  const gatewayMode6 = read("bridge.gateway_mode_ipv6", parseGatewayMode) ?? "nat";
  if ([gatewayMode, gatewayMode6].includes("isolated") && !internal) {
    throw new DockerError("gateway mode 'isolated' can only be used for an internal network");
  }
  return {
    name: read("bridge.name", (value) => value || undefined),
    mtu: read("driver.mtu", parseMtu),
    icc: read("bridge.enable_icc", parseBool) ?? true,
    masquerade: read("bridge.enable_ip_masquerade", parseBool) ?? true,
    gatewayMode,
    gatewayMode6,
    inhibitIpv4: read("bridge.inhibit_ipv4", parseBool) ?? false,
    hostBinding: read("bridge.host_binding_ipv4", parseIpv4) ?? 0,
    hostIp: read("host_ipv4", parseIpv4),
    hostIp6: read("host_ipv6", parseIpv6),
    trustedHostInterfaces:
      read("bridge.trusted_host_interfaces", (value) => value.split(":").filter(Boolean)) ?? [],
  };
}

function parseGatewayMode(value: string): GatewayMode | undefined {
  return GATEWAY_MODES.includes(value) ? (value as GatewayMode) : undefined;
}

/** Go's strconv.ParseBool. */
function parseBool(value: string): boolean | undefined {
  if (["1", "t", "T", "true", "TRUE", "True"].includes(value)) return true;
  if (["0", "f", "F", "false", "FALSE", "False"].includes(value)) return false;
  return undefined;
}

/** 68 is the least that IPv4 goes with (RFC 791). */
function parseMtu(value: string): number | undefined {
  if (!/^[0-9]+$/.test(value)) return undefined;
  const mtu = Number(value);
  return mtu >= 68 && mtu <= 65535 ? mtu : undefined;
}

function parseIpv4(value: string): Ipv4Address | undefined {
  const address = tryParseIp(value);
  return typeof address === "number" ? address : undefined;
}

function parseIpv6(value: string): Ipv6Address | undefined {
  const address = tryParseIp(value);
  return typeof address === "number" ? undefined : address;
}
