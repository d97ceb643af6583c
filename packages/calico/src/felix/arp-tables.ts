import type { WorkloadEndpoint } from "../calc/messages.ts";
import { lengthLimitedId } from "../hash/length-limited-id.ts";
import { MAX_CHAIN_NAME_LENGTH } from "../names/chain-names.ts";
import { DROP, jump, type TableChain, type TableRule } from "../rules/rule.ts";
import type { NftablesTable } from "./nftables-dataplane.ts";
import type { WantedTable, WantedTables } from "./tables.ts";

/** Whatever the dataplane for policies, there is this table of nftables as well (`felix/nftables/table.go` NewARPTable). */
export const ARP_TABLE: NftablesTable = {
  family: "arp",
  name: "calico-arp",
  baseChains: [["filter-OUTPUT", "filter", "output", "0"]],
};

const DISPATCH = "cali-arp-dispatch";

const NOTHING: WantedTable = {
  chains: new Map(),
  inserted: new Map(),
  appended: new Map(),
  maps: new Map(),
};

/**
 * Keeps the host, which answers a workload for everybody by proxy ARP, from answering for the workload's own address
 * (`felix/dataplane/linux/endpoint_mgr.go` updateWorkloadARPChains).
 */
export function arpTables(workloads: Iterable<WorkloadEndpoint>): WantedTables {
  const chains = new Map<string, TableChain>();
  const targets = new Map<string, string>();
  for (const { name, ipv4Nets } of workloads) {
    if (ipv4Nets.length === 0) continue;
    const chain = lengthLimitedId("cali-arp-", name, MAX_CHAIN_NAME_LENGTH.nftables);
    targets.set(name, chain);
    chains.set(chain, { name: chain, rules: ipv4Nets.map((net) => noAnswer(name, net)) });
  }
  chains.set(DISPATCH, {
    name: DISPATCH,
    rules: [{ matches: [{ match: "verdict-map", direction: "out", map: DISPATCH }] }],
  });
  const filter: WantedTable = {
    ...NOTHING,
    chains,
    inserted: new Map([["OUTPUT", [{ action: jump(DISPATCH) }]]]),
    maps: new Map([[DISPATCH, targets]]),
  };
  return { raw: NOTHING, mangle: NOTHING, nat: NOTHING, filter };
}

function noAnswer(name: string, net: string): TableRule {
  return {
    matches: [
      { match: "interface", direction: "out", name },
      { match: "arp-reply", from: net.split("/", 1)[0] as string },
    ],
    action: DROP,
  };
}
