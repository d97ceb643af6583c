import type { NetNamespace } from "@cnilab/linux";
import { nftRules } from "./nft-rules.ts";

const TABLE = "bridge nat";

/**
 * Lets only frames with the container's own MAC into the bridge: a chain of the interface with a chain of
 * its MACs (containernetworking/plugins pkg/link/spoofcheck.go).
 * @param id container and interface, which mark the rules
 */
export function setupMacSpoofCheck(
  host: NetNamespace,
  ifName: string,
  mac: string,
  id: string,
): void {
  const chain = `cni-br-iface-${id}`;
  const comment = `comment "macspoofchk-${id}"`;
  host.nftables.apply(`add table ${TABLE}
add chain ${TABLE} PREROUTING { type filter hook prerouting priority -300 ; policy accept ; }
add chain ${TABLE} ${chain}
add chain ${TABLE} ${chain}-mac
`);
  host.nftables.apply(`flush chain ${TABLE} ${chain}
flush chain ${TABLE} ${chain}-mac
add rule ${TABLE} PREROUTING iifname "${ifName}" jump ${chain} ${comment}
add rule ${TABLE} ${chain} jump ${chain}-mac ${comment}
add rule ${TABLE} ${chain}-mac ether saddr ${mac} return ${comment}
add rule ${TABLE} ${chain}-mac drop ${comment}
`);
}

/** Takes the rules of one interface away; table and base chain stay. */
export function teardownMacSpoofCheck(host: NetNamespace, id: string): void {
  const jumps = nftRules(host, "bridge", "nat", "PREROUTING").filter(
    (rule) => rule.comment === `macspoofchk-${id}`,
  );
  if (jumps.length === 0) return;
  const chain = `cni-br-iface-${id}`;
  const deletions = jumps.map((r) => `delete rule ${TABLE} PREROUTING handle ${r.handle}\n`);
  host.nftables.apply(
    `${deletions.join("")}flush chain ${TABLE} ${chain}
delete chain ${TABLE} ${chain}
delete chain ${TABLE} ${chain}-mac
`,
  );
}
