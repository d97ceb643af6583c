import type { NetNamespace, TableFamily } from "@cnilab/linux";

/** What a plugin needs of a rule to delete it later. */
export interface NftRule {
  readonly handle: number;
  readonly comment?: string;
}

interface ListedRule extends NftRule {
  readonly family: string;
  readonly table: string;
  readonly chain: string;
}

/** The rules of a chain in order, as `nft -j list chain` shows them; none where there is no such chain. */
export function nftRules(
  host: NetNamespace,
  family: TableFamily,
  table: string,
  chain: string,
): NftRule[] {
  const nftables = host.findNftables();
  if (nftables === undefined || !nftables.hasTable(family, table)) return [];
  const { nftables: items } = nftables.json() as unknown as {
    nftables: readonly { readonly rule?: ListedRule }[];
  };
  const rules: NftRule[] = [];
  for (const { rule } of items) {
    if (rule?.family === family && rule.table === table && rule.chain === chain) rules.push(rule);
  }
  return rules;
}
