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
  const order = blockOrder({ cidr: parsePrefix(pool), blockSize }, host, () => 0n);
  const got = order.take(blocks.length).map(String).toArray();
  return got.join() === blocks.join() ? undefined : `expected ${blocks}, got ${got}`;
};
