import { TcpConnection } from "@cnilab/linux";
import { parseIp, parsePrefix } from "@cnilab/net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  Allocator,
  IpamChannel,
  type MeshRouter,
  NULL_OVERLAY,
  type Overlay,
  type OverlayConnectionParams,
  type Topology,
  unicastRoutes,
  weightedDonors,
} from "../src/index.ts";
import { peerNumber } from "./golden/rings.ts";
import { MeshLab } from "./mesh-lab.ts";

/** What a peer knows of all, without what it alone can know. */
function known({ peers }: MeshRouter): unknown {
  const sorted = [...peers.all()].sort((x, y) => (x.name < y.name ? -1 : 1));
  return sorted.map((peer) => ({
    ...peer,
    connections: [...peer.connections].sort(([x], [y]) => (x < y ? -1 : 1)),
  }));
}

function lastErrors({ connectionMaker }: MeshRouter): string[] {
  return [...connectionMaker.targets.values()].flatMap(({ lastError }) => lastError?.message ?? []);
}

test("one peer given is enough to find all", () => {
  const lab = new MeshLab();
  for (const host of [1, 2, 3, 4]) lab.start(host, host === 1 ? [] : [1]);
  lab.clock.settle();
  expect(lab.neighbours()).toEqual({ 1: [2, 3, 4], 2: [1, 3, 4], 3: [1, 2, 4], 4: [1, 2, 3] });
  for (const { routes, connections } of lab.routers.values()) {
    expect([...routes.unicast("established").keys()].sort()).toEqual([1, 2, 3, 4].map(peerNumber));
    expect([...connections.values()].every(({ isEncrypted }) => !isEncrypted)).toBe(true);
  }
  const { byKind } = (lab.routers.get(1) as MeshRouter).counters;
  expect([...byKind.keys()].sort()).toEqual(["gossip topology", "handshake"]);
  lab.clock.advance(31_000);
  expect(byKind.get("heartbeat")).toEqual({ messages: 3, bytes: 15 });
});

test("of two connections between two peers that with the lower UID stays", () => {
  for (let seed = 0; seed < 20; seed++) {
    const lab = new MeshLab(seed);
    const uids = new Set<bigint>();
    const overlay: Overlay = {
      ...NULL_OVERLAY,
      prepareConnection: (params) => {
        uids.add(params.connectionUid);
        return NULL_OVERLAY.prepareConnection(params);
      },
    };
    lab.start(1, [2], { overlay });
    lab.start(2, [1], { overlay });
    lab.delay(1, 2, 20);
    lab.clock.advance(900);
    expect(uids.size).toBe(2);
    const [lower] = [...uids].sort((x, y) => (x < y ? -1 : 1));
    for (const { connections } of lab.routers.values()) {
      expect([...connections.values()].map(({ uid }) => uid)).toEqual([lower]);
    }
    lab.clock.advance(120_000);
    expect([lab.neighbours(), uids.size]).toEqual([{ 1: [2], 2: [1] }, 2]);
    const sockets = [...lab.routers.keys()].map(
      (host) => [...lab.machine(host).sockets.tcpConnections.all()].length,
    );
    expect(sockets).toEqual([1, 1]);
  }
});

describe("says why there is no connection", () => {
  test.each<[string, (lab: MeshLab) => MeshRouter, string | RegExp]>([
    [
      "nobody listens",
      (lab) => {
        lab.machine(2);
        return lab.start(1, [2]);
      },
      "dial tcp4 :0->10.0.0.2:6783: connect: connection refused",
    ],
    ["to itself", (lab) => lab.start(1, [1]), "cannot connect to ourself"],
    [
      "another of the same name",
      (lab) => {
        lab.start(2, [], { name: peerNumber(1) });
        return lab.start(1, [2]);
      },
      'local "00:00:00:00:00:01(n1)" and remote "00:00:00:00:00:01(n2)" peer names collision',
    ],
    [
      "the other has a password",
      (lab) => {
        lab.start(2, [], { password: "secret" });
        return lab.start(1, [2]);
      },
      /encrypted connection|reset by peer/,
    ],
    [
      "another password",
      (lab) => {
        lab.start(2, [], { password: "secret" });
        return lab.start(1, [2], { password: "wrong" });
      },
      /Unable to decrypt TCP msg|reset by peer/,
    ],
    [
      "the limit of connections",
      (lab) => {
        lab.start(3, []);
        lab.start(2, []);
        return lab.start(1, [2, 3], { connectionLimit: 1 });
      },
      "Connection limit reached (1)",
    ],
  ])("%s", (_, start, error) => {
    const lab = new MeshLab();
    const router = start(lab);
    lab.clock.advance(10_000);
    expect(lastErrors(router)).toEqual([
      typeof error === "string" ? error : expect.stringMatching(error),
    ]);
  });

  test.each(["node:x", "10.0.0.2:x", "10.0.0.2:65536", "10.0.0.300", "fe80::1", ""])(
    "no address, and nothing is changed: %s",
    (peer) => {
      const lab = new MeshLab();
      const { connectionMaker } = lab.make(1);
      expect(() => connectionMaker.initiate(["10.0.0.2", peer])).toThrow(
        `invalid peer name "${peer}", should be host[:port]`,
      );
      lab.clock.advance(5_000);
      expect(connectionMaker.targets.size).toBe(0);
    },
  );
});

