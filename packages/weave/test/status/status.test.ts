import { expect, test } from "vitest";
import {
  connectionsText,
  ipamText,
  peersText,
  statusText,
  targetsText,
  type WeaveStatus,
} from "../../src/index.ts";
import {
  type ConnectionStatus,
  connectionStatus,
  goTime,
} from "../../src/status/connection-status.ts";
import type { IpamStatus, PeerStatus, RouterStatus } from "../../src/status/weave-status.ts";
import { MeshLab } from "../mesh-lab.ts";

const IPAM: IpamStatus = {
  Paxos: null,
  Range: "10.32.0.0/12",
  RangeNumIPs: 2 ** 20,
  ActiveIPs: 2,
  DefaultSubnet: "10.32.0.0/12",
  Entries: null,
  PendingClaims: null,
  PendingAllocates: null,
};
const ROUTER: RouterStatus = {
  Protocol: "weave",
  ProtocolMinVersion: 1,
  ProtocolMaxVersion: 2,
  Encryption: false,
  PeerDiscovery: true,
  Name: "00:00:00:00:00:01",
  NickName: "one",
  Port: 6783,
  Peers: [],
  UnicastRoutes: [],
  BroadcastRoutes: [],
  Connections: [],
  TerminationCount: 0,
  Targets: [],
  OverlayDiagnostics: null,
  TrustedSubnets: [],
  Interface: "datapath (via ODP)",
  CaptureStats: {},
  MACs: [],
};

function status(router: Partial<RouterStatus>, ipam: Partial<IpamStatus> = {}): WeaveStatus {
  return {
    Ready: true,
    Version: "2.8.1",
    VersionCheck: { Enabled: false, Success: false, NewVersion: "" },
    Router: { ...ROUTER, ...router },
    IPAM: { ...IPAM, ...ipam },
  };
}

/** One owner's part of the range. */
function entry(number: number, nickname: string, Size: number, IsKnownPeer = true) {
  const Peer = `00:00:00:00:00:0${number}`;
  return { Token: "10.32.0.0", Size, Peer, Nickname: nickname, IsKnownPeer, Version: 0 };
}

function peer(name: string, connections: readonly [boolean, string, string][]): PeerStatus {
  const [, Name = "", NickName = ""] = /^(.*)\((.*)\)$/.exec(name) ?? [];
  return {
    Name,
    NickName,
    UID: 1,
    ShortID: 1,
    Version: 1,
    Connections: connections.map(([Outbound, Address, remote]) => {
      const [, Name = "", NickName = ""] = /^(.*)\((.*)\)$/.exec(remote) ?? [];
      return { Name, NickName, Address, Outbound, Established: true };
    }),
  };
}

const HOSTS = ["ce:31:e0:06:45:1a(host1)", "ea:2d:b2:e6:e4:f5(host2)", "ee:38:33:a7:d9:71(host3)"];
const [HOST1, HOST2, HOST3] = HOSTS as [string, string, string];

// weaveworks/weave site/troubleshooting.md, "List Peers".
const PEERS = `ce:31:e0:06:45:1a(host1)
   <- 192.168.48.12:39634   ea:2d:b2:e6:e4:f5(host2)              established
   <- 192.168.48.13:49619   ee:38:33:a7:d9:71(host3)              established
ea:2d:b2:e6:e4:f5(host2)
   -> 192.168.48.11:6783    ce:31:e0:06:45:1a(host1)              established
   <- 192.168.48.13:58181   ee:38:33:a7:d9:71(host3)              established
ee:38:33:a7:d9:71(host3)
   -> 192.168.48.12:6783    ea:2d:b2:e6:e4:f5(host2)              established
   -> 192.168.48.11:6783    ce:31:e0:06:45:1a(host1)              established
`;

test("peers, as the documentation has them", () => {
  const Peers = [
    peer(HOST1, [
      [false, "192.168.48.12:39634", HOST2],
      [false, "192.168.48.13:49619", HOST3],
    ]),
    peer(HOST2, [
      [true, "192.168.48.11:6783", HOST1],
      [false, "192.168.48.13:58181", HOST3],
    ]),
    peer(HOST3, [
      [true, "192.168.48.12:6783", HOST2],
      [true, "192.168.48.11:6783", HOST1],
    ]),
  ];
  expect(peersText(status({ Peers }))).toBe(PEERS);
});

function connection(
  State: ConnectionStatus["State"],
  Info: string,
  more: Partial<ConnectionStatus> = {},
): ConnectionStatus {
  return { Address: "192.168.48.12:6783", Outbound: true, State, Info, Attrs: null, ...more };
}

