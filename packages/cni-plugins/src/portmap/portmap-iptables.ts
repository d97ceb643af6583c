import type { NetNamespace } from "@cnilab/linux";
import {
  formatEndpoint,
  formatIp,
  type InterfaceAddress,
  isUnspecified,
  tryParseIp,
} from "@cnilab/net";
import { chainName } from "../chain-name.ts";
import { within } from "../iptables-rules.ts";
import { checkChain, type PortChain, setupChain, teardownChain } from "./port-chain.ts";
import type { PortMapEntry, PortmapConfig } from "./portmap-config.ts";

const DNAT_CHAIN = "CNI-HOSTPORT-DNAT";
const SETMARK_CHAIN = "CNI-HOSTPORT-SETMARK";
const MASQ_CHAIN = "CNI-HOSTPORT-MASQ";

/** Ports that one multiport match takes. */
const MULTIPORT = 15;
/** Characters that iptables lets a comment have. */
const COMMENT_LENGTH = 255;

/** @throws CniError */
export function forwardPorts(
  host: NetNamespace,
  config: PortmapConfig,
  ip: InterfaceAddress,
): void {
  const iptables = host.iptables(typeof ip.address === "number" ? 4 : 6);
  if (config.snat && config.externalSetMarkChain === undefined) {
    within(`unable to create chain ${SETMARK_CHAIN}`, () => {
      setupChain(iptables, setMarkChain(config.markMasqBit));
      setupChain(iptables, masqueradeChain(config.markMasqBit));
    });
  }
  within("failed to create top-level DNAT chain", () => setupChain(iptables, TOP_CHAIN));
  within("unable to setup DNAT", () => setupChain(iptables, containerChain(config, ip)));
}

export function checkPorts(host: NetNamespace, config: PortmapConfig, ip: InterfaceAddress): void {
  const family = typeof ip.address === "number" ? 4 : 6;
  within(`could not check ipv${family} dnat`, () =>
    checkChain(host.iptables(family), containerChain(config, ip)),
  );
}

/** Of both families: DEL does not know which addresses there were. The shared chains stay. */
export function unforwardPorts(host: NetNamespace, config: PortmapConfig): void {
  const name = containerChainName(config);
  for (const family of [4, 6] as const) {
    const iptables = host.findIptables(family);
    if (iptables !== undefined) teardownChain(iptables, name, [DNAT_CHAIN]);
  }
}

function containerChainName({ network, containerId }: PortmapConfig): string {
  return chainName(network, containerId, "DN-");
}

/** What every packet to an address of the node passes. */
const TOP_CHAIN: PortChain = {
  name: DNAT_CHAIN,
  entryChains: ["PREROUTING", "OUTPUT"],
  entryRules: [["-m", "addrtype", "--dst-type", "LOCAL"]],
  rules: [],
};

function markOf(bit: number): string {
  const value = (2 ** bit).toString(16);
  return `0x${value}/0x${value}`;
}

function setMarkChain(bit: number): PortChain {
  const comment = ["-m", "comment", "--comment", "CNI portfwd masquerade mark"];
  return {
    name: SETMARK_CHAIN,
    entryChains: [],
    entryRules: [],
    rules: [[...comment, "-j", "MARK", "--set-xmark", markOf(bit)]],
  };
}

/** First in POSTROUTING: a rule of the bridge plugin could accept the packet before. */
function masqueradeChain(bit: number): PortChain {
  return {
    name: MASQ_CHAIN,
    entryChains: ["POSTROUTING"],
    entryRules: [["-m", "comment", "--comment", "CNI portfwd requiring masquerade"]],
    rules: [["-m", "mark", "--mark", markOf(bit), "-j", "MASQUERADE"]],
    prependEntry: true,
  };
}

function containerChain(config: PortmapConfig, ip: InterfaceAddress): PortChain {
  return {
    name: containerChainName(config),
    entryChains: [DNAT_CHAIN],
    entryRules: entryRules(config, ip),
    rules: config.entries.flatMap((entry) => entryPortRules(config, entry, ip)),
  };
}

/** One rule for each protocol and fifteen ports. */
function entryRules(config: PortmapConfig, ip: InterfaceAddress): string[][] {
  const conditions = typeof ip.address === "number" ? config.conditionsV4 : config.conditionsV6;
  const comment = trimComment(`dnat name: "${config.network}" id: "${config.containerId}"`);
  const protocols = [...new Set(config.entries.map((entry) => entry.protocol))].sort();
  return protocols.flatMap((protocol) => {
    const ports = config.entries.filter((e) => e.protocol === protocol).map((e) => e.hostPort);
    const rules: string[][] = [];
    for (let i = 0; i < ports.length; i += MULTIPORT) {
      const some = ports.slice(i, i + MULTIPORT).join(",");
      const match = ["-m", "multiport", "-p", protocol, "--destination-ports", some];
      rules.push(["-m", "comment", "--comment", comment, ...match, ...conditions]);
    }
    return rules;
  });
}

function trimComment(comment: string): string {
  return comment.length <= COMMENT_LENGTH ? comment : `${comment.slice(0, 253)}...`;
}

/**
 * The marks come first: for the container's whole network, so that others of it on this node are masked
 * as well, and for the node's own 127.0.0.1.
 */
function entryPortRules(
  config: PortmapConfig,
  entry: PortMapEntry,
  ip: InterfaceAddress,
): string[][] {
  const isV4 = typeof ip.address === "number";
  const match = ["-p", entry.protocol, "--dport", String(entry.hostPort)];
  const hostIp = entry.hostIP ? tryParseIp(entry.hostIP) : undefined;
  if (entry.hostIP) {
    if ((typeof hostIp === "number") !== isV4) return [];
    if (hostIp !== undefined && !isUnspecified(hostIp)) match.push("-d", entry.hostIP);
  }
  const rules: string[][] = [];
  if (config.snat) {
    const setMark = ["-j", config.externalSetMarkChain ?? SETMARK_CHAIN];
    const from = config.masqAll ? (isV4 ? "0.0.0.0/0" : "::/0") : networkText(ip);
    rules.push([...match, "-s", from, ...setMark]);
    if (isV4 && !config.masqAll) rules.push([...match, "-s", "127.0.0.1", ...setMark]);
  }
  const to = formatEndpoint(ip.address, entry.containerPort);
  rules.push([...match, "-j", "DNAT", "--to-destination", to]);
  return rules;
}

/** As the address stands in the result; iptables clears its host bits. */
function networkText(ip: InterfaceAddress): string {
  return `${formatIp(ip.address)}/${ip.length}`;
}
