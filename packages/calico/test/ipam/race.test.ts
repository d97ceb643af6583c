import { describe, expect, test } from "vitest";
import { releaseHostAffinities } from "../../src/ipam/affinities.ts";
import { autoAssign } from "../../src/ipam/auto-assign.ts";
import { DEFAULT_SETTINGS } from "../../src/ipam/ipam-settings.ts";
import { addressOf, blockOf, SimulatedIpam, texts } from "./simulated-ipam.ts";

/** Of one pool of two blocks both nodes begin with the same one (fact sheet calico.md §2.1). */
const RIVALS = ["n1", "n4"];

function firstBlockOf(node: string): string {
  const ipam = new SimulatedIpam([{ cidr: "10.0.0.0/29", blockSize: 30 }], [node]);
  return blockOf(ipam.assign(node, "pod")[0] as string);
}

describe("two nodes that go for one block", () => {
  test("begin with the same", () => {
    expect(firstBlockOf(RIVALS[0] as string)).toBe(firstBlockOf(RIVALS[1] as string));
  });

  test.each(Array.from({ length: 20 }, (_, seed) => seed))("get one each (seed %i)", (seed) => {
    const ipam = new SimulatedIpam([{ cidr: "10.0.0.0/29", blockSize: 30 }], RIVALS, seed);
    const got = new Map<string, string[]>();
    for (const node of RIVALS) {
      ipam.start(autoAssign(ipam.request(node, `pod-${node}`), ipam.now), (result) =>
        got.set(node, texts(result)),
      );
    }
    expect(ipam.clock.settle()).toBe(true);
    expect(ipam.failures).toEqual([]);
    const blocks = RIVALS.map((node) => blockOf(got.get(node)?.[0] as string));
    expect(new Set(blocks).size).toBe(2);
    // The loser has taken its affinity back, and both have theirs confirmed.
    const affinities = ipam.datastore.storedAffinities.map(({ node, cidr, state }) => [
      node,
      cidr,
      state,
    ]);
    expect(affinities.toSorted()).toEqual(
      RIVALS.map((node, i) => [node, blocks[i], "confirmed"]).toSorted(),
    );
  });

  test("meet where the block is made: the second is told that it is there, takes its affinity back, and goes on", () => {
    const ipam = new SimulatedIpam([{ cidr: "10.0.0.0/29", blockSize: 30 }], RIVALS);
    const racing = RIVALS.map((node) => ({
      node,
      steps: autoAssign(ipam.request(node, `pod-${node}`), ipam.now),
    }));
    const told: string[] = [];
    let answers = racing.map(({ steps }) => steps.next());
    // A call of one, a call of the other.
    while (!answers.every(({ done }) => done)) {
      answers = racing.map(({ node, steps }, i) => {
        const next = answers[i] as (typeof answers)[number];
        if (next.done) return next;
        try {
          return steps.next(next.value(ipam.datastore));
        } catch (error) {
          told.push(`${node}: ${(error as Error).message}`);
          return steps.throw(error);
        }
      });
    }
    const block = firstBlockOf("n1");
    expect(told.filter((text) => text.includes("already exists"))).toEqual([
      `n4: resource already exists: ${block.replace("/", "-")} with error: <nil>`,
    ]);
    expect(ipam.datastore.storedAffinities.map(({ node, cidr }) => `${node} ${cidr}`)).toEqual([
      `n1 ${block}`,
      `n4 ${block === "10.0.0.0/30" ? "10.0.0.4/30" : "10.0.0.0/30"}`,
    ]);
    expect([...ipam.allocated.values()].toSorted()).toEqual(["pod-n1", "pod-n4"]);
  });
});

test.each(Array.from({ length: 10 }, (_, seed) => seed))(
  "clients of one node take what is left of its block without taking an address twice (seed %i)",
  (seed) => {
    const ipam = new SimulatedIpam([{ cidr: "10.0.0.0/26", blockSize: 28 }], ["n1"], seed);
    const got: string[] = [];
    for (let i = 0; i < 40; i++) {
      ipam.start(autoAssign(ipam.request("n1", `pod-${i}`), ipam.now), (r) =>
        got.push(...texts(r)),
      );
    }
    expect(ipam.clock.settle()).toBe(true);
    expect(ipam.failures).toEqual([]);
    expect(got).toHaveLength(40);
    expect(new Set(got.map(addressOf)).size).toBe(40);
  },
);

test("a node that is removed while it claims a block leaves nothing that keeps others from it", () => {
  const ipam = new SimulatedIpam([{ cidr: "10.0.0.0/29", blockSize: 30 }], ["n1", "n2"], 3);
  ipam.start(autoAssign(ipam.request("n1", "pod"), ipam.now));
  ipam.start(
    releaseHostAffinities({ type: "host", host: "n1" }, DEFAULT_SETTINGS, ipam.now, false),
  );
  ipam.clock.settle();
  ipam.clock.advance(61_000);
  const got = ipam.assign("n2", "others", { count: 8 });
  expect(got.length + ipam.allocated.size).toBeGreaterThanOrEqual(8);
  expect(ipam.allocated.size).toBe(8);
});
