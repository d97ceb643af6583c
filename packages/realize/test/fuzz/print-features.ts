// Which features random topologies have, and which of their steps the model refuses:
//   node packages/realize/test/fuzz/print-features.ts [--seed S] [--topologies N] [--flows N] [--refused]
import { parseArgs } from "node:util";
import { featuresOf } from "./features.ts";
import { generate } from "./generate.ts";
import { Model } from "./model.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    topologies: { type: "string", default: "200" },
    flows: { type: "string", default: "12" },
    /** Tell of every refused step, and why. */
    refused: { type: "boolean", default: false },
  },
});

const topologies = Number(values.topologies);
const counts = new Map<string, number>();
let refused = 0;

for (let number = 0; number < topologies; number++) {
  const steps = generate(Number(values.seed) * 1_000_003 + number, Number(values.flows));
  for (const feature of new Set(steps.flatMap(featuresOf))) {
    counts.set(feature, (counts.get(feature) ?? 0) + 1);
  }
  const model = new Model(steps);
  refused += model.refused.length;
  if (!values.refused) continue;
  for (const { step, reason } of model.refused) {
    console.log(`${number}: ${reason}: ${JSON.stringify(step)}`);
  }
}

for (const [feature, count] of [...counts].sort(([x], [y]) => x.localeCompare(y))) {
  console.log(`${feature.padEnd(40)} ${count}`);
}
console.log(`${topologies} topologies, ${counts.size} features, ${refused} steps refused`);
