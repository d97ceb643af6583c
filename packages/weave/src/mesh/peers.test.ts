import { SeededRandom } from "@cnilab/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { PeerDescription } from "./peer.ts";
import { Peers } from "./peers.ts";
import { SHORT_IDS, ShortIds } from "./short-ids.ts";

const name = (n: number) => `00:00:00:00:00:${n.toString(16).padStart(2, "0")}`;

function described(n: number, more: Partial<PeerDescription> = {}): PeerDescription {
  return { name: name(n), nickname: `n${n}`, uid: n, version: 1, connections: new Map(), ...more };
}

function linked(...remotes: number[]): PeerDescription["connections"] {
  const link = { address: "10.0.0.9:6783", outbound: true, established: true };
  return new Map(remotes.map((n) => [name(n), link]));
}

function peers(n: number, shortId = 5) {
  const heard: string[] = [];
  const of = new Peers(
    { name: name(n), nickname: `n${n}`, uid: 100 + n, shortId },
    new SeededRandom(1),
    {
      removed: (peer) => heard.push(`removed ${peer.nickname}`),
      shortIdsChanged: () => heard.push("short ids"),
      ourselfChanged: () => heard.push("ourself"),
    },
  );
  return { of, heard };
}

describe("a description is replaced by a newer one alone", () => {
  test.each<[string, Partial<PeerDescription>, boolean]>([
    ["of a higher version", { version: 4 }, true],
    ["of a lower version", { version: 2, uid: 9 }, false],
    ["that is the same", {}, false],
    ["of a higher UID", { uid: 8 }, true],
    ["of a lower UID", { uid: 6 }, false],
    ["with the short id that was not known", { shortId: 77 }, true],
  ])("%s", (_, change, isNews) => {
    const { of } = peers(1);
    const known = described(2, { version: 3, uid: 7 });
    expect(of.apply([known])).toEqual(new Set([name(2)]));
    const theirs = { ...known, ...change };
    expect(of.apply([theirs])).toEqual(new Set(isNews ? [name(2)] : []));
    expect(of.get(name(2))).toBe(isNews ? theirs : known);
  });
});

test("peers that only others speak of are known by name, until nobody leads to them", () => {
  const { of, heard } = peers(1);
  of.hold(described(2));
  of.setConnections(linked(2));
  of.apply([described(2, { version: 2, connections: linked(1, 3) })]);
  expect(of.get(name(3))).toMatchObject({ uid: 0, version: 0, nickname: "" });
  of.garbageCollect();
  expect(heard).toEqual([]);
  of.setConnections(new Map());
  of.garbageCollect();
  expect([heard, [...of.names()]]).toEqual([["removed "], [name(1), name(2)]]);
  of.release(name(2));
  of.garbageCollect();
  expect([heard, [...of.names()]]).toEqual([["removed ", "removed n2"], [name(1)]]);
});

test("what our last life said is outdone", () => {
  const { of, heard } = peers(1);
  of.apply([described(1, { uid: 99, version: 41 })]);
  expect([of.ourself.version, of.ourself.uid, heard]).toEqual([42, 101, ["ourself"]]);
  of.apply([described(1, { uid: 99, version: 41 })]);
  of.apply([described(1, { uid: 101, version: 50 })]);
  expect([of.ourself.version, heard]).toEqual([42, ["ourself"]]);
});

describe("of two with one short id", () => {
  test("the lower name keeps it", () => {
    const { of, heard } = peers(1);
    of.apply([described(2, { shortId: 5 })]);
    expect([of.ourself.shortId, of.byShortId(5)?.name, heard]).toEqual([5, name(1), []]);
  });

  test("the other picks anew, and says so", () => {
    const { of, heard } = peers(2);
    of.apply([described(1, { shortId: 5 })]);
    const { shortId, version } = of.ourself;
    expect(shortId).not.toBe(5);
    expect([of.byShortId(5)?.name, of.byShortId(shortId as number)?.name, version]).toEqual([
      name(1),
      name(2),
      1,
    ]);
    expect(heard).toEqual(["ourself", "short ids"]);
  });

  test("the second has it when the first is gone", () => {
    const { of, heard } = peers(1, 9);
    of.setConnections(linked(2, 3));
    of.apply([described(2, { shortId: 5 }), described(3, { shortId: 5 })]);
    expect(of.byShortId(5)?.name).toBe(name(2));
    of.setConnections(linked(3));
    of.garbageCollect();
    expect([of.byShortId(5)?.name, heard]).toEqual([name(3), ["removed n2", "short ids"]]);
  });
});

test("the last free short id is found; then there is none", () => {
  const ids = new ShortIds();
  for (let id = 0; id < SHORT_IDS; id++) if (id !== 1234) ids.add(id, name(1));
  expect(ids.choose(new SeededRandom(1))).toBe(1234);
  ids.add(1234, name(1));
  expect(ids.choose(new SeededRandom(1))).toBeUndefined();
});

test("updates in any order and number make the same of all", () => {
  const one = fc.record({
    n: fc.integer({ min: 2, max: 6 }),
    version: fc.nat(4),
    to: fc.uniqueArray(fc.integer({ min: 1, max: 6 }), { maxLength: 3 }),
  });
  const updates = fc.array(one, { maxLength: 30 }).chain((all) => {
    // One peer says one thing at one version.
    const said = new Map(all.map(({ n, version, to }) => [`${n} ${version}`, { n, version, to }]));
    const list = [...said.values()];
    const order = fc.shuffledSubarray(list, { minLength: list.length, maxLength: list.length });
    return fc.tuple(order, order);
  });
  fc.assert(
    fc.property(updates, (orders) => {
      const known = orders.map((order) => {
        const { of } = peers(1);
        for (const { n, version, to } of order) {
          of.apply([described(n, { version, shortId: n, connections: linked(...to) })]);
        }
        // Who is only spoken of is forgotten when nobody does any more.
        return new Map([...of.all()].filter(({ uid }) => uid > 0).map((peer) => [peer.name, peer]));
      });
      expect(known[0]).toEqual(known[1]);
    }),
    { seed: 20261122 },
  );
});
