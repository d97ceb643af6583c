// How machines are joined, which no file tells: by what they say of each other.
import { type NetNamespace, Nic, Veth, Wireguard } from "@cnilab/linux";
import { formatIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { type ImportedState, importState, type SavedFiles } from "../src/index.ts";

interface Card {
  readonly name?: string;
  readonly kind?: string;
  readonly addresses?: readonly string[];
  readonly gateway?: string;
  readonly master?: string;
  readonly flags?: readonly string[];
}

/** A machine with cards. */
function machine(name: string, ...cards: readonly Card[]): [string, string][] {
  const all = cards.map((card, i) => ({ ...card, name: card.name ?? `eth${i}` }));
  const links = all.map(({ name, kind, master, flags = ["UP", "LOWER_UP"] }, i) => ({
    ifindex: i + 2,
    ifname: name,
    flags,
    mtu: 1500,
    link_type: "ether",
    ...(master === undefined ? {} : { master }),
    ...(kind === undefined ? {} : { linkinfo: { info_kind: kind } }),
  }));
  const addrs = all.map(({ name, addresses = [] }) => ({
    ifname: name,
    addr_info: addresses.map((text) => {
      const [local, length] = text.split("/");
      const family = text.includes(":") ? "inet6" : "inet";
      return { family, local, prefixlen: Number(length), scope: "global" };
    }),
  }));
  const routes = (v6: boolean): object[] =>
    all
      .filter(({ gateway }) => gateway?.includes(":") === v6)
      .map(({ gateway, name }) => ({ dst: "default", gateway, dev: name, flags: ["onlink"] }));
  return [
    [`${name}/links.json`, JSON.stringify(links)],
    [`${name}/addrs.json`, JSON.stringify(addrs)],
    [`${name}/routes4.json`, JSON.stringify(routes(false))],
    [`${name}/routes6.json`, JSON.stringify(routes(true))],
  ];
}

/** Cards that share a wire with others, the assumed router's among them. */
function wires({ network }: ImportedState): string[] {
  const bySegment = new Map<unknown, string[]>();
  for (const { hostname, initNs } of network.kernels.values()) {
    for (const dev of initNs.devices) {
      if (!(dev instanceof Nic)) continue;
      bySegment.set(dev.segment, [
        ...(bySegment.get(dev.segment) ?? []),
        `${hostname}/${dev.name}`,
      ]);
    }
  }
  return [...bySegment.values()].map((cards) => cards.join(" ")).sort();
}

describe("cards are on one wire", () => {
  test.each<[what: string, machines: [string, string][][], expected: string[]]>([
    [
      "by a network in common",
      [machine("a", { addresses: ["10.0.0.1/24"] }), machine("b", { addresses: ["10.0.0.2/24"] })],
      ["a/eth0 b/eth0"],
    ],
    [
      "not by networks of different lengths",
      [machine("a", { addresses: ["10.0.0.1/24"] }), machine("b", { addresses: ["10.0.0.2/16"] })],
      ["a/eth0", "b/eth0"],
    ],
    [
      "by a third one that has both",
      [
        machine("a", { addresses: ["10.0.0.1/24"] }),
        machine("b", { addresses: ["fd00::2/64"] }),
        machine("c", { addresses: ["10.0.0.3/24", "fd00::3/64"] }),
      ],
      ["a/eth0 b/eth0 c/eth0"],
    ],
    [
      "by a default gateway in common, where addresses stand alone",
      [
        machine("a", { addresses: ["10.128.0.2/32"], gateway: "10.128.0.1" }),
        machine("b", { addresses: ["10.128.0.3/32"], gateway: "10.128.0.1" }),
      ],
      ["a/eth0 b/eth0 router/eth0", "router/world"],
    ],
    [
      "not by a link-local gateway: every network has that one",
      [
        machine("a", { addresses: ["fd00:1::2/64"], gateway: "fe80::1" }),
        machine("b", { addresses: ["fd00:2::2/64"], gateway: "fe80::1" }),
      ],
      ["a/eth0 router/eth0", "b/eth0 router/eth1", "router/world"],
    ],
    [
      "through a router between their networks",
      [
        machine("a", { addresses: ["10.0.1.2/24"], gateway: "10.0.1.1" }),
        machine("b", { addresses: ["10.0.2.2/24"], gateway: "10.0.2.1" }),
      ],
      ["a/eth0 router/eth0", "b/eth0 router/eth1", "router/world"],
    ],
    [
      "where one of the machines is the gateway, without another",
      [
        machine("a", { addresses: ["10.0.0.2/24"], gateway: "10.0.0.1" }),
        machine("b", { addresses: ["10.0.0.1/24"] }),
      ],
      ["a/eth0 b/eth0"],
    ],
    [
      "where the address is on the bridge that has the card",
      [
        machine(
          "a",
          { master: "br0" },
          { name: "br0", kind: "bridge", addresses: ["10.0.0.1/24"] },
        ),
        machine("b", { addresses: ["10.0.0.2/24"] }),
      ],
      ["a/eth0 b/eth0"],
    ],
    [
      "through the first card of a bridge alone: two would make a loop",
      [
        machine(
          "a",
          { master: "br0" },
          { master: "br0" },
          { name: "br0", kind: "bridge", addresses: ["10.0.0.1/24"] },
        ),
        machine("b", { addresses: ["10.0.0.2/24"] }),
      ],
      ["a/eth0 b/eth0", "a/eth1"],
    ],
    [
      "by a bond, without the cards in it",
      [
        machine(
          "a",
          { master: "bond0" },
          { name: "bond0", kind: "bond", addresses: ["10.0.0.1/24"] },
        ),
        machine("b", { addresses: ["10.0.0.2/24"] }),
      ],
      ["a/bond0 b/eth0", "a/eth0"],
    ],
    [
      "not by ports of pods that were not collected",
      [
        machine(
          "a",
          { name: "veth1", kind: "veth", master: "cni0" },
          { name: "veth2", kind: "veth", master: "cni0" },
          { name: "cni0", kind: "bridge", addresses: ["10.244.0.1/24"] },
          { name: "cali3", kind: "veth" },
        ),
      ],
      [],
    ],
    [
      "by bonds and VLANs, which are cards here",
      [
        machine("a", { name: "bond0", kind: "bond", addresses: ["10.0.0.1/24"] }),
        machine("b", { name: "eth0.7", kind: "vlan", addresses: ["10.0.0.2/24"] }),
      ],
      ["a/bond0 b/eth0.7"],
    ],
    [
      "as a container's cable is, whose other end nobody saw",
      [
        machine("a", { kind: "veth", addresses: ["172.18.0.2/16"] }),
        machine("b", { kind: "veth", addresses: ["172.18.0.3/16"] }),
      ],
      ["a/eth0 b/eth0"],
    ],
  ])("%s", (_, machines, expected) => {
    expect(wires(importState(new Map(machines.flat())))).toEqual(expected);
  });

  test("hosts beyond the gateway are made when somebody asks, and find their way back", () => {
    const files = new Map(machine("a", { addresses: ["10.128.0.2/32"], gateway: "10.128.0.1" }));
    const { outside } = importState(files);
    expect(outside.host(0x08080808)).toBe(outside.host(0x08080808));
    expect(outside.nameOf(outside.host(0x08080808))).toBe("8.8.8.8");
    expect(outside.nameOf(outside.internet)).toBe("internet");
    const routes = [...outside.router.fib4.main.routes()].map(
      (r) => `${r.prefix} ${r.nexthop.dev?.name}`,
    );
    expect(routes).toEqual(
      expect.arrayContaining(["10.128.0.2/32 eth0", "8.8.8.8/32 world", "203.0.113.0/24 world"]),
    );
  });
});

interface End {
  readonly namespace: string;
  readonly ifindex: number;
  readonly peer: number;
  readonly nsid?: number;
}

/** One machine with cables; `nsids` are what namespaces call each other, where that was saved. */
function cabled(ends: readonly End[], nsids: Readonly<Record<string, object[]>> = {}): SavedFiles {
  const files = new Map<string, string>();
  const folder = (name: string): string => (name === "" ? "n/" : `n/netns/${name}/`);
  for (const name of new Set(["", ...ends.map((end) => end.namespace)])) {
    const links = ends
      .filter((end) => end.namespace === name)
      .map(({ ifindex, peer, nsid }) => ({
        ifindex,
        ifname: `v${ifindex}`,
        flags: ["UP"],
        link_index: peer,
        ...(nsid === undefined ? {} : { link_netnsid: nsid }),
        linkinfo: { info_kind: "veth" },
      }));
    files.set(`${folder(name)}links.json`, JSON.stringify(links));
    files.set(`${folder(name)}nsids.json`, JSON.stringify(nsids[name] ?? []));
  }
  return files;
}

function peers(state: ImportedState): string[] {
  const kernel = state.nodes.get("n");
  const all: NetNamespace[] = kernel === undefined ? [] : [kernel.initNs, ...kernel.namespaces];
  return all.flatMap(({ name, devices }) =>
    devices
      .filter((dev) => dev instanceof Veth)
      .map(({ name: dev, peer }) => `${name}/${dev} ${peer?.netns.name}/${peer?.name}`),
  );
}

describe("cables", () => {
  test.each<[what: string, files: SavedFiles, expected: string[]]>([
    [
      "of pods: the machine's own indexes are each there once",
      cabled([
        { namespace: "", ifindex: 5, peer: 2, nsid: 0 },
        { namespace: "", ifindex: 6, peer: 2, nsid: 1 },
        { namespace: "p", ifindex: 2, peer: 5, nsid: 0 },
        { namespace: "q", ifindex: 2, peer: 6, nsid: 0 },
      ]),
      ["/v5 p/v2", "/v6 q/v2", "p/v2 /v5", "q/v2 /v6"],
    ],
    [
      "whose namespaces have no numbers for each other (-1)",
      cabled([
        { namespace: "p", ifindex: 2, peer: 9, nsid: -1 },
        { namespace: "p", ifindex: 3, peer: 8, nsid: -1 },
        { namespace: "q", ifindex: 9, peer: 2, nsid: 0 },
        { namespace: "r", ifindex: 8, peer: 3, nsid: 0 },
      ]),
      ["p/v2 q/v9", "p/v3 r/v8", "q/v9 p/v2", "r/v8 p/v3"],
    ],
    [
      "inside of one namespace",
      cabled([
        { namespace: "p", ifindex: 2, peer: 3 },
        { namespace: "p", ifindex: 3, peer: 2 },
      ]),
      ["p/v2 p/v3", "p/v3 p/v2"],
    ],
    [
      "whose indexes are alike, by the names of namespaces",
      cabled(
        [
          { namespace: "p", ifindex: 2, peer: 2, nsid: 0 },
          { namespace: "q", ifindex: 2, peer: 2, nsid: 0 },
          { namespace: "r", ifindex: 2, peer: 2, nsid: 0 },
          { namespace: "s", ifindex: 2, peer: 2, nsid: 0 },
        ],
        { p: [{ nsid: 0, name: "r" }], q: [{ nsid: 0, name: "s" }] },
      ),
      ["p/v2 r/v2", "q/v2 s/v2", "r/v2 p/v2", "s/v2 q/v2"],
    ],
    [
      "whose indexes are alike, by what another cable tells",
      cabled([
        { namespace: "p", ifindex: 2, peer: 2, nsid: 4 },
        { namespace: "p", ifindex: 3, peer: 7, nsid: 4 },
        { namespace: "q", ifindex: 2, peer: 2, nsid: 5 },
        { namespace: "r", ifindex: 2, peer: 2, nsid: 6 },
        { namespace: "r", ifindex: 7, peer: 3, nsid: 6 },
        { namespace: "s", ifindex: 2, peer: 2, nsid: 7 },
      ]),
      ["p/v2 r/v2", "p/v3 r/v7", "q/v2 s/v2", "r/v2 p/v2", "r/v7 p/v3", "s/v2 q/v2"],
    ],
  ])("%s", (_, files, expected) => {
    const state = importState(files);
    expect(peers(state)).toEqual(expected);
  });

  test("that nothing tells apart end where nothing was collected", () => {
    const ends = ["p", "q", "r", "s"].map((namespace) => ({
      namespace,
      ifindex: 2,
      peer: 2,
      nsid: 0,
    }));
    const state = importState(cabled(ends));
    expect(state.unmodelled.of("n")[0]).toMatch(/^not collected/);
    expect(state.unmodelled.of("n")).toContain(
      "veth devices whose other ends were not collected: p/v2, q/v2, r/v2, s/v2",
    );
    expect(peers(state).filter((line) => line.startsWith("p/"))).toEqual(["p/v2 not-collected/e1"]);
  });
});

test("WireGuard's peers are read from a dump without keys", () => {
  const links = JSON.stringify([
    {
      ifindex: 3,
      ifname: "wg0",
      flags: ["UP"],
      mtu: 1420,
      link_type: "none",
      linkinfo: { info_kind: "wireguard" },
    },
  ]);
  const dump =
    "wg0\t-\town=\t51820\toff\nwg0\tother=\t-\t192.168.0.12:51820\t10.244.1.0/24,fd00::/64\t0\t0\t0\t25\n";
  const state = importState(
    new Map([
      ["n/links.json", links],
      ["n/wg.txt", dump],
    ]),
  );
  const dev = state.nodes.get("n")?.initNs.device("wg0") as Wireguard;
  expect(dev).toBeInstanceOf(Wireguard);
  const [peer] = [...dev.peers];
  expect([dev.publicKey, dev.listenPort, peer?.publicKey, peer?.persistentKeepalive]).toEqual([
    "own=",
    51820,
    "other=",
    25,
  ]);
  expect(peer?.allowedIps.map(String)).toEqual(["10.244.1.0/24", "fd00::/64"]);
  expect(formatIp(peer?.endpoint?.address ?? 0)).toBe("192.168.0.12");
  const broken = new Map([
    ["n/links.json", links],
    ["n/wg.txt", "wg0\t-\tkey\tport\toff"],
  ]);
  expect(() => importState(broken)).toThrow('n/wg.txt:1: "port" is no port');
});