test("who is not there is tried less and less often, six minutes apart at most", () => {
  const lab = new MeshLab();
  lab.machine(2);
  const { connectionMaker } = lab.start(1, [2]);
  const waits: number[] = [];
  let before: number | undefined;
  for (let s = 0; s < 7_200; s++) {
    lab.clock.advance(1_000);
    const after = connectionMaker.targets.get("10.0.0.2:6783")?.tryAfter;
    if (after === undefined || after === before) continue;
    if (before !== undefined) waits.push((after - before) / 1_000);
    before = after;
  }
  // The first wait was over before anybody looked.
  waits.forEach((wait, n) => {
    const interval = Math.min(2 * 1.5 ** (n + 1), 360);
    expect(wait).toBeGreaterThanOrEqual(interval / 2);
    expect(wait).toBeLessThanOrEqual(interval * 1.5);
  });
  expect(waits.length).toBeGreaterThan(20);
  lab.start(2, []);
  lab.clock.advance(540_000);
  expect(lab.neighbours()).toEqual({ 1: [2], 2: [1] });
});

test("a connection counts when its overlay says so, and ends when that fails", () => {
  const lab = new MeshLab();
  const held: OverlayConnectionParams[] = [];
  const overlay: Overlay = {
    addFeaturesTo: (features) => features.set("Overlays", "fastdp sleeve"),
    prepareConnection: (params) => {
      held.push(params);
      return { name: "fastdp", confirm() {}, controlMessage() {}, stop() {} };
    },
  };
  const first = lab.start(1, [2], { overlay });
  lab.start(2, []);
  lab.clock.settle();
  expect(lab.neighbours()).toEqual({ 1: [], 2: [1] });
  expect(first.routes.unicast("established").size).toBe(1);
  expect(first.routes.unicast("all").size).toBe(2);
  held[0]?.established();
  lab.clock.settle();
  expect(lab.neighbours()).toEqual({ 1: [2], 2: [1] });
  expect(first.routes.unicast("established").size).toBe(2);
  held[0]?.failed(new Error("no data gets through"));
  expect([lab.neighbours()[1], lastErrors(first)]).toEqual([[], ["no data gets through"]]);
});

test("a peer that is killed is forgotten; back again it is known by its new UID", () => {
  const lab = new MeshLab();
  for (const host of [1, 2, 3]) lab.start(host, host === 1 ? [] : [1]);
  lab.clock.settle();
  const [first, third] = [1, 3].map((host) => lab.routers.get(host) as MeshRouter);
  third?.stop();
  lab.routers.delete(3);
  lab.clock.advance(5_000);
  expect(first?.peers.size).toBe(2);
  const again = lab.start(3, [1]);
  lab.clock.advance(60_000);
  expect(lab.neighbours()).toEqual({ 1: [2, 3], 2: [1, 3], 3: [1, 2] });
  expect(again.peers.ourself.uid).not.toBe(third?.peers.ourself.uid);
  expect(first?.peers.get(peerNumber(3))).toEqual(again.peers.ourself);
});

