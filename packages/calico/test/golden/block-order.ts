import { parsePrefix } from "@cnilab/net";
import { blockOrder } from "../../src/ipam/block-order.ts";
import type { GoldenRun } from "./golden-run.ts";

interface BlockOrderVector {
  readonly pool: string;
  readonly blockSize: number;
  readonly host: string;
  readonly blocks: readonly string[];
}

/** The first blocks that a node would try. */
export const runBlockOrder: GoldenRun<BlockOrderVector> = ({ pool, blockSize, host, blocks }) => {
  const got: string[] = [];
  for (const block of blockOrder({ cidr: parsePrefix(pool), blockSize }, host, () => 0n)) {
    if (got.length === blocks.length) break;
    got.push(String(block));
  }
  return got.join() === blocks.join() ? undefined : `expected ${blocks}, got ${got}`;
};
