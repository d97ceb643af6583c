import type { NetNamespace } from "@cnilab/linux";
import { formatIp, type InterfaceAddress } from "@cnilab/net";
import { hashName } from "./chain-name.ts";
import type { Attachment } from "./ip-masquerade.ts";
import { type NftRule, nftRules } from "./nft-rules.ts";
import { networkOf } from "./parsed-result.ts";

const TABLE = "inet cni_plugins_masquerade";
const CHAIN = "masq_checks";

/** The longest comment that nft takes (NFTNL_UDATA_COMMENT_MAXLEN). */
const COMMENT_LENGTH = 128;

const SKELETON = `add table ${TABLE} { comment "Masquerading for plugins from github.com/containernetworking/plugins" ; }
add chain ${TABLE} ${CHAIN} { comment "Masquerade traffic from certain IPs to any (non-multicast) IP outside their subnet" ; }
add chain ${TABLE} postrouting { type nat hook postrouting priority srcnat ; }
flush chain ${TABLE} postrouting
add rule ${TABLE} postrouting ip daddr == 224.0.0.0/4 return
add rule ${TABLE} postrouting ip6 daddr == ff00::/8 return
add rule ${TABLE} postrouting goto ${CHAIN}
`;

/** One rule for each address, found again by its comment (pkg/ip/ipmasq_nftables_linux.go). */
export function masqueradeNftables(
  host: NetNamespace,
  addresses: readonly InterfaceAddress[],
  attachment: Attachment,
): void {
  let text = SKELETON;
  for (const rule of ownRules(host, attachment)) text += deletion(rule);
  const comment = commentOf(attachment);
  for (const ip of addresses) {
    const family = typeof ip.address === "number" ? "ip" : "ip6";
    text +=
      `add rule ${TABLE} ${CHAIN} ${family} saddr == ${formatIp(ip.address)} ` +
      `${family} daddr != ${networkOf(ip)} masquerade comment "${comment}"\n`;
  }
  host.nftables.apply(text);
}

export function unmasqueradeNftables(host: NetNamespace, attachment: Attachment): void {
  const rules = ownRules(host, attachment);
  if (rules.length > 0) host.nftables.apply(rules.map(deletion).join(""));
}

function ownRules(host: NetNamespace, attachment: Attachment): NftRule[] {
  const mark = hashOf(attachment);
  return nftRules(host, "inet", "cni_plugins_masquerade", CHAIN).filter((rule) =>
    rule.comment?.startsWith(mark),
  );
}

function deletion({ handle }: NftRule): string {
  return `delete rule ${TABLE} ${CHAIN} handle ${handle}\n`;
}

/** Network and instance, 16 hexadecimal digits each. */
function hashOf({ network, containerId, ifName }: Attachment): string {
  return `${hashName(16, "", network)}-${hashName(16, "", `${ifName}:${containerId}`)}`;
}

function commentOf(attachment: Attachment): string {
  const { network, containerId, ifName } = attachment;
  const text = `${hashOf(attachment)}, net: ${network}, if: ${ifName}, id: ${containerId}`;
  return text.replaceAll('"', "").slice(0, COMMENT_LENGTH);
}
