import { SeededRandom, VirtualClock } from "@cnilab/core";
import { Kernel, Network } from "@cnilab/linux";
import { parseIp, parsePrefix } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { type ChainSettings, ciliumChains } from "./cilium-chains.ts";

const MASQUERADE = {
  allocRange: parsePrefix("10.0.1.0/24"),
  exclusion: parsePrefix("10.0.0.0/8"),
  source: parseIp("10.0.1.7"),
  nodeSet: undefined,
};
const TUNNEL: ChainSettings = {
  family: 4,
  tunnel: true,
  endpointRoutes: false,
  randomFully: false,
  noTrack: undefined,
  masquerade: MASQUERADE,
};

/** What iptables-save has of a chain of a fresh machine with these settings. */
function chain(table: string, name: string, settings: ChainSettings): string[] {
  const netns = new Kernel(new Network(new VirtualClock(), new SeededRandom(1)), "node").initNs;
  const iptables = netns.iptables(settings.family);
  const none = () => false;
  if (settings.masquerade?.nodeSet !== undefined) {
    netns.ipsets.run(`create ${settings.masquerade.nodeSet} hash:ip family inet`);
  }
  iptables.restore(ciliumChains(settings, none), { noflush: true });
  return iptables.list(table, name).filter((line) => !line.startsWith("-N"));
}

describe("CILIUM_POST_nat", () => {
  test.each<[string, Partial<ChainSettings>, string[]]>([
    [
      "with tunnels",
      {},
      [
        '-A CILIUM_POST_nat -s 10.0.1.0/24 ! -d 10.0.0.0/8 ! -o cilium_+ -m comment --comment "cilium masquerade non-cluster" -j MASQUERADE',
        '-A CILIUM_POST_nat -m mark --mark 0xa00/0xe00 -m comment --comment "exclude proxy return traffic from masquerade" -j ACCEPT',
        '-A CILIUM_POST_nat ! -s 10.0.1.0/24 ! -d 10.0.1.0/24 -o cilium_host -m comment --comment "cilium host->cluster masquerade" -j SNAT --to-source 10.0.1.7',
        '-A CILIUM_POST_nat -s 127.0.0.1/32 -o cilium_host -m comment --comment "cilium host->cluster from 127.0.0.1 masquerade" -j SNAT --to-source 10.0.1.7',
        '-A CILIUM_POST_nat -o cilium_host -m mark --mark 0xf00/0xf00 -m conntrack --ctstate DNAT -m comment --comment "hairpin traffic that originated from a local pod" -j SNAT --to-source 10.0.1.7',
      ],
    ],
    [
      "with native and endpoint routes",
      {
        tunnel: false,
        endpointRoutes: true,
        randomFully: true,
        masquerade: { ...MASQUERADE, nodeSet: "cilium_node_set_v4" },
      },
      [
        '-A CILIUM_POST_nat -s 10.0.1.0/24 -m set --match-set cilium_node_set_v4 dst -m comment --comment "exclude traffic to cluster nodes from masquerade" -j ACCEPT',
        '-A CILIUM_POST_nat -s 10.0.1.0/24 ! -d 10.0.0.0/8 ! -o cilium_+ -m comment --comment "cilium masquerade non-cluster" -j MASQUERADE --random-fully',
        '-A CILIUM_POST_nat -m mark --mark 0xa00/0xe00 -m comment --comment "exclude proxy return traffic from masquerade" -j ACCEPT',
        '-A CILIUM_POST_nat -s 127.0.0.1/32 -o lxc+ -m comment --comment "cilium host->cluster from 127.0.0.1 masquerade" -j SNAT --to-source 10.0.1.7',
      ],
    ],
    ["where programs masquerade", { masquerade: undefined }, []],
  ])("%s", (_, settings, expected) => {
    expect(chain("nat", "CILIUM_POST_nat", { ...TUNNEL, ...settings })).toEqual(expected);
  });
});

test("packets of the node's own programs bear its mark", () => {
  expect(chain("filter", "CILIUM_OUTPUT", TUNNEL).at(-1)).toBe(
    '-A CILIUM_OUTPUT -m mark ! --mark 0xe00/0xf00 -m mark ! --mark 0xd00/0xf00 -m mark ! --mark 0x400/0xf00 -m mark ! --mark 0xa00/0xe00 -m mark ! --mark 0x800/0xe00 -m mark ! --mark 0xf00/0xf00 -m comment --comment "cilium: host->any mark as from host" -j MARK --set-xmark 0xc00/0xf00',
  );
});

test("pods are not tracked where nobody needs it", () => {
  const rules = chain("raw", "CILIUM_PRE_raw", { ...TUNNEL, noTrack: parsePrefix("10.0.0.0/8") });
  expect(rules.slice(0, 2)).toEqual([
    '-A CILIUM_PRE_raw -d 10.0.0.0/8 -m comment --comment "cilium: NOTRACK for pod traffic" -j CT --notrack',
    '-A CILIUM_PRE_raw -s 10.0.0.0/8 -m comment --comment "cilium: NOTRACK for pod traffic" -j CT --notrack',
  ]);
});

test("IPv6 has seven of the chains", () => {
  const text = ciliumChains({ ...TUNNEL, family: 6, masquerade: undefined }, () => false);
  expect(text.match(/^:CILIUM_\w+/gm)?.length).toBe(7);
  expect(text).not.toContain("CILIUM_OUTPUT_nat");
});

test("feeder rules come first, once", () => {
  const netns = new Kernel(new Network(new VirtualClock(), new SeededRandom(1)), "node").initNs;
  const iptables = netns.iptables(4);
  iptables.restore("*filter\n-A FORWARD -j DROP\nCOMMIT\n", { noflush: true });
  for (let i = 0; i < 2; i++) {
    iptables.restore(
      ciliumChains(TUNNEL, (table, feeder) => iptables.save(table).includes(`${feeder}\n`)),
      { noflush: true },
    );
  }
  expect(iptables.list("filter", "FORWARD").slice(1)).toEqual([
    '-A FORWARD -m comment --comment "cilium-feeder: CILIUM_FORWARD" -j CILIUM_FORWARD',
    "-A FORWARD -j DROP",
  ]);
});