test("what a peer said in its last life is outdone, though others still tell of it", () => {
  const lab = new MeshLab();
  for (const host of [1, 2, 3, 4]) {
    lab.start(host, host === 1 ? [] : [host - 1], { discovery: false });
  }
  lab.clock.settle();
  // One that comes and goes makes a version higher than the next life begins with.
  for (const host of [4, 3]) lab.routers.get(host)?.stop();
  lab.routers.delete(4);
  const { peers } = lab.start(3, [2], { discovery: false });
  lab.clock.advance(95_000);
  for (const { peers: theirs } of lab.routers.values()) {
    expect(theirs.get(peerNumber(3))).toEqual(peers.ourself);
  }
});

test("two that came up with one short id have two soon", () => {
  const lab = new MeshLab();
  for (const host of [1, 2, 3, 4]) lab.start(host, host === 1 ? [] : [1], { shortId: 7 });
  lab.clock.settle();
  const ids = [...lab.routers.values()].map(({ peers }) => peers.ourself.shortId);
  expect(new Set(ids).size).toBe(4);
  expect(ids[0]).toBe(7);
  for (const { peers } of lab.routers.values()) {
    for (const [host, id] of ids.entries()) {
      expect(peers.byShortId(id as number)?.name).toBe(peerNumber(host + 1));
    }
  }
});

test("what is no peer of the mesh is sent away", () => {
  const lab = new MeshLab();
  const router = lab.start(1, []);
  const tcp = TcpConnection.connect(lab.machine(2), {
    dst: parseIp("10.0.0.1"),
    port: 6783,
    owner: "nc",
  });
  if ("errno" in tcp) throw new Error(tcp.errno);
  tcp.send(100);
  expect([tcp.state, tcp.error?.errno]).toEqual(["CLOSED", "ECONNRESET"]);
  // Nor is one that says nothing.
  TcpConnection.connect(lab.machine(2), { dst: parseIp("10.0.0.1"), port: 6783, owner: "nc" });
  lab.clock.advance(11_000);
  expect([...lab.machine(1).sockets.tcpConnections.all()]).toEqual([]);
  expect(router.connectionMaker.terminations).toBe(2);
});

/** Pairs of a connected graph: a random tree and some more. */
const graph = fc.integer({ min: 2, max: 7 }).chain((size) =>
  fc.record({
    size: fc.constant(size),
    tree: fc.tuple(...Array.from({ length: size - 1 }, (_, i) => fc.nat(i))),
    more: fc.array(fc.tuple(fc.integer({ min: 1, max: size }), fc.integer({ min: 1, max: size })), {
      maxLength: 4,
    }),
    seed: fc.nat(1_000),
  }),
);

test("any connected graph of peers comes to one view of it, and to the routes that follow from that", () => {
  fc.assert(
    fc.property(graph, ({ size, tree, more, seed }) => {
      const lab = new MeshLab(seed);
      const links: Record<number, Set<number>> = {};
      for (let host = 1; host <= size; host++) links[host] = new Set();
      const pairs = [...tree.map((to, i) => [i + 2, to + 1] as const), ...more];
      for (const [x, y] of pairs) {
        if (x === y) continue;
        links[x]?.add(y);
        links[y]?.add(x);
      }
      for (let host = 1; host <= size; host++) {
        const to = [...(links[host] as Set<number>)].filter((other) => other < host);
        lab.start(host, to, { discovery: false });
      }
      lab.clock.settle();
      lab.clock.advance(95_000);
      expectOneView(lab, links);
    }),
    { seed: 20261122, numRuns: 40 },
  );
});

function expectOneView(lab: MeshLab, links: Record<number, Set<number>>): void {
  const real: Topology = {
    connections: (peer) => {
      const to = links[Number.parseInt(peer.slice(-2), 16)];
      return to && new Map([...to].map((n) => [peerNumber(n), { established: true }]));
    },
  };
  const views = [...lab.routers.values()].map(known);
  for (const [host, { routes }] of lab.routers) {
    expect(views[host - 1]).toEqual(views[0]);
    for (const kind of ["established", "all"] as const) {
      expect(routes.unicast(kind)).toEqual(unicastRoutes(real, peerNumber(host), kind));
    }
  }
}

