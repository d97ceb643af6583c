import { SeededRandom, VirtualClock } from "@cnilab/core";
import { Kernel, Network } from "@cnilab/linux";
import { Prefix, parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import {
  type CtEntry,
  CtTuple,
  TUPLE_F_IN,
  TUPLE_F_OUT,
  TUPLE_F_RELATED,
  TUPLE_F_SERVICE,
} from "../datapath/maps/conntrack-map.ts";
import { NodeMaps } from "../datapath/node-maps.ts";
import { bpfOutput } from "./bpf-command.ts";

const LABELS: Readonly<Record<number, readonly string[]>> = {
  0: ["reserved:unknown"],
  1: ["reserved:host"],
  30000: ["k8s:app=web", "k8s:io.kubernetes.pod.namespace=shop"],
};

const CONNECTION: CtEntry = {
  backendId: 0,
  packets: 5,
  bytes: 2560,
  lifetime: 12_345,
  rxClosing: true,
  txClosing: true,
  lbLoopback: false,
  seenNonSyn: true,
  nodePort: false,
  proxyRedirect: false,
  dsrInternal: false,
  fromL7lb: false,
  fromTunnel: false,
  revNatIndex: 27,
  txFlagsSeen: 0x1b,
  rxFlagsSeen: 0,
  srcSecId: 6789,
  lastTxReport: 0,
  lastRxReport: 7777,
};

function node(): NodeMaps {
  const clock = new VirtualClock();
  const network = new Network(clock, new SeededRandom(1));
  clock.advance(60_000);
  return new NodeMaps(new Kernel(network, "node1"));
}

function output(maps: NodeMaps, words: string) {
  return bpfOutput(maps.kernel, words.split(" ").filter(Boolean), {
    labelsOf: (identity) => LABELS[identity] ?? [],
    addressesOf: (pod) => (pod === "shop/web" ? ["10.0.1.5"] : []),
  });
}

describe("ct list global", () => {
  const [client, server] = [parseIp("10.0.1.5"), parseIp("10.0.2.7")];
  const expires =
    "expires=12345 Packets=5 Bytes=2560 RxFlagsSeen=0x00 LastRxReport=7777 TxFlagsSeen=0x1b LastTxReport=0 " +
    "Flags=0x0013 [ RxClosing TxClosing SeenNonSyn ] RevNAT=27 SourceSecurityID=6789 BackendID=0 ";

  // As programs store a connection from a client's port 4000 to port 80 (bpf/lib/conntrack.h).
  test.each([
    [
      "OUT",
      new CtTuple(client, server, 80, 4000, 6, TUPLE_F_OUT),
      "TCP OUT 10.0.1.5:4000 -> 10.0.2.7:80",
    ],
    [
      "IN",
      new CtTuple(client, server, 80, 4000, 6, TUPLE_F_IN),
      "TCP IN 10.0.1.5:4000 -> 10.0.2.7:80",
    ],
    [
      "SVC",
      new CtTuple(server, client, 4000, 80, 6, TUPLE_F_SERVICE),
      "TCP SVC 10.0.1.5:4000 -> 10.0.2.7:80",
    ],
    [
      "related",
      new CtTuple(client, server, 0, 0, 1, TUPLE_F_RELATED),
      "ICMP OUT 10.0.1.5:0 -> 10.0.2.7:0 related",
    ],
    [
      "IPv6 without brackets",
      new CtTuple(parseIp("fd00::5"), parseIp("fd00::7"), 53, 4000, 17, TUPLE_F_OUT),
      "UDP OUT fd00::5:4000 -> fd00::7:53",
    ],
  ])("%s", (_what, tuple, expected) => {
    const maps = node();
    maps.ct(tuple.daddr, tuple.nexthdr).update(tuple, CONNECTION);
    expect(output(maps, "ct list global").text.trimStart()).toContain(`${expected} ${expires}\n\n`);
  });

  test("says in JSON what stands in memory", () => {
    const maps = node();
    maps.ct4.update(new CtTuple(client, server, 80, 4000, 6, TUPLE_F_OUT), CONNECTION);
    expect(output(maps, "ct").json).toMatchObject([
      {
        Key: {
          DestAddr: [10, 0, 1, 5],
          SourceAddr: [10, 0, 2, 7],
          DestPort: 80 << 8,
          SourcePort: 0xa00f,
          NextHeader: 6,
          Flags: 0,
        },
        Value: { Flags: 0x13, RevNAT: 27 << 8, Packets: 5, Lifetime: 12_345 },
      },
    ]);
  });
});

test("nat list says how old a translation is", () => {
  const maps = node();
  const entry = { toAddress: parseIp("192.168.0.11"), toPort: 40_000, created: 52, needsCt: true };
  const tuple = new CtTuple(parseIp("192.0.2.1"), parseIp("10.0.1.5"), 53, 4000, 17, TUPLE_F_OUT);
  maps.snat4.update(tuple, entry);
  const back = new CtTuple(
    parseIp("192.168.0.11"),
    parseIp("192.0.2.1"),
    40_000,
    53,
    17,
    TUPLE_F_IN,
  );
  maps.snat4.update(back, { ...entry, toAddress: parseIp("10.0.1.5"), toPort: 4000 });
  maps.snat6.update(
    new CtTuple(parseIp("2001:db8::1"), parseIp("fd00::5"), 53, 4000, 17, TUPLE_F_OUT),
    { ...entry, toAddress: parseIp("fd01::11"), needsCt: false },
  );
  expect(output(maps, "nat list").text.split("\n")).toEqual([
    "UDP OUT 10.0.1.5:4000 -> 192.0.2.1:53 XLATE_SRC 192.168.0.11:40000 Created=8sec ago NeedsCT=1",
    "UDP IN 192.0.2.1:53 -> 192.168.0.11:40000 XLATE_DST 10.0.1.5:4000 Created=8sec ago NeedsCT=1",
    "",
    "UDP OUT [fd00::5]:4000 -> [2001:db8::1]:53 XLATE_SRC [fd01::11]:40000 Created=8sec ago NeedsCT=0",
    "",
    "",
  ]);
});

describe("policy", () => {
  const maps = node();
  const policy = maps.lxcPolicy(42);
  const entry = {
    deny: false,
    proxyPort: 0,
    proxyPortPriority: 0,
    authType: 0,
    hasExplicitAuthType: false,
    lpmPrefixLength: 0,
  };
  const add = (
    secLabel: number,
    egress: boolean,
    [protocol, dport, lpmPrefixLength]: readonly [number, number, number],
    rest: Partial<typeof entry> = {},
  ) => {
    const key = { secLabel, egress, protocol, dport, lpmPrefixLength };
    policy.update(key, { ...entry, ...rest, lpmPrefixLength });
    return key;
  };
  add(0, true, [0, 0, 0]);
  add(1, false, [0, 0, 0]);
  const counted = add(30_000, false, [6, 80, 24], { proxyPort: 10_001 });
  add(16_777_217, false, [17, 8000, 18], { authType: 1, hasExplicitAuthType: true });
  add(1, true, [132, 0, 8], { deny: true });
  maps.policyStats.update({ ...counted, endpointId: 42 }, { packets: 7, bytes: 420 });
  maps.endpoints.update(parseIp("10.0.1.5"), {
    ifindex: 12,
    lxcId: 42,
    flags: 0,
    mac: 0x0a0000000001,
    nodeMac: 0x0a0000000002,
    secId: 30_000,
    parentIfindex: 0,
  });

  const expected = [
    "POLICY   DIRECTION   LABELS (source:key[=value])                PORT/PROTO      PROXY PORT   AUTH TYPE   BYTES   PACKETS   PREFIX   ",
    "Deny     Egress      reserved:host                              SCTP            NONE         disabled    -       -         8        ",
    "Allow    Ingress     reserved:host                              ANY             NONE         disabled    -       -         0        ",
    "Allow    Ingress     k8s:app=web                                80/TCP          10001        disabled    420     7         24       ",
    "                     k8s:io.kubernetes.pod.namespace=shop                                                                           ",
    "Allow    Ingress     16777217                                   8000-8063/UDP   NONE         spire       -       -         18       ",
    "Allow    Egress      ANY                                        ANY             NONE         disabled    -       -         0        ",
  ];

  test.each(["policy get 42", "policy 42", "policy shop/web"])("%s", (words) => {
    // The widest label sets the column; blanks behind it are as many as there.
    const { text } = output(maps, words);
    expect(
      text
        .split("\n")
        .slice(0, -1)
        .map((line) => line.replace(/ +/g, " ")),
    ).toEqual(expected.map((line) => line.replace(/ +/g, " ")));
    expect(
      new Set(
        text
          .split("\n")
          .slice(0, -1)
          .map((line) => line.length),
      ),
    ).toHaveProperty("size", 1);
  });

  test("list has all endpoints", () => {
    expect(output(maps, "policy list").text).toMatch(
      /^Endpoint ID: 42\nPath: \/sys\/fs\/bpf\/tc\/globals\/cilium_policy_v2_00042\n\nPOLICY {3}/,
    );
    expect(output(maps, "policy").json).toMatchObject([{ EndpointID: "42" }]);
  });

  test("says in JSON what stands in memory", () => {
    expect((output(maps, "policy 42").json as unknown[])[2]).toMatchObject({
      ProxyPortNetwork: 0x1127,
      Flags: 24 << 3,
      Packets: 7,
      Bytes: 420,
      Key: {
        Prefixlen: 64,
        Identity: 30_000,
        TrafficDirection: 0,
        Nexthdr: 6,
        DestPortNetwork: 80 << 8,
      },
    });
  });

  test.each(["policy 43", "policy shop/none"])("%s is refused", (words) => {
    expect(() => output(maps, words)).toThrow(
      /has no endpoint .* with a policy map; there are 42$/,
    );
  });
});

describe("tables", () => {
  const maps = node();
  maps.ipcache.update(
    { clusterId: 0, address: parseIp("10.0.2.7"), prefixLength: 32 },
    { identity: 30_000, tunnelEndpoint: parseIp("192.168.0.12"), key: 0, skipTunnel: false },
  );
  maps.ipcache.update(
    { clusterId: 0, address: parseIp("0.0.0.0"), prefixLength: 0 },
    { identity: 2, key: 0, skipTunnel: false },
  );
  maps.endpoints.update(parseIp("10.0.1.5"), {
    ifindex: 12,
    lxcId: 42,
    flags: 0xa,
    mac: 0x0a0000000001,
    nodeMac: 0x0a0000000002,
    secId: 30_000,
    parentIfindex: 0,
  });
  maps.nodes.update(parseIp("192.168.0.12"), { id: 0x1f3, spi: 0 });
  maps.metrics.update({ reason: 133, direction: 1 }, { count: 3, bytes: 222 });
  maps.metrics.update({ reason: 0, direction: 2 }, { count: 10, bytes: 900 });
  maps.auth.update(
    { localSecLabel: 1, remoteSecLabel: 2, remoteNodeId: 3, authType: 1 },
    { expiration: 0 },
  );
  maps.ipMasq4.update(new Prefix(parseIp("10.0.0.0"), 8), true);
  maps.lb4.reverseSk.update(
    { cookie: 77, address: parseIp("10.0.2.7"), port: 8080 },
    { address: parseIp("10.96.0.10"), port: 80, revNat: 1 },
  );

  test.each([
    [
      "ipcache list",
      [
        "IP PREFIX/ADDRESS   IDENTITY",
        "0.0.0.0/0           identity=2 encryptkey=0 tunnelendpoint=0.0.0.0 flags=<none>               ",
        "10.0.2.7/32         identity=30000 encryptkey=0 tunnelendpoint=192.168.0.12 flags=hastunnel   ",
      ],
    ],
    [
      "endpoint list",
      [
        "IP ADDRESS   LOCAL ENDPOINT INFO",
        "10.0.1.5:0   id=42    sec_id=30000 flags=0x000A ifindex=12  mac=0A:00:00:00:00:01 nodemac=0A:00:00:00:00:02 parent_ifindex=0     ",
      ],
    ],
    ["nodeid list", ["NODE ID   IP ADDRESSES   SPI", "0x1f3     192.168.0.12   0"]],
    [
      "metrics list",
      [
        "REASON          DIRECTION   PACKETS   BYTES   LINE   FILE",
        "Policy denied   INGRESS     3         222     0      unknown(0)",
        "Success         EGRESS      10        900     0      unknown(0)",
      ],
    ],
    [
      "auth list",
      [
        "SRC IDENTITY   DST IDENTITY   REMOTE NODE ID   AUTH TYPE   EXPIRATION",
        "1              2              3                spire       2026-01-01 00:00:00 +0000 UTC",
      ],
    ],
    ["ipmasq list", ["IP PREFIX/ADDRESS   ", "10.0.0.0/8               "]],
    // Ports as signed numbers in the order of the wire: 8080 is 0x1f90, the other way around 0x901f.
    [
      "socknat list",
      [
        "Socket Cookie   Backend -> Frontend",
        "77              10.0.2.7:-28641 -> 10.96.0.10:20480 (revnat=256)   ",
      ],
    ],
    [
      "cilium_node_map_v2",
      [
        "Key            Value              State   Error",
        "192.168.0.12   nodeid=499 spi=0   sync    ",
      ],
    ],
  ])("%s", (words, expected) => {
    expect(output(maps, words).text).toBe(expected.map((line) => `${line}\n`).join(""));
  });

  test("without words all maps are listed", () => {
    const { text, json } = output(maps, "");
    expect(text).toContain("cilium_ipcache_v2            2             512000        lpm_trie\n");
    expect(json).toContainEqual(
      expect.objectContaining({ name: "cilium_lxc", type: "hash", entries: 1, maxEntries: 65_535 }),
    );
  });

  test.each(["frag", "nodeid", "ipcache", "metrics", "auth"])("%s of nothing says so", (words) => {
    expect(output(node(), words)).toMatchObject({ text: "", note: "No entries found." });
  });

  test.each([
    [
      "nonsense",
      /node1 has no map of this name; write one of those that "show bpf" lists, or auth,/,
    ],
    [
      "lb wrong",
      /lists services, frontends, backends, revnat, source-ranges and maglev, not "wrong"/,
    ],
    ["ct list global more", /"more" is one word too many/],
    ["policy 42 43", /"43" is one word too many/],
  ])("%s is refused", (words, message) => {
    expect(() => output(maps, words)).toThrow(message);
  });

  test("a machine without maps has none to list", () => {
    const kernel = new Kernel(maps.kernel.network, "bare");
    const options = { labelsOf: () => [] };
    expect(() => bpfOutput(kernel, ["lb"], options)).toThrow("bare has no eBPF maps");
    expect(bpfOutput(kernel, [], options).json).toEqual([]);
  });
});
