// Random networks and flows, through the model and through the kernel of this machine:
//   npm run fuzz:kernel -- --seconds 60 --seed 1 [--topologies N] [--flows N] [--at-once N]
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { whyNotHere } from "../../src/index.ts";
import {
  compare,
  compareOnce,
  type Disagreement,
  kindOf,
  report,
  scriptOf,
  shrink,
} from "./compare.ts";
import { generate } from "./generate.ts";
import { Prober } from "./real.ts";
import type { Step } from "./topology.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    seed: { type: "string", default: "1" },
    topologies: { type: "string" },
    /** Number of the first topology, to look at one again. */
    first: { type: "string", default: "0" },
    flows: { type: "string", default: "12" },
    /** A file of steps, one a line, in place of random ones. */
    case: { type: "string" },
    "at-once": { type: "string", default: "6" },
    shrink: { type: "boolean", default: true },
    script: { type: "boolean", default: false },
  },
  allowNegative: true,
});
const seed = Number(values.seed);
const most =
  Number(values.first) +
  Number(values.case === undefined ? (values.topologies ?? Number.POSITIVE_INFINITY) : 1);
const until = Date.now() + 1000 * Number(values.seconds);

const missing = whyNotHere();
if (missing !== undefined) {
  console.error(`fuzz:kernel ${missing}`);
  process.exit(2);
}

const prober = new Prober();
let started = Number(values.first);
let topologies = 0;
let flows = 0;
const found: { readonly topology: number; readonly disagreement: Disagreement }[] = [];
const failing: { readonly number: number; readonly steps: readonly Step[] }[] = [];

function readCase(path: string): Step[] {
  const lines = readFileSync(path, "utf8").split("\n");
  return lines.filter((line) => line.trim() !== "").map((line) => JSON.parse(line));
}

async function work(worker: number): Promise<void> {
  while (started < most && Date.now() < until) {
    const number = started++;
    const steps =
      values.case === undefined
        ? generate(seed * 1_000_003 + number, Number(values.flows))
        : readCase(values.case);
    const result = await compare(steps, prober, `fuzz${process.pid}-${worker}`);
    topologies++;
    flows += result.flows;
    if (result.disagreements.length === 0) continue;
    failing.push({ number, steps });
    for (const disagreement of result.disagreements) {
      found.push({ topology: number, disagreement });
      console.log(
        `topology ${number}: ${JSON.stringify(disagreement.flow)}\n  model:  ${disagreement.model}\n  kernel: ${disagreement.kernel}`,
      );
    }
  }
}

await Promise.all(Array.from({ length: Number(values["at-once"]) }, (_, i) => work(i)));

if (values.shrink) {
  for (const { number, steps } of failing.slice(0, 3)) {
    const prefix = `fuzz${process.pid}-s`;
    const first = found.find((f) => f.topology === number)?.disagreement as Disagreement;
    const same = async (tried: readonly Step[]): Promise<Disagreement | undefined> =>
      (await compareOnce(tried, prober, prefix)).disagreements.find(
        (d) => kindOf(d) === kindOf(first),
      );
    const alone = steps.filter((s) => s.do !== "flow" || s.flow === first.flow);
    const least = await shrink(alone, async (tried) => (await same(tried)) !== undefined);
    const disagreement = await same(least);
    console.log(`\ntopology ${number}, the least that shows it:`);
    if (disagreement !== undefined) console.log(report(least, disagreement));
    if (values.script) console.log(scriptOf(least, "case"));
  }
}
prober.close();
console.log(
  `${topologies} topologies, ${flows} flows, ${found.length} disagreements, seed ${seed}`,
);
process.exitCode = topologies > 0 && found.length === 0 ? 0 : 1;
