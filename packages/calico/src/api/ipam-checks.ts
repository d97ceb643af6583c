import {
  boolean,
  type Check,
  describe,
  fail,
  integer,
  list,
  map,
  matching,
  oneOf,
  strictObject,
  string,
} from "@cnilab/core/validation";
import { network, prefixOf } from "./field-checks.ts";
import type { IPAMBlockSpec } from "./v3/ipam.ts";

// What IPAM writes itself, as dumps have it (api/pkg/apis/projectcalico/v3/ipamblocks.go, ipamhandle.go, blockaffinity.go). A block must hold
// together: whoever allocates from it goes by its ordinals.

const counts = map(() => undefined, integer(0));
const texts = map(() => undefined, string);

/** A place among the attributes, or nothing. Reading takes `null` out of mappings, not out of lists. */
const allocation: Check = (value, path) => {
  if (value !== null) integer(0)(value, path);
};

const blockFields = strictObject(
  {
    cidr: network,
    affinity: matching(
      /^(?:host|virtual):[a-zA-Z0-9._-]+$/,
      300,
      "host: and the name of a node, or virtual: and a name",
    ),
    affinityClaimTime: string,
    allocations: list(allocation),
    unallocated: list(integer(0)),
    attributes: list(
      strictObject({
        handle_id: string,
        secondary: texts,
        alternateOwnerAttrs: texts,
        releasedAt: string,
      }),
    ),
    sequenceNumber: integer(0),
    sequenceNumberForAllocation: counts,
    deleted: boolean,
    strictAffinity: boolean,
  },
  ["cidr", "allocations", "unallocated", "attributes"],
);

const MOST_ORDINALS = 4096;

export const ipamBlockSpec: Check = (value, path) => {
  blockFields(value, path);
  const { cidr, allocations, unallocated, attributes } = value as IPAMBlockSpec;
  const prefix = prefixOf(cidr);
  const size = 2 ** ((prefix.family === 4 ? 32 : 128) - prefix.length);
  if (size > MOST_ORDINALS) {
    fail([...path, "cidr"], `must have at most ${MOST_ORDINALS} addresses, but is ${cidr}`);
  }
  if (allocations.length !== size) {
    fail(
      [...path, "allocations"],
      `must have ${size} items for ${cidr}, not ${allocations.length}`,
    );
  }
  allocations.forEach((at, i) => {
    if (at === null || at < attributes.length) return;
    fail([...path, "allocations", i], `is ${at}, and there are ${attributes.length} attributes`);
  });
  const free = new Set<number>();
  unallocated.forEach((ordinal, i) => {
    const at = [...path, "unallocated", i];
    if (ordinal >= size) fail(at, `must be less than ${size} for ${cidr}, not ${ordinal}`);
    if (allocations[ordinal] !== null) fail(at, `is ${ordinal}, which allocations has as taken`);
    if (free.has(ordinal)) fail(at, `is ${describe(ordinal)} a second time`);
    free.add(ordinal);
  });
};

export const ipamHandleSpec: Check = strictObject(
  { handleID: string, block: counts, deleted: boolean },
  ["handleID", "block"],
);

export const blockAffinitySpec: Check = strictObject(
  {
    state: oneOf("confirmed", "pending", "pendingDeletion", ""),
    node: string,
    type: oneOf("host", "virtual", ""),
    cidr: network,
    deleted: boolean,
  },
  ["state", "node", "cidr"],
);
