// Plants defects in copies of the model, one in each, and looks which of them the fuzzer's networks show:
//   npm run fuzz:defects -- [--seed 1] [--seconds 60] [--only WORDS]
import { parseArgs } from "node:util";
import { whyNotHere } from "../../src/index.ts";
import { compareOnce } from "../fuzz/compare.ts";
import { generate } from "../fuzz/generate.ts";
import { Prober } from "../fuzz/real.ts";
import type { Step, Verdict } from "../fuzz/topology.ts";
import { DEFECTS } from "./defects.ts";
import { PlantedCopy } from "./planted-copy.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    seconds: { type: "string", default: "60" },
    flows: { type: "string", default: "12" },
    "at-once": { type: "string", default: "12" },
    /** Defects whose names hold this. */
    only: { type: "string", default: "" },
  },
});
const seed = Number(values.seed);

const missing = whyNotHere();
if (missing !== undefined) {
  console.error(`fuzz:defects ${missing}`);
  process.exit(2);
}

/** What `compareOnce` asks of a prober. */
type Asked = Parameters<typeof compareOnce>[1];

/** The model with one defect, which gets to see the same networks as the others. */
class Suspect {
  readonly name: string;
  readonly #compareOnce: typeof compareOnce;

  constructor(name: string, compare: typeof compareOnce) {
    this.name = name;
    this.#compareOnce = compare;
  }

  /** How it differs from what the kernel did; `undefined` if it does not. */
  async differs(steps: readonly Step[], real: Verdict[]): Promise<string | undefined> {
    const replay = { verdicts: () => Promise.resolve(real) };
    const { disagreements } = await this.#compareOnce(steps, replay as unknown as Asked, "");
    const [first] = disagreements;
    return first && `model ${first.model}; kernel ${first.kernel}`;
  }
}

const prober = new Prober();
const copies = DEFECTS.filter(({ name }) => name.includes(values.only)).map(
  (defect) => [defect.name, new PlantedCopy(defect)] as const,
);
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
    const real = await kernelVerdicts(steps, `defect${process.pid}-${worker}`);
    topologies++;
    if (real === undefined) continue;
    for (const suspect of [...suspects]) {
      const difference = await suspect.differs(steps, real);
      if (difference === undefined || !suspects.delete(suspect)) continue;
      const seconds = Math.round((Date.now() - start) / 1000);
      console.log(`found by topology ${number} after ${seconds} s: ${suspect.name}`);
      console.log(`  ${difference}`);
    }
  }
}

/**
 * What the kernel does; `undefined` where the model without a defect says otherwise. (Then it has one of
 * its own, or the machine was too busy to answer in time: this network proves nothing.)
 */
async function kernelVerdicts(
  steps: readonly Step[],
  prefix: string,
): Promise<Verdict[] | undefined> {
  let real: Verdict[] | undefined;
  const recorder: Pick<Prober, "verdicts"> = {
    verdicts: async (model, name) => {
      real = await prober.verdicts(model, name);
      return real;
    },
  };
  const { disagreements } = await compareOnce(steps, recorder as Prober, prefix);
  return disagreements.length === 0 ? real : undefined;
}

await Promise.all(Array.from({ length: Number(values["at-once"]) }, (_, worker) => work(worker)));
prober.close();
for (const { name } of suspects) console.log(`not found: ${name}`);
const found = copies.length - suspects.size;
console.log(`${topologies} topologies, seed ${seed}`);
console.log(`${copies.length} planted, ${found} found`);
process.exitCode = found > 0 && found >= 0.95 * copies.length ? 0 : 1;