// weaveworks/weave site/troubleshooting.md, "List Connections"; what stands behind each line is the template's.
test.each<[ConnectionStatus, string]>([
  [
    connection("established", "unencrypted fastdp 7e:21:4a:70:2f:45(host2)", {
      Outbound: false,
      Address: "192.168.48.12:33866",
      Attrs: { name: "fastdp", mtu: 1410 },
    }),
    "<- 192.168.48.12:33866   established unencrypted fastdp 7e:21:4a:70:2f:45(host2) mtu=1410\n",
  ],
  [
    connection("pending", "encrypted   fastdp 7e:ae:cd:d5:23:8d(host3)", {
      Attrs: { name: "sleeve", mtu: 1414, encrypted: true },
    }),
    "-> 192.168.48.12:6783    pending     encrypted   fastdp 7e:ae:cd:d5:23:8d(host3) encrypted=truemtu=1414\n",
  ],
  [
    connection("retrying", "dial tcp4 192.168.48.14:6783: no route to host"),
    "-> 192.168.48.12:6783    retrying    dial tcp4 192.168.48.14:6783: no route to host \n",
  ],
  [connection("connecting", ""), "-> 192.168.48.12:6783    connecting   \n"],
])("a connection: %j", (each, expected) => {
  expect(connectionsText(status({ Connections: [each] }))).toBe(expected);
});

test("who owns how much: itself first, and who is out of reach", () => {
  const third = [entry(2, "two", 349_525), entry(3, "three", 349_525, false)];
  const Entries = [...third, entry(1, "one", 349_000), entry(1, "one", 526)];
  expect(ipamText(status({}, { Entries }))).toBe(
    `00:00:00:00:00:01(one)                  349526 IPs (33.3% of total) (2 active)
00:00:00:00:00:02(two)                  349525 IPs (33.3% of total) ${""}
00:00:00:00:00:03(three)                349525 IPs (33.3% of total) - unreachable!
`,
  );
  expect(ipamText(status({}, { Entries: [entry(2, "two", 52_000)] }))).toContain(
    "(05.0% of total)",
  );
  expect(ipamText(status({}))).toBe("");
});

test.each<[string, Partial<IpamStatus>]>([
  ["idle", {}],
  [
    "awaiting consensus (quorum: 2, known: 0)",
    { Paxos: { Elector: true, KnownNodes: 0, Quorum: 2 } },
  ],
  ["priming", { Paxos: { Elector: false, KnownNodes: 0, Quorum: 0 } }],
  ["ready", { Entries: [entry(1, "one", 1)] }],
  [
    "waiting for IP(s) to become available",
    { Entries: [entry(1, "one", 1)], PendingAllocates: ["a 10.32.0.0/12"] },
  ],
  [
    "all IP ranges owned by unreachable peers - use 'rmpeer' if they are dead",
    { Entries: [entry(2, "two", 1, false)], PendingAllocates: ["a"] },
  ],
])("IPAM is %s", (expected, ipam) => {
  expect(statusText(status({}, ipam))).toContain(`\n         Status: ${expected}\n`);
});

test("all of it: states are counted in their order, and lists have commas", () => {
  const Connections = [
    connection("connecting", ""),
    connection("failed", "x"),
    connection("established", "y"),
    connection("waiting", "z"),
    connection("failed", "x"),
  ];
  const TrustedSubnets = ["10.0.0.0/8", "192.168.0.0/16"];
  const Peers = [peer(HOST1, [[true, "a", HOST2]]), peer(HOST2, [])];
  const given = status({ Connections, TrustedSubnets, Peers, Targets: ["10.0.0.2"] });
  expect(statusText(given)).toBe(`        Version: 2.8.1 (version check update disabled)

        Service: router
       Protocol: weave 1..2
           Name: 00:00:00:00:00:01(one)
     Encryption: disabled
  PeerDiscovery: enabled
        Targets: 1
    Connections: 5 (1 established, 2 failed, 1 connecting)
          Peers: 2 (with 1 established connections)
 TrustedSubnets: 10.0.0.0/8, 192.168.0.0/16

        Service: ipam
         Status: idle
          Range: 10.32.0.0/12
  DefaultSubnet: 10.32.0.0/12
`);
  expect(targetsText(given)).toBe("10.0.0.2\n");
});

test("what a mesh has, and what it seeks", () => {
  const lab = new MeshLab();
  lab.start(1, [2, 3, 4]);
  lab.start(2, []);
  lab.machine(3); // without a peer on it
  lab.clock.advance(1_000);
  const router = lab.routers.get(1);
  const [own, ...sought] = router === undefined ? [] : connectionStatus(router, 0);
  expect(own).toEqual({
    Address: "10.0.0.2:6783",
    Outbound: true,
    State: "established",
    Info: "none   00:00:00:00:00:02(n2)",
    Attrs: null,
  });
  expect(sought.map(({ Address, State }) => `${Address} ${State}`)).toEqual([
    "10.0.0.3:6783 failed",
    "10.0.0.4:6783 connecting",
  ]);
  expect(sought[0]?.Info).toMatch(
    /^dial tcp4 .*->10\.0\.0\.3:6783: connect: connection refused, retry: 2026-01-01 00:00:0[1-3]\S* \+0000 UTC m=\+\d\.\d{9}$/,
  );
});

test.each([
  [5_250, 250, "2026-01-01 00:00:05.25 +0000 UTC m=+5.000000000"],
  [60_000, 0, "2026-01-01 00:01:00 +0000 UTC m=+60.000000000"],
])("%d ms as Go prints it", (at, startedAt, expected) => {
  expect(goTime(at, startedAt)).toBe(expected);
});
