import fc from "fast-check";
import { expect, test } from "vitest";
import type { IPAMBlockSpec } from "../../src/api/v3.ts";
import { affinityText, keyOf, releaseHostAffinities } from "../../src/ipam/affinities.ts";
import { autoAssign } from "../../src/ipam/auto-assign.ts";
import { blockProblem } from "../../src/ipam/block-problem.ts";
import { IpamError } from "../../src/ipam/ipam-error.ts";
import { DEFAULT_SETTINGS } from "../../src/ipam/ipam-settings.ts";
import { releaseByHandle } from "../../src/ipam/release.ts";
import { addressOf, SimulatedIpam, texts } from "./simulated-ipam.ts";

const NODES = ["n1", "n2", "n3", "n4"];

type Action =
  | { readonly kind: "assign"; readonly node: string; readonly count: number }
  | { readonly kind: "release"; readonly pod: number }
  | { readonly kind: "remove"; readonly node: string; readonly mustBeEmpty: boolean }
  | { readonly kind: "wait"; readonly ms: number };

const node = fc.constantFrom(...NODES);
const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("assign" as const),
      node,
      count: fc.integer({ min: 1, max: 3 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("release" as const), pod: fc.nat(40) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("remove" as const), node, mustBeEmpty: fc.boolean() }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("wait" as const), ms: fc.nat(70_000) }) },
);

/** Pods with what they were given, until it is given back. */
class Pods {
  readonly held = new Map<string, readonly string[]>();
  #count = 0;

  next(): string {
    return `pod-${this.#count++}`;
  }
}

function checkConsistent(ipam: SimulatedIpam): void {
  const blocks = new Map<string, IPAMBlockSpec>();
  for (const { value } of ipam.datastore.blocks()) {
    expect(blockProblem(value, ipam.clock.now)).toBeUndefined();
    blocks.set(value.cidr, value);
  }
  const affinities = new Map<string, string>();
  for (const affinity of ipam.datastore.storedAffinities) {
    if (affinity.state !== "confirmed") continue;
    expect(affinities.has(affinity.cidr)).toBe(false);
    affinities.set(affinity.cidr, affinityText(keyOf(affinity)));
  }
  for (const { cidr, affinity } of blocks.values()) {
    if (affinity !== undefined) expect(affinities.get(cidr)).toBe(affinity);
  }
}

function checkHeld(ipam: SimulatedIpam, pods: Pods): void {
  const expected = new Map<string, string>();
  for (const [pod, addresses] of pods.held) {
    for (const address of addresses) {
      expect(expected.has(address), `${address} twice`).toBe(false);
      expected.set(address, pod);
    }
  }
  expect(new Map([...ipam.allocated].toSorted())).toEqual(new Map([...expected].toSorted()));
}

test("no address is anybody's twice, and blocks and affinities fit, one action after the other", () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), fc.boolean(), (actions, strictAffinity) => {
      const ipam = new SimulatedIpam([{ cidr: "10.0.0.0/27", blockSize: 30 }], NODES);
      ipam.datastore.settings = { ...DEFAULT_SETTINGS, strictAffinity };
      const pods = new Pods();
      for (const act of actions) {
        perform(act, ipam, pods);
        checkConsistent(ipam);
        checkHeld(ipam, pods);
      }
    }),
  );
});

function perform(act: Action, ipam: SimulatedIpam, pods: Pods): void {
  switch (act.kind) {
    case "assign": {
      const pod = pods.next();
      pods.held.set(pod, ipam.assign(act.node, pod, { count: act.count }).map(addressOf));
      return;
    }
    case "release": {
      const pod = [...pods.held.keys()][act.pod];
      if (pod === undefined) return;
      ignoringIpamErrors(() => ipam.release(pod));
      pods.held.delete(pod);
      return;
    }
    case "remove": {
      const owner = { type: "host", host: act.node } as const;
      ignoringIpamErrors(() =>
        ipam.run(releaseHostAffinities(owner, DEFAULT_SETTINGS, ipam.now, act.mustBeEmpty)),
      );
      return;
    }
    case "wait":
      ipam.clock.advance(act.ms);
  }
}

function ignoringIpamErrors(what: () => void): void {
  try {
    what();
  } catch (error) {
    if (!(error instanceof IpamError)) throw error;
  }
}

test("no address is anybody's twice, whatever clients do at one time", () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 40 }), fc.integer(), (actions, seed) => {
      const ipam = new SimulatedIpam([{ cidr: "10.0.0.0/27", blockSize: 30 }], NODES, seed);
      const pods = new Pods();
      for (const act of actions) start(act, ipam, pods);
      expect(ipam.clock.settle()).toBe(true);
      for (const { value } of ipam.datastore.blocks()) {
        expect(blockProblem(value, ipam.clock.now)).toBeUndefined();
      }
      checkHeld(ipam, pods);
    }),
  );
});

/** Starts an action whose calls take time; others go on meanwhile. */
function start(act: Action, ipam: SimulatedIpam, pods: Pods): void {
  switch (act.kind) {
    case "assign": {
      const pod = pods.next();
      const request = ipam.request(act.node, pod, { count: act.count });
      ipam.start(autoAssign(request, ipam.now), (result) =>
        pods.held.set(pod, texts(result).map(addressOf)),
      );
      return;
    }
    case "release": {
      // Whose addresses are being given back has none any more, and whoever gets them may have them at once.
      const pod = [...pods.held.keys()][act.pod];
      if (pod === undefined) return;
      pods.held.delete(pod);
      ipam.start(releaseByHandle(pod, ipam.now));
      return;
    }
    case "remove": {
      const owner = { type: "host", host: act.node } as const;
      ipam.start(releaseHostAffinities(owner, DEFAULT_SETTINGS, ipam.now, act.mustBeEmpty));
      return;
    }
    case "wait":
      ipam.clock.advance(act.ms % 100);
  }
}
