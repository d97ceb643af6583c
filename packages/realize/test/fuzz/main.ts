// Random networks and flows, through the model and through the kernel of this machine:
//   npm run fuzz:kernel -- --seconds 60 --seed 1 [--topologies N] [--first N] [--flows N] [--at-once N]
//   npm run fuzz:kernel -- --case FILE          steps, one a line as JSON: what a shrunk case is printed as

import { readFileSync } from "node:fs";
import { whyNotHere } from "../../src/index.ts";
import { readOptions } from "../command-line.ts";
import {
  compare,
  compareOnce,
  type Disagreement,
  kindOf,
  report,
  scriptOf,
  shrink,
  type Unsteady,
} from "./compare.ts";
import { generate } from "./generate.ts";
import { Prober } from "./real.ts";
import type { Step } from "./topology.ts";

const values = readOptions("fuzz:kernel", {
  /** Topologies begin within this time; what has begun is finished. */
  seconds: { type: "string", default: "60" },
  seed: { type: "string", default: "1" },
  topologies: { type: "string" },
  /** Number of the first topology, to look at one again. */
  first: { type: "string", default: "0" },
  flows: { type: "string", default: "12" },
  /** A file of steps, one a line, in place of random ones. */
  case: { type: "string" },
  "at-once": { type: "string", default: "12" },
  shrink: { type: "boolean", default: true },
  /** How long one case may be made smaller. */
  "shrink-seconds": { type: "string", default: "120" },
  script: { type: "boolean", default: true },
  /** Prints the steps and does nothing. */
  print: { type: "boolean", default: false },
});
const seed = Number(values.seed);
const first = Number(values.first);
const topologiesAsked = values.case === undefined ? values.topologies : 1;
const most = first + Number(topologiesAsked ?? Number.POSITIVE_INFINITY);
const until = Date.now() + 1000 * Number(values.seconds);
/** Cases that are shrunk. */
const SHRUNK = 3;
const SHRINK_MS = 1000 * Number(values["shrink-seconds"]);

if (values.print) {
  for (const step of stepsOf(first)) console.log(JSON.stringify(step));
  process.exit(0);
}
const missing = whyNotHere();
if (missing !== undefined) {
  console.error(`fuzz:kernel ${missing}`);
  process.exit(2);
}

const prober = new Prober();
let stopped = false;
let started = first;
let topologies = 0;
let flows = 0;
const found: { readonly topology: number; readonly disagreement: Disagreement }[] = [];
const unsteady: Unsteady[] = [];

// What is under way is finished, so that the last lines are true; the second time ends it at once, and
// whoever watches over the namespaces takes them away then.
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    if (stopped) process.exit(130);
    stopped = true;
  });
}

function stepsOf(number: number): Step[] {
  if (values.case === undefined) return generate(seed * 1_000_003 + number, Number(values.flows));
  const lines = readFileSync(values.case, "utf8").split("\n");
  return lines.filter((line) => line.trim() !== "").map((line) => JSON.parse(line));
}

async function work(worker: number): Promise<void> {
  while (!stopped && started < most && Date.now() < until) {
    const number = started++;
    const result = await compare(stepsOf(number), prober, `fuzz${process.pid}-${worker}`);
    topologies++;
    flows += result.flows;
    for (const disagreement of result.disagreements) {
      found.push({ topology: number, disagreement });
      console.log(
        `topology ${number}: ${JSON.stringify(disagreement.flow)}\n  model:  ${disagreement.model}\n  kernel: ${disagreement.kernel}`,
      );
    }
    for (const flow of result.unsteady) {
      unsteady.push(flow);
      console.log(`topology ${number}, unsteady: ${JSON.stringify(flow.flow)}`);
      console.log(`  model:  ${flow.model}\n  kernel: ${flow.kernel.join(" | ")}`);
    }
  }
}

/** Says the least that shows a disagreement: its steps, both sides, and a script that does it. */
async function explain(number: number, wanted: Disagreement): Promise<void> {
  const same = async (steps: readonly Step[], lane: number): Promise<Disagreement | undefined> => {
    const { disagreements } = await compareOnce(steps, prober, `fuzz${process.pid}-s${lane}`);
    return disagreements.find((d) => kindOf(d) === kindOf(wanted));
  };
  const alone = stepsOf(number).filter(
    (s) =>
      s.do !== "flow" ||
      wanted.flow === undefined ||
      JSON.stringify(s.flow) === JSON.stringify(wanted.flow),
  );
  const disagrees = async (steps: readonly Step[], lane: number): Promise<boolean> =>
    (await same(steps, lane)) !== undefined;
  const least = await shrink(alone, disagrees, Date.now() + SHRINK_MS);
  const disagreement = await same(least, 0);
  if (disagreement === undefined) {
    console.log(`\ntopology ${number}: it did not show again when it was made smaller`);
    return;
  }
  console.log(`\ntopology ${number}, the least that shows it:\n${report(least, disagreement)}`);
  if (values.script) console.log(`\n${scriptOf(least, "case")}`);
}

await Promise.all(Array.from({ length: Number(values["at-once"]) }, (_, i) => work(i)));

if (values.shrink) {
  const cases = new Map(found.map(({ topology, disagreement }) => [topology, disagreement]));
  for (const [number, disagreement] of [...cases].slice(0, SHRUNK)) {
    if (!stopped) await explain(number, disagreement);
  }
}
prober.close();
console.log(`${unsteady.length} flows unsteady: the kernel did not do the same each time`);
console.log(
  `${topologies} topologies, ${flows} flows, ${found.length} disagreements, seed ${seed}`,
);
process.exitCode = flows > 0 && found.length === 0 ? 0 : 1;
