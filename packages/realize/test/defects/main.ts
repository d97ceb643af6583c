// Plants defects in copies of the model, one in each, and looks which of them the fuzzer's networks show:
//   npm run fuzz:defects -- [--seed 1] [--seconds 60] [--only WORDS]

import { whyNotHere } from "../../src/index.ts";
import { readOptions } from "../command-line.ts";
import { compareOnce, type RealSide } from "../fuzz/compare.ts";
import type { Counter } from "../fuzz/counters.ts";
import { generate } from "../fuzz/generate.ts";
import type { Model } from "../fuzz/model.ts";
import { Prober } from "../fuzz/real.ts";
import type { Flow, Step, Verdict } from "../fuzz/topology.ts";
import { DEFECTS } from "./defects.ts";
import { PlantedCopy } from "./planted-copy.ts";

const values = readOptions("fuzz:defects", {
  seed: { type: "string", default: "1" },
  seconds: { type: "string", default: "60" },
  flows: { type: "string", default: "12" },
  "at-once": { type: "string", default: "12" },
  /** Defects whose names hold this. */
  only: { type: "string", default: "" },
});
const seed = Number(values.seed);

const missing = whyNotHere();
if (missing !== undefined) {
  console.error(`fuzz:defects ${missing}`);
  process.exit(2);
}

/** What the kernel did with one network, for others to compare themselves with. */
class Recording implements RealSide {
  readonly #kernel: RealSide;
  #verdicts: Promise<Verdict[]> = Promise.resolve([]);
  #counters: Promise<Counter[]> = Promise.resolve([]);

  constructor(kernel: RealSide) {
    this.#kernel = kernel;
  }

  verdicts(model: Model, prefix: string): Promise<Verdict[]> {
    this.#verdicts = this.#kernel.verdicts(model, prefix);
    return this.#verdicts;
  }

  counters(model: Model, prefix: string, gapMs: number, settleMs: number): Promise<Counter[]> {
    this.#counters = this.#kernel.counters?.(model, prefix, gapMs, settleMs) ?? this.#counters;
    return this.#counters;
  }

  /** Says it again, whoever asks. */
  get again(): RealSide {
    return { verdicts: () => this.#verdicts, counters: () => this.#counters };
  }
}

/** The model with one defect, which gets to see the same networks as the others. */
class Suspect {
  readonly name: string;
  readonly #compareOnce: typeof compareOnce;

  constructor(name: string, compare: typeof compareOnce) {
    this.name = name;
    this.#compareOnce = compare;
  }

  /**
   * How it differs from what the kernel did; `undefined` if it does not.
   * @param open flows that the model without a defect has otherwise too: it has one of its own, or the machine
   * was too busy to answer in time
   */
  async differs(
    steps: readonly Step[],
    { again }: Recording,
    open: ReadonlySet<Flow | undefined>,
  ): Promise<string | undefined> {
    const { disagreements } = await this.#compareOnce(steps, again, "");
    const first = disagreements.find(({ flow }) => !open.has(flow));
    return first && `model ${first.model}; kernel ${first.kernel}`;
  }
}

const prober = new Prober();
const copies = DEFECTS.filter(({ name }) => name.includes(values.only)).map(
  (defect) => [defect.name, new PlantedCopy(defect)] as const,
);
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
process.once("exit", () => {
  for (const [, copy] of copies) copy.remove();
});
const suspects = new Set<Suspect>();
for (const [name, copy] of copies) {
  const module = await import(copy.path("packages/realize/test/fuzz/compare.ts"));
  suspects.add(new Suspect(name, module.compareOnce));
}

const start = Date.now();
let started = 0;
let topologies = 0;

async function work(worker: number): Promise<void> {
  while (suspects.size > 0 && Date.now() - start < 1000 * Number(values.seconds)) {
    const number = started++;
    const steps = generate(seed * 1_000_003 + number, Number(values.flows));
    const real = new Recording(prober);
    const { disagreements } = await compareOnce(steps, real, `defect${process.pid}-${worker}`);
    topologies++;
    const open = new Set(disagreements.map(({ flow }) => flow));
    if (open.has(undefined)) continue;
    for (const suspect of [...suspects]) {
      const difference = await suspect.differs(steps, real, open);
      if (difference === undefined || !suspects.delete(suspect)) continue;
      const seconds = Math.round((Date.now() - start) / 1000);
      console.log(`found by topology ${number} after ${seconds} s: ${suspect.name}`);
      console.log(`  ${difference}`);
    }
  }
}

await Promise.all(Array.from({ length: Number(values["at-once"]) }, (_, worker) => work(worker)));
prober.close();
for (const { name } of suspects) console.log(`not found: ${name}`);
const found = copies.length - suspects.size;
console.log(`${topologies} topologies, seed ${seed}`);
console.log(`${copies.length} planted, ${found} found`);
process.exitCode = found > 0 && found >= 0.95 * copies.length ? 0 : 1;
