/// <reference types="node" />
import { fileURLToPath } from "node:url";

/** How the model did on one case of a golden-vector suite. */
export interface VectorCase {
  readonly name: string;
  readonly outcome: "passed" | "failed" | "skipped";
  /** A failure's difference, or the reason of a skip; may have several lines. */
  readonly detail?: string;
}

/**
 * What `test/vectors/SUITE.ts` of a package exports as `runSuite`: runs every case found in `folder`. Cases are
 * discovered, never listed, so that any folder of the same layout works.
 */
export type RunSuite = (folder: string) => AsyncIterable<VectorCase>;

/** Where a suite's vectors lie beside the checkout, if they do. */
export function sharedVectors(suite: string): string {
  return fileURLToPath(new URL(`../../shared/vectors/${suite}`, import.meta.url));
}
