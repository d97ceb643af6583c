import type { NetNamespace } from "@cnilab/linux";
import { formatIp, type InterfaceAddress, type IpFamily } from "@cnilab/net";
import { chainName } from "./chain-name.ts";
import { failure } from "./failure.ts";
import { quote } from "./go-text.ts";
import { masqueradeNftables, unmasqueradeNftables } from "./ip-masquerade-nftables.ts";
import { appendUnique, deleteRule, ensureChain } from "./iptables-rules.ts";

/** One container's interface in one network. */
export interface Attachment {
  readonly network: string;
  readonly containerId: string;
  readonly ifName: string;
}

const MULTICAST: Readonly<Record<IpFamily, string>> = { 4: "224.0.0.0/4", 6: "ff00::/8" };

/**
 * Gives what the container sends out of its network the node's address (containernetworking/plugins
 * pkg/ip/ipmasq_linux.go).
 * @param backend iptables unless said otherwise
 * @throws CniError
 */
export function setupIpMasquerade(
  host: NetNamespace,
  backend: string | undefined,
  addresses: readonly InterfaceAddress[],
  attachment: Attachment,
): void {
  if (backend === undefined || backend === "iptables") {
    masqueradeIptables(host, addresses, attachment);
  } else if (backend === "nftables") {
    masqueradeNftables(host, addresses, attachment);
  } else {
    throw failure(`unknown ipmasq backend ${quote(backend)}`);
  }
}

/** Takes away the rules of both backends: the configuration may have changed in between. */
export function teardownIpMasquerade(
  host: NetNamespace,
  addresses: readonly InterfaceAddress[],
  attachment: Attachment,
): void {
  unmasqueradeIptables(host, addresses, attachment);
  unmasqueradeNftables(host, attachment);
}

function masqueradeIptables(
  host: NetNamespace,
  addresses: readonly InterfaceAddress[],
  { network, containerId }: Attachment,
): void {
  const chain = chainName(network, containerId);
  const comment = commentMatch(network, containerId);
  for (const ip of addresses) {
    const family: IpFamily = typeof ip.address === "number" ? 4 : 6;
    const iptables = host.iptables(family);
    ensureChain(iptables, "nat", chain);
    appendUnique(iptables, "nat", chain, ["-d", cidrText(ip), "-j", "ACCEPT", ...comment]);
    appendUnique(iptables, "nat", chain, [
      "!",
      "-d",
      MULTICAST[family],
      "-j",
      "MASQUERADE",
      ...comment,
    ]);
    appendUnique(iptables, "nat", "POSTROUTING", jump(ip, chain, comment));
  }
}

function unmasqueradeIptables(
  host: NetNamespace,
  addresses: readonly InterfaceAddress[],
  { network, containerId }: Attachment,
): void {
  const chain = chainName(network, containerId);
  const comment = commentMatch(network, containerId);
  for (const ip of addresses) {
    const iptables = host.iptables(typeof ip.address === "number" ? 4 : 6);
    // go-iptables' ClearChain makes the chain where there is none.
    if (iptables.hasChain("nat", chain)) {
      deleteRule(iptables, "nat", "POSTROUTING", jump(ip, chain, comment));
      iptables.flush("nat", chain);
    } else {
      iptables.newChain("nat", chain);
    }
    iptables.deleteChain("nat", chain);
  }
}

function jump(ip: InterfaceAddress, chain: string, comment: readonly string[]): string[] {
  return ["-s", formatIp(ip.address), "-j", chain, ...comment];
}

function commentMatch(network: string, containerId: string): string[] {
  const comment = `name: ${quote(network)} id: ${quote(containerId)}`;
  return ["-m", "comment", "--comment", comment];
}

/** As the address stands in the result; iptables clears its host bits. */
function cidrText({ address, length }: InterfaceAddress): string {
  return `${formatIp(address)}/${length}`;
}