test("nine that are split are two meshes, and one again when they heal", () => {
  const lab = new MeshLab();
  const hosts = [1, 2, 3, 4, 5, 6, 7, 8, 9];
  for (const host of hosts) lab.start(host, hosts);
  lab.clock.settle();
  const split = (cut: boolean) => {
    for (const x of [1, 2, 3, 4, 5]) for (const y of [6, 7, 8, 9]) lab.cut(x, y, cut);
  };
  split(true);
  // Nothing is heard for two heartbeats; then what was known by hearsay goes.
  lab.clock.advance(100_000);
  expect([...lab.routers.values()].map(({ peers }) => peers.size)).toEqual([
    5, 5, 5, 5, 5, 4, 4, 4, 4,
  ]);
  split(false);
  const whole = Object.fromEntries(hosts.map((host) => [host, hosts.filter((x) => x !== host)]));
  const healedAt = lab.clock.now;
  const isWhole = () => JSON.stringify(lab.neighbours()) === JSON.stringify(whole);
  while (!isWhole() && lab.clock.now < healedAt + 600_000) lab.clock.advance(500);
  expect(lab.clock.now - healedAt).toBeLessThanOrEqual(longestHealMs(100_000));
  // What changed is told a second later, and routes follow.
  lab.clock.advance(5_000);
  const all = Object.fromEntries(hosts.map((host) => [host, new Set(whole[host])]));
  expect(lab.neighbours()).toEqual(whole);
  expectOneView(lab, all);
});

/**
 * How long peers that were apart so long may take to be neighbours again. A connection ends after 30 s at least in which nothing was heard; then
 * it is tried again and again: each time after half to one and a half of an interval that begins with 2 s and grows by half. Where all
 * waits are short, and each try fails at once, the interval is 2 s and the time since then: sum of 1.5^k s for all k < n is 2 (1.5^n - 1) s.
 */
function longestHealMs(apartMs: number): number {
  const interval = 2_000 + (apartMs - 30_000);
  // A try of the last moment fails after three questions by ARP; 8 more come in at 50 ms each, and the test looks each 500 ms.
  return 1.5 * interval + 3_000 + 8 * 50 + 500;
}

test("allocators over a mesh that is cut and healed give no address twice", () => {
  const operation = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        what: fc.constant("alloc"),
        x: fc.integer({ min: 1, max: 4 }),
        y: fc.constant(1),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        what: fc.constantFrom("cut", "heal"),
        x: fc.integer({ min: 1, max: 4 }),
        y: fc.integer({ min: 1, max: 4 }),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        what: fc.constant("wait"),
        x: fc.constant(1),
        y: fc.integer({ min: 1, max: 100 }),
      }),
    },
  );
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 40 }), fc.nat(1_000), (operations, seed) => {
      const lab = new MeshLab(seed);
      const allocators = [1, 2, 3, 4].map((host) => allocatorOn(lab, host));
      const given: number[] = [];
      let asked = 0;
      const universe = parsePrefix("10.9.0.0/27");
      for (const { what, x, y } of operations) {
        if (what === "wait") lab.clock.advance(y * 1_000);
        else if (what === "alloc") {
          const ident = `c${asked++}`;
          allocators[x - 1]?.allocate({ ident, subnet: universe, isContainer: true }, (address) => {
            if (typeof address === "number") given.push(address);
          });
        } else if (x !== y) lab.cut(x, y, what === "cut");
        expect(new Set(given).size).toBe(given.length);
      }
      for (const x of [1, 2, 3, 4]) for (let y = 1; y < x; y++) lab.cut(x, y, false);
      lab.clock.advance(900_000);
      expect(new Set(given).size).toBe(given.length);
      // A /27 has 30 for hosts: who waits, waits for want of space alone.
      expect(given.length).toBe(Math.min(asked, 30));
    }),
    { seed: 20261122, numRuns: 25 },
  );
});

function allocatorOn(lab: MeshLab, host: number): Allocator {
  const router = lab.make(host);
  const gossip = new IpamChannel(router);
  const { name, uid, nickname } = router.peers.ourself;
  const allocator = new Allocator({
    name,
    uid,
    nickname,
    universe: parsePrefix("10.9.0.0/27"),
    quorum: () => 3,
    gossip,
    donors: weightedDonors(lab.network.random.fork(`donors${host}`)),
    isKnownPeer: (peer) => router.peers.get(peer) !== undefined,
    now: () => lab.clock.now,
  });
  gossip.attach(allocator);
  allocator.start();
  const tick = () => {
    allocator.tick();
    lab.clock.schedule(5_000, tick, { background: true });
  };
  tick();
  router.start([1, 2, 3, 4].map(MeshLab.address));
  return allocator;
}
