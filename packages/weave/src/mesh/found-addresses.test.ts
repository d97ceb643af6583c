import fc from "fast-check";
import { expect, test } from "vitest";
import { FoundAddresses } from "./found-addresses.ts";
import type { PeerLink } from "./peer.ts";

const peers = ["a", "b", "c", "d"];
const link = fc.record({
  address: fc.constantFrom("10.0.0.1:6783", "10.0.0.1:40001", "10.0.0.2:6783", "10.0.0.2:40002"),
  outbound: fc.boolean(),
  established: fc.boolean(),
});
const connections = fc.dictionary(fc.constantFrom(...peers), link, { noNullPrototype: true });
const changes = fc.array(
  fc.tuple(fc.constantFrom(...peers), fc.option(connections, { nil: undefined })),
);

function all(found: FoundAddresses): string[][] {
  return peers.map((peer) => [...found.of(peer)]);
}

test("after any changes the addresses are those of all connections that are said to be there", () => {
  fc.assert(
    fc.property(changes, (steps) => {
      const found = new FoundAddresses();
      const said = new Map<string, ReadonlyMap<string, PeerLink>>();
      for (const [peer, given] of steps) {
        const now = given && new Map(Object.entries(given));
        const before = { version: found.version, addresses: all(found) };
        found.replace(said.get(peer), now);
        // Who goes by the version must miss no change.
        if (found.version === before.version) expect(all(found)).toEqual(before.addresses);
        if (now === undefined) said.delete(peer);
        else said.set(peer, now);
      }
      for (const peer of peers) {
        const wanted = [...said.values()].flatMap((of) => {
          const { address, outbound } = of.get(peer) ?? {};
          return address === undefined
            ? []
            : [outbound === true ? address : address.replace(/:.*/, ":6783")];
        });
        expect([...found.of(peer)].sort()).toEqual([...new Set(wanted)].sort());
      }
    }),
    { seed: 7 },
  );
});
