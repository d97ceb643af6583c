import { SeededRandom, VirtualClock } from "@cnilab/core";
import { Kernel, Network } from "@cnilab/linux";
import { expect, test } from "vitest";
import type { WantedIpSet } from "./ip-sets.ts";
import { IptablesDataplane, SharedIptables } from "./iptables-dataplane.ts";
import { NftablesDataplane, policyTable, SharedNftables } from "./nftables-dataplane.ts";
import type { WantedTable, WantedTables } from "./tables.ts";

const NOTHING: WantedTable = {
  chains: new Map(),
  inserted: new Map(),
  appended: new Map(),
  maps: new Map(),
};
const TABLES: WantedTables = { raw: NOTHING, mangle: NOTHING, nat: NOTHING, filter: NOTHING };

/** Nodes that come, go and leave themselves out, of a size that is worth sharing and of one that is not. */
const STEPS: readonly (readonly number[])[] = [
  range(1, 12),
  range(1, 13),
  range(3, 11),
  range(3, 11),
  range(3, 5),
  range(2, 20),
];

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

function address(node: number): string {
  return `192.0.2.${node}`;
}

function wanted(members: ReadonlySet<string>, node: number): ReadonlyMap<string, WantedIpSet> {
  const own = address(node);
  const except = members.has(own) ? own : undefined;
  return new Map([["cali40all-vxlan-net", { kind: "hash:net", members, except }]]);
}

const CONFIG = { chainInsertMode: "insert", maxIpsetSize: 1000 } as const;

test.each(["iptables", "nftables"])("%s: sets have all nodes but their own", (backend) => {
  const network = new Network(new VirtualClock(), new SeededRandom(1));
  const ofIptables = new SharedIptables();
  const ofNftables = new SharedNftables();
  const nodes = [1, 2, 3, 4].map((node) => {
    const { initNs } = new Kernel(network, `node-${node}`);
    const iptables = new IptablesDataplane(initNs, 4, ofIptables);
    const nftables = new NftablesDataplane(initNs, 4, policyTable(4), ofNftables);
    return { node, initNs, iptables, nftables };
  });
  for (const there of STEPS) {
    const members = new Set(there.map(address));
    for (const { node, iptables, nftables } of nodes) {
      const sets = wanted(members, node);
      if (backend === "iptables") iptables.apply(TABLES, sets, CONFIG);
      else nftables.apply(TABLES, sets);
    }
    for (const { node, initNs } of nodes) {
      const text = backend === "iptables" ? initNs.ipsets.save() : initNs.nftables.list();
      const found = text.match(/192\.0\.2\.\d+/g) ?? [];
      expect(new Set(found)).toEqual(new Set(there.filter((n) => n !== node).map(address)));
      expect(found.length).toBe(new Set(found).size);
    }
  }
});
