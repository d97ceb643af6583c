import type { CniCall } from "@cnilab/core";
import type { InterfaceAddress } from "@cnilab/net";
import { failure } from "../failure.ts";
import { listText, quote } from "../go-text.ts";
import { addressesOf } from "../parsed-result.ts";

/** One port of the host that leads to the container (CONVENTIONS.md). */
export interface PortMapEntry {
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: string;
  readonly hostIP?: string;
}

export interface PortmapConfig {
  readonly network: string;
  readonly containerId: string;
  readonly entries: readonly PortMapEntry[];
  readonly backend: "iptables" | "nftables";
  readonly snat: boolean;
  readonly masqAll: boolean;
  readonly conditionsV4: readonly string[];
  readonly conditionsV6: readonly string[];
  readonly markMasqBit: number;
  readonly externalSetMarkChain: string | undefined;
  /** The container's first address of each family, with its network's length. */
  readonly addresses: readonly InterfaceAddress[];
}

/** Kubernetes uses 14 and 15, Calico 20 to 31. */
const DEFAULT_MARK_BIT = 13;

/** Whether there is nothing to do, which is so for nearly every pod: asked before all else is parsed. */
export function hasNoMappings(call: CniCall): boolean {
  return entriesOf(call).length === 0;
}

function entriesOf({ config }: CniCall): readonly PortMapEntry[] {
  return (config.runtimeConfig?.["portMappings"] as readonly PortMapEntry[] | undefined) ?? [];
}

/** @throws CniError; ADD puts words of its own in front */
export function loadPortmapConfig(call: CniCall): PortmapConfig {
  const { config, containerId, ifName } = call;
  const chain = config["externalSetMarkChain"] as string | undefined;
  const markBit = config["markMasqBit"] as number | undefined;
  if (markBit !== undefined && chain !== undefined) {
    throw failure("Cannot specify externalSetMarkChain and markMasqBit");
  }
  if (markBit !== undefined && (markBit < 0 || markBit > 31)) {
    throw failure("MasqMarkBit must be between 0 and 31");
  }
  const conditionsV4 = (config["conditionsV4"] as readonly string[] | undefined) ?? [];
  const conditionsV6 = (config["conditionsV6"] as readonly string[] | undefined) ?? [];
  const backend = backendOf(
    config["backend"] as string | undefined,
    chain,
    conditionsV4,
    conditionsV6,
  );
  const entries = entriesOf(call);
  for (const { containerPort, hostPort } of entries) {
    if (!(containerPort > 0)) throw failure(`Invalid container port number: ${containerPort ?? 0}`);
    if (!(hostPort > 0)) throw failure(`Invalid host port number: ${hostPort ?? 0}`);
  }
  return {
    network: config.name,
    containerId,
    entries,
    backend,
    snat: config["snat"] !== false,
    masqAll: config["masqAll"] === true,
    conditionsV4,
    conditionsV6,
    markMasqBit: markBit ?? DEFAULT_MARK_BIT,
    externalSetMarkChain: chain,
    addresses: containerAddresses(call, ifName),
  };
}

/** The backend, which must be the one that the other options are for (`ensureBackend`). */
function backendOf(
  asked: string | undefined,
  chain: string | undefined,
  conditionsV4: readonly string[],
  conditionsV6: readonly string[],
): "iptables" | "nftables" {
  const backend = asked ?? "iptables";
  const wrong = backend === "iptables" ? "nftables" : "iptables";
  const options: string[] = [];
  if (chain !== undefined && wrong === "iptables") options.push("externalSetMarkChain");
  if (backendOfConditions(conditionsV4) === wrong) options.push("conditionsV4");
  if (backendOfConditions(conditionsV6) === wrong) options.push("conditionsV6");
  if (options.length > 0) {
    throw failure(
      `${backend} backend was requested but configuration contains ${wrong}-specific options ${listText(options)}`,
    );
  }
  if (backend !== "iptables" && backend !== "nftables") {
    throw failure(`unrecognized backend ${quote(backend)}`);
  }
  return backend;
}

/** Conditions of iptables start with an option or a negation, those of nft never do. */
function backendOfConditions(conditions: readonly string[]): "iptables" | "nftables" | undefined {
  const [first] = conditions;
  if (!first) return undefined;
  return first.startsWith("-") || first.startsWith("!") ? "iptables" : "nftables";
}

function containerAddresses(call: CniCall, ifName: string): InterfaceAddress[] {
  const result = call.config.prevResult;
  if (result?.ips === undefined) return [];
  const interfaces = result.interfaces ?? [];
  const found: InterfaceAddress[] = [];
  for (const [i, ip] of addressesOf(result).entries()) {
    const isV4 = typeof ip.address === "number";
    if (found.some((other) => (typeof other.address === "number") === isV4)) continue;
    // Addresses of the host's interfaces are not the container's.
    const index = result.ips[i]?.interface;
    const of = index === undefined ? undefined : interfaces[index];
    if (of !== undefined && (of.name !== ifName || !of.sandbox)) continue;
    found.push(ip);
  }
  return found.sort(
    (x, y) => Number(typeof y.address === "number") - Number(typeof x.address === "number"),
  );
}
