// The facts are those of confd's own expectations (confd/tests/compiled_templates), for other clusters.
import { filterText, type PeerConfig } from "@cnilab/bgp";
import { formatIp, Prefix, parseIp, parsePrefix } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import type * as v3 from "../api/v3.ts";
import type { BgpNode } from "./bgp-node.ts";
import type { BgpCore } from "./bgp-view.ts";
import { peerings } from "./peerings.ts";
import { speakerConfig } from "./speaker-config.ts";

type Settings = v3.BGPConfigurationSpec;

interface NodeFacts {
  readonly as?: number;
  readonly clusterId?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

/** Nodes a (10.9.0.2), b (10.9.0.3) and c (10.9.0.11); what is worked out is a's. */
const ADDRESSES = { a: "10.9.0.2", b: "10.9.0.3", c: "10.9.0.11" } as const;
type Name = keyof typeof ADDRESSES;

interface Case {
  readonly settings?: Settings;
  readonly ofNode?: Partial<Record<Name, Settings>>;
  readonly nodes?: Partial<Record<Name, NodeFacts>>;
  readonly peers?: readonly v3.BGPPeerSpec[];
  readonly pools?: readonly Partial<v3.IPPoolSpec>[];
}

function node(name: Name, { as, clusterId, labels = {} }: NodeFacts = {}): BgpNode {
  const address = parseIp(ADDRESSES[name]);
  const side = { address, subnet: new Prefix(address, 24), hasWireguard: false };
  return {
    name,
    4: side,
    6: undefined,
    asNumber: as,
    clusterId,
    labels: new Map(Object.entries(labels)),
    advertisesServices: true,
    podCidrs: [],
    text: "",
  };
}

function configOf({ settings = {}, ofNode = {}, nodes = {}, peers = [], pools = [] }: Case) {
  const all = new Map(
    (Object.keys(ADDRESSES) as Name[]).map((name) => [name as string, node(name, nodes[name])]),
  );
  const settingsOfNode = new Map(Object.entries(ofNode));
  const objects = peers.map(
    (spec, i) =>
      ({
        apiVersion: "projectcalico.org/v3",
        kind: "BGPPeer",
        metadata: { name: `peer-${i}` },
        spec,
      }) as v3.BGPPeer,
  );
  const core: BgpCore = {
    nodes: all,
    settings,
    settingsOfNode,
    peerings: peerings(objects, all, settings, settingsOfNode),
    filters: new Map(),
    pools: pools.map((spec) => ({ spec }) as v3.IPPool),
  };
  const nothing = { advertised: [], rejected: [] };
  const block = { prefix: parsePrefix("172.20.1.64/26"), isConfirmed: true };
  const borrowed = { prefix: parsePrefix("172.20.9.9/32"), isConfirmed: true };
  const made = speakerConfig(core, all.get("a") as BgpNode, 4, [block, borrowed], nothing);
  if (made === undefined) throw new Error("a has an IPv4 address");
  return made;
}

/** As in `protocol bgp`, without what is as in the template. */
function lineOf(peer: PeerConfig): string {
  const port = peer.port === 179 ? "" : ` port ${peer.port}`;
  return [
    `${peer.name}: ${formatIp(peer.neighbor)}${port} as ${peer.remoteAs}`,
    peer.localAs === 64512 ? "" : `local as ${peer.localAs}`,
    peer.sourceAddress === undefined ? "any source" : "",
    peer.passive ? "passive" : "",
    peer.rrClient ? `rr client ${formatIp(peer.rrClusterId ?? 0)}` : "",
    peer.nextHopSelf ? "next hop self" : "",
    peer.nextHopKeep ? "next hop keep" : "",
    peer.ttlSecurity === undefined ? "" : `ttl security ${peer.ttlSecurity}`,
    peer.gracefulRestartTime === 120 ? "" : `restart ${peer.gracefulRestartTime}`,
    peer.allowLocalAs === 0 ? "" : `allow local as ${peer.allowLocalAs}`,
  ]
    .filter((part) => part !== "")
    .join(", ");
}

const OFF: Settings = { nodeToNodeMeshEnabled: false };
const RACK = { peerIP: "10.9.0.1", asNumber: 65001 };
const REFLECTOR = { clusterId: "244.0.0.1", labels: { rr: "true" } };

describe("peers", () => {
  const cases: [what: string, input: Case, peers: string[]][] = [
    // Addresses are compared as texts: 10.9.0.11 is the smaller one.
    [
      "mesh",
      {},
      ["Mesh_10_9_0_11: 10.9.0.11 as 64512", "Mesh_10_9_0_3: 10.9.0.3 as 64512, passive"],
    ],
    [
      "mesh: a node's own AS and port, restart time of all",
      {
        settings: { listenPort: 1790, nodeMeshMaxRestartTime: "10s" },
        ofNode: { b: { listenPort: 1791 } },
        nodes: { c: { as: 65011 } },
      },
      [
        "Mesh_10_9_0_11: 10.9.0.11 port 1790 as 65011, restart 10",
        "Mesh_10_9_0_3: 10.9.0.3 port 1791 as 64512, passive, restart 10",
      ],
    ],
    [
      "mesh: reflectors are not in it",
      { nodes: { b: REFLECTOR } },
      ["Mesh_10_9_0_11: 10.9.0.11 as 64512"],
    ],
    ["mesh: none for a reflector", { nodes: { a: REFLECTOR } }, []],
    [
      "a router of all nodes",
      { settings: OFF, peers: [RACK] },
      ["Global_10_9_0_1: 10.9.0.1 as 65001"],
    ],
    [
      "a router of one node",
      {
        settings: OFF,
        peers: [
          { ...RACK, node: "a" },
          { ...RACK, peerIP: "10.9.0.4", node: "b" },
        ],
      },
      ["Node_10_9_0_1: 10.9.0.1 as 65001"],
    ],
    [
      "a port, any source address, restart time",
      {
        settings: OFF,
        peers: [{ ...RACK, peerIP: "10.9.0.1:1166", sourceAddress: "None", maxRestartTime: "30s" }],
      },
      ["Global_10_9_0_1_port_1166: 10.9.0.1 port 1166 as 65001, any source, restart 30"],
    ],
    [
      "another AS of its own",
      { settings: OFF, peers: [{ ...RACK, localASNumber: 65009, numAllowedLocalASNumbers: 2 }] },
      ["Global_10_9_0_1: 10.9.0.1 as 65001, local as 65009, allow local as 2"],
    ],
    [
      "next hops",
      {
        settings: OFF,
        peers: [
          { ...RACK, nextHopMode: "Keep" },
          { peerIP: "10.9.0.4", asNumber: 64512, nextHopMode: "Self" },
          { peerIP: "10.9.0.5", asNumber: 64512, keepOriginalNextHop: true },
          { peerIP: "10.9.0.6", asNumber: 65001, keepOriginalNextHop: true },
        ],
      },
      [
        "Global_10_9_0_1: 10.9.0.1 as 65001, next hop keep",
        "Global_10_9_0_4: 10.9.0.4 as 64512, next hop self",
        "Global_10_9_0_5: 10.9.0.5 as 64512",
        "Global_10_9_0_6: 10.9.0.6 as 65001, next hop keep",
      ],
    ],
    [
      "no further than",
      { settings: OFF, peers: [{ ...RACK, ttlSecurity: 1 }] },
      ["Global_10_9_0_1: 10.9.0.1 as 65001, ttl security 1"],
    ],
    [
      "nodes by selector: a client of the reflector",
      {
        settings: OFF,
        nodes: { b: REFLECTOR },
        peers: [{ nodeSelector: "all()", peerSelector: "rr == 'true'" }],
      },
      ["Node_10_9_0_3: 10.9.0.3 as 64512"],
    ],
    [
      "nodes by selector: the reflector, by the way back",
      {
        settings: OFF,
        nodes: { a: REFLECTOR },
        peers: [{ nodeSelector: "!has(rr)", peerSelector: "rr == 'true'" }],
      },
      [
        "Node_10_9_0_11: 10.9.0.11 as 64512, rr client 244.0.0.1",
        "Node_10_9_0_3: 10.9.0.3 as 64512, rr client 244.0.0.1",
      ],
    ],
    [
      "nodes by selector: no way back by itself",
      {
        settings: OFF,
        nodes: { a: REFLECTOR },
        peers: [
          { nodeSelector: "!has(rr)", peerSelector: "rr == 'true'", reversePeering: "Manual" },
        ],
      },
      [],
    ],
    [
      "two reflectors of one cluster id are no clients of each other",
      {
        settings: OFF,
        nodes: { a: REFLECTOR, b: REFLECTOR, c: { ...REFLECTOR, clusterId: "244.0.0.2" } },
        peers: [{ nodeSelector: "has(rr)", peerSelector: "has(rr)" }],
      },
      [
        "Node_10_9_0_11: 10.9.0.11 as 64512, rr client 244.0.0.1",
        "Node_10_9_0_3: 10.9.0.3 as 64512",
      ],
    ],
  ];
  test.each(cases)("%s", (_what, input, peers) => {
    expect(configOf(input).peers.map(lineOf)).toEqual(peers);
  });
});

test("static routes: own blocks, not borrowed addresses; routers behind another one", () => {
  const { statics } = configOf({
    peers: [{ ...RACK, peerIP: "10.77.0.4", reachableBy: "10.9.0.1" }],
  });
  expect(
    statics.map(({ prefix, via }) => `${prefix} ${via ? formatIp(via) : "blackhole"}`),
  ).toEqual(["172.20.1.64/26 blackhole", "10.77.0.4/32 10.9.0.1"]);
});

test("direct routes: not of pods and of IPVS, nor of what is to be ignored", () => {
  const { directInterfaces } = configOf({ settings: { ignoredInterfaces: ["dummy*", "eth9"] } });
  expect(directInterfaces).toEqual(["-dummy*", "-eth9", "-cali*", "-kube-ipvs*", "*"]);
});

/** Statements about networks, with what they do. */
function aboutNetworks(filter: readonly unknown[]): string[] {
  const text = filterText(filter as Parameters<typeof filterText>[0]).join(" ");
  return [...text.matchAll(/if \(\(?net [~=] (\S+?)\)(.*?) then \{ (.*?) \}/g)].map(
    ([, net, , what]) => `${net} ${what}`.replace(/\s+/g, " ").trim(),
  );
}

const POOLS: readonly Partial<v3.IPPoolSpec>[] = [
  { cidr: "172.16.0.0/16", ipipMode: "Always" },
  { cidr: "172.17.0.0/16" },
  { cidr: "172.18.0.0/16", ipipMode: "CrossSubnet" },
  { cidr: "172.19.0.0/16", vxlanMode: "CrossSubnet" },
  { cidr: "172.22.0.0/16", allowedUses: ["LoadBalancer"] },
];
const TUNNEL = 'krt_tunnel = "tunl0"; accept;';
const FAR =
  'if !(defined(bgp_next_hop) && bgp_next_hop ~ 10.9.0.0/24) then { krt_tunnel = "tunl0";';

describe("what goes to the kernel", () => {
  // IPIP always, no encapsulation, IPIP across subnets, VXLAN: by programClusterRoutes.
  test.each<[Settings["programClusterRoutes"], string[]]>([
    [undefined, ["reject;", "accept;", "reject;", "reject;"]],
    ["Enabled", [TUNNEL, "accept;", FAR, "reject;"]],
    ["EnabledIPIPOnly", [TUNNEL, "reject;", FAR, "reject;"]],
    ["EnabledNoEncapOnly", ["reject;", "accept;", "reject;", "reject;"]],
    ["Disabled", ["reject;", "reject;", "reject;", "reject;"]],
  ])("programClusterRoutes %s", (programClusterRoutes, expected) => {
    const settings = programClusterRoutes === undefined ? {} : { programClusterRoutes };
    const { kernel } = configOf({ settings, pools: POOLS });
    expect(aboutNetworks(kernel?.exportFilter ?? [])).toEqual(
      expected.map((what, i) => `172.${16 + i}.0.0/16 ${what}`),
    );
  });
});

test("what goes to peers: blocks whole, nothing in them; pools, but for those that are not to be told", () => {
  const pools = [...POOLS.slice(0, 2), { cidr: "172.21.0.0/16", disableBGPExport: true }];
  const [peer] = configOf({ pools }).peers;
  expect(aboutNetworks(peer?.exportFilter ?? [])).toEqual([
    "172.21.0.0/16 reject;",
    "172.20.1.64/26 accept;",
    "172.20.1.64/26 accept;",
    "172.20.1.64/26 reject;",
    "172.20.9.9/32 accept;",
    "172.20.9.9/32 accept;",
    "172.20.9.9/32 reject;",
    "172.16.0.0/16 accept;",
    "172.17.0.0/16 accept;",
  ]);
});
