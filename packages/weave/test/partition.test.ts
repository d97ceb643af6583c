import fc from "fast-check";
import { expect, test } from "vitest";
import { AllocatorHarness, type PeerText } from "./allocator-harness.ts";
import { peerNumber } from "./golden/rings.ts";

const PEERS = 5;
const UNIVERSE = "10.9.0.0/26";
const ADDRESSES_FOR_HOSTS = 62;

const peer = fc.integer({ min: 1, max: PEERS }).map(String);
const operation = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.constant("alloc"), peer) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("delete"), peer, fc.nat(80)) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("cut"), peer, peer) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("heal"), peer, peer) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("retry"), peer) },
  { weight: 1, arbitrary: fc.constant(["gossip"] as const) },
);

test("no address is given out twice under random partitions, and all is one ring again after they heal", () => {
  fc.assert(
    fc.property(fc.boolean(), fc.array(operation, { maxLength: 120 }), (seeded, operations) => {
      const peers = Array.from({ length: PEERS }, (_, index) => peerNumber(index + 1));
      const seed = seeded ? peers : null;
      const harness = new AllocatorHarness({ peers, quorum: 3, seed, universe: UNIVERSE });
      const run = (...op: string[]) => harness.run({ op });
      run("start");
      const waiting = new Set<string>();
      let asked = 0;
      for (const [what, first = "", second = ""] of operations) {
        let op: string[] = [what, first, String(second)];
        if (what === "alloc") op = [what, first, `c${asked++}`, UNIVERSE];
        if (what === "delete") op = [what, first, `c${second}`];
        if ((what === "cut" || what === "heal") && first === second) continue;
        const { state, result } = run(...op);
        if (result === "PENDING") waiting.add(`c${asked - 1}`);
        expectEachOnce(state);
      }
      for (let x = 1; x <= PEERS; x++) {
        for (let y = x + 1; y <= PEERS; y++) run("heal", String(x), String(y));
      }
      // What was lost is made good by the periodic gossip and the tick.
      let { state } = run("gossip");
      for (let round = 0; round < 12; round++) {
        for (let x = 1; x <= PEERS; x++) run("retry", String(x));
        ({ state } = run("gossip"));
        expectEachOnce(state);
      }
      const peersNow = Object.values(state);
      // Free counts are told by each owner at its own time.
      const rings = new Set(
        peersNow.map(({ ring }) =>
          JSON.stringify([ring.seeds, ring.entries.map(({ token, peer }) => [token, peer])]),
        ),
      );
      expect([...rings]).toHaveLength(1);
      const owned = peersNow.flatMap(({ owned }) => Object.keys(owned));
      if (owned.length < ADDRESSES_FOR_HOSTS) {
        // Whoever waited has been served, as there is space left.
        const stillWaiting = [...waiting].filter((ident) => harness.waits(ident));
        expect(stillWaiting).toEqual([]);
      }
    }),
    { seed: 20261122, numRuns: 150 },
  );
});

function expectEachOnce(state: Readonly<Record<string, PeerText>>): void {
  const addresses = Object.values(state).flatMap(({ owned }) => Object.values(owned).flat());
  expect(new Set(addresses).size, addresses.join(" ")).toBe(addresses.length);
}
