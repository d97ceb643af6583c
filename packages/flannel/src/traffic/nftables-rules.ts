import type { IpFamily, Prefix } from "@cnilab/net";
import { KUBE_PROXY_MARK, MULTICAST } from "./masquerade-mark.ts";

export const TABLES = {
  4: { family: "ip", name: "flannel-ipv4" },
  6: { family: "ip6", name: "flannel-ipv6" },
} as const;

/** Both tables are made, whichever families are in use. */
export function tableText(family: IpFamily): string {
  const { family: nft, name } = TABLES[family];
  return `add table ${nft} ${name} { comment "rules for ${name}" ; }\n`;
}

/**
 * Masquerade rules as nft takes them (pkg/trafficmngr/nftables addMasqRules). They differ from those of
 * iptables: the mark is compared whole, and the fourth rule lets through what any other source sends to
 * pods, so that the sixth is never reached.
 */
export function masqueradeText(network: Prefix, subnet: Prefix, fullyRandom: boolean): string {
  const ip = TABLES[network.family].family;
  const masquerade = fullyRandom ? "masquerade fully-random" : "masquerade";
  return chainText(
    network.family,
    "postrtg",
    "type nat hook postrouting priority 100",
    "chain to manage traffic masquerading by flannel",
    [
      `meta mark 0x${KUBE_PROXY_MARK.toString(16)} return`,
      `${ip} saddr ${subnet} ${ip} daddr ${network} return`,
      `${ip} saddr ${network} ${ip} daddr ${subnet} return`,
      `${ip} saddr != ${subnet} ${ip} daddr ${network} return`,
      `${ip} saddr ${network} ${ip} daddr != ${MULTICAST[network.family]} ${masquerade}`,
      `${ip} saddr != ${network} ${ip} daddr ${network} ${masquerade}`,
    ],
  );
}

/** Accepting here does not keep later chains of the hook from dropping, as it would in one iptables chain. */
export function forwardText(network: Prefix): string {
  const ip = TABLES[network.family].family;
  return chainText(
    network.family,
    "forward",
    "type filter hook forward priority 0",
    "chain to accept flannel traffic",
    [`${ip} saddr ${network} accept`, `${ip} daddr ${network} accept`],
  );
}

/** A chain, made or emptied, with its rules. */
function chainText(
  family: IpFamily,
  chain: string,
  hook: string,
  comment: string,
  rules: readonly string[],
): string {
  const { family: nft, name } = TABLES[family];
  const where = `${nft} ${name} ${chain}`;
  return [
    `add chain ${where} { ${hook} ; comment "${comment}" ; }`,
    `flush chain ${where}`,
    ...rules.map((rule) => `add rule ${where} ${rule}`),
    "",
  ].join("\n");
}
