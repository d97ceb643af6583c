import { isDeepStrictEqual } from "node:util";
import type { PeerName } from "../../src/index.ts";
import {
  AllocatorHarness,
  type AllocatorSetup,
  type Delivered,
  type PeerText,
} from "../allocator-harness.ts";
import type { GoldenOutcome } from "./golden-outcome.ts";

interface Step {
  readonly op: readonly string[];
  readonly result?: string;
  readonly trace: readonly Delivered[] | null;
  readonly state: Readonly<Record<PeerName, PeerText>>;
}

interface AllocatorScript extends AllocatorSetup {
  readonly steps: readonly Step[];
}

/** A script of operations on allocators that talk through one queue. Each step is a case. */
export function* allocators(script: AllocatorScript): Iterable<GoldenOutcome> {
  const harness = new AllocatorHarness(script);
  for (const [number, step] of script.steps.entries()) {
    const got = harness.run(step);
    const want = { trace: step.trace ?? [], state: step.state, result: step.result };
    yield {
      name: `${number + 1}: ${step.op.join(" ")}`,
      difference: isDeepStrictEqual(want, got)
        ? undefined
        : `want ${JSON.stringify(want)}\n got ${JSON.stringify(got)}`,
    };
  }
}
