// Random networks of what this machine's kernel may lack, through the model and through a second kernel:
//   npm run fuzz:vm -- --seconds 600 --seed 1 [--subjects ipip,sctp] [--topologies N] [--first N] [--flows N] [--at-once N] [--no-cases]
import { readOptions } from "../command-line.ts";
import { compare, type Disagreement } from "../fuzz/compare.ts";
import { generate as generateNetwork } from "../fuzz/generate.ts";
import type { Step } from "../fuzz/topology.ts";
import { CASES } from "./cases.ts";
import { generate, type Subject as OwnSubject, SUBJECTS } from "./generate.ts";
import { VirtualMachine, whyNoMachine } from "./machine.ts";

const values = readOptions("fuzz:vm", {
  seconds: { type: "string", default: "600" },
  seed: { type: "string", default: "1" },
  subjects: { type: "string", default: SUBJECTS.join(",") },
  topologies: { type: "string" },
  /** Number of the first topology, to look at one again. */
  first: { type: "string", default: "0" },
  flows: { type: "string", default: "12" },
  "at-once": { type: "string", default: "3" },
  /** Prints the steps of what disagrees. */
  steps: { type: "boolean", default: false },
  /** Those made by hand come first. */
  cases: { type: "boolean", default: true },
});
/** `network`: what fuzz:kernel sends through this machine's kernel. */
type Subject = OwnSubject | "network";

const subjects = values.subjects.split(",") as Subject[];
const unknown = subjects.find((subject) => ![...SUBJECTS, "network"].includes(subject));
const missing = unknown === undefined ? whyNoMachine() : `does not know ${unknown}`;
if (missing !== undefined) {
  console.error(`fuzz:vm ${missing}`);
  process.exit(2);
}
const seed = Number(values.seed);
const seconds = Number(values.seconds);
const until = Date.now() + 1000 * seconds;
const most = Number(values.first) + Number(values.topologies ?? Number.POSITIVE_INFINITY);

interface Tally {
  topologies: number;
  flows: number;
  /** Flows that seemed to disagree, until they were looked at alone. */
  unsteady: number;
  disagreements: number;
}

const tallies = new Map(
  subjects.map((subject) => [
    subject,
    { topologies: 0, flows: 0, unsteady: 0, disagreements: 0 } as Tally,
  ]),
);
// What is under way at the end is finished.
const atOnce = Number(values["at-once"]);
const machine = await VirtualMachine.start(seconds + 600, atOnce);
const cases = values.cases ? CASES.filter(({ subject }) => subjects.includes(subject)) : [];
let started = Number(values.first);
let casesStarted = 0;

interface Named {
  readonly name: string;
  readonly subject: Subject;
  readonly steps: readonly Step[];
}

function next(): Named | undefined {
  const byHand = cases[casesStarted];
  if (byHand !== undefined) return { name: `case ${casesStarted++}`, ...byHand };
  if (started >= most || Date.now() >= until) return undefined;
  const number = started++;
  const subject = subjects[number % subjects.length] as Subject;
  const flows = Number(values.flows);
  const own = seed * 1_000_003 + number;
  const steps = subject === "network" ? generateNetwork(own, flows) : generate(subject, own, flows);
  return { name: `topology ${number}`, subject, steps };
}

async function work(worker: number): Promise<void> {
  for (let at = next(); at !== undefined; at = next()) {
    const { name, subject, steps } = at;
    const result = await compare(steps, machine, `vm${worker}`);
    const tally = tallies.get(subject) as Tally;
    tally.topologies++;
    tally.flows += result.flows;
    tally.unsteady += result.unsteady.length;
    tally.disagreements += result.disagreements.length;
    for (const disagreement of result.disagreements)
      say(`${name} (${subject})`, steps, disagreement);
  }
}

function say(name: string, steps: readonly Step[], found: Disagreement): void {
  console.log(`${name}: ${JSON.stringify(found.flow)}`);
  console.log(`  model:  ${found.model}\n  kernel: ${found.kernel}`);
  if (!values.steps) return;
  for (const step of steps) {
    if (step.do !== "flow") console.log(`  ${JSON.stringify(step)}`);
  }
}

await Promise.all(Array.from({ length: atOnce }, (_, i) => work(i)));
await machine.stop();

const sum = (of: keyof Tally): number => [...tallies.values()].reduce((n, t) => n + t[of], 0);
for (const [subject, { topologies, flows, disagreements }] of tallies) {
  console.log(
    `${subject}: ${topologies} topologies, ${flows} flows, ${disagreements} disagreements`,
  );
}
console.log(
  `${sum("topologies")} topologies, ${sum("flows")} flows, ${sum("disagreements")} disagreements, seed ${seed}`,
);
process.exitCode = sum("topologies") > 0 && sum("disagreements") === 0 ? 0 : 1;
