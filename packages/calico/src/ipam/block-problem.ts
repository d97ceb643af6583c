import { EPOCH_MS } from "@cnilab/core";
import type { IPAMBlockSpec } from "../api/v3.ts";

/**
 * What is wrong within a block, in calicoctl's words; `undefined` where nothing is (calicoctl/calicoctl/commands/ipam/check.go validateBlock).
 * @param nowMs the virtual clock's
 */
export function blockProblem(block: IPAMBlockSpec, nowMs: number): string | undefined {
  const { allocations, attributes, unallocated } = block;
  const usedAttributes = new Set<number>();
  const usedOrdinals = new Set<number>();
  for (const [ordinal, index] of allocations.entries()) {
    if (index === null) continue;
    if (index < 0 || index >= attributes.length) {
      return `allocation ${ordinal} indexes a nonexistent attribute ${index}`;
    }
    usedAttributes.add(index);
    usedOrdinals.add(ordinal);
  }
  for (const [index, { releasedAt }] of attributes.entries()) {
    if (!usedAttributes.has(index)) {
      return `attribute index ${index} exists but is not indexed by an allocation`;
    }
    if (releasedAt !== undefined && Date.parse(releasedAt) > EPOCH_MS + nowMs) {
      return `attribute index ${index} has releasedAt in the future, suggesting clock skew`;
    }
  }
  const free = new Set<number>();
  for (const ordinal of unallocated) {
    if (ordinal < 0 || ordinal >= allocations.length) {
      return `ordinal ${ordinal} appears in the Unallocated array but is out of the block`;
    }
    if (free.has(ordinal)) {
      return `ordinal ${ordinal} appears more than once in Unallocated array`;
    }
    if (usedOrdinals.has(ordinal)) {
      return `ordinal ${ordinal} is allocated but appears in Unallocated`;
    }
    free.add(ordinal);
  }
  const [size, given] = [allocations.length, usedOrdinals.size];
  if (unallocated.length + given === size) return undefined;
  return `expected ${size} addresses in this block, but Unallocated (${unallocated.length}) + Allocated (${given}) = ${unallocated.length + given}`;
}
