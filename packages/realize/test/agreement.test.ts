// Random networks and flows, through the model and through the kernel of this machine: `npm run fuzz:kernel` with a
// fixed seed and a fixed number of networks. Flows that the kernel does not treat the same way each time are no failure.
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { whyNotHere } from "../src/index.ts";

const missing = whyNotHere();
const why = missing === undefined ? "" : ` (skipped: ${missing})`;

const SEED = 20_261_121;
/** Each is heard of within the time that tools/stall-watch.ts gives, also on a busy machine and where something is found. */
const SLICES = 5;
const TOPOLOGIES = 41;
const FLOWS = 2_000;
const LAST_LINE = /(\d+) topologies, (\d+) flows, (\d+) disagreements, seed \d+\n$/;

/** What the fuzzer prints; the cases that disagree are in it, each cut down to the least that shows it. */
async function fuzz(options: Readonly<Record<string, number>>): Promise<string> {
  const program = fileURLToPath(new URL("fuzz/main.ts", import.meta.url));
  const words = Object.entries(options).flatMap(([name, value]) => [`--${name}`, `${value}`]);
  const args = ["--disable-warning=ExperimentalWarning", program, ...words, "--no-script"];
  try {
    return (await promisify(execFile)(process.execPath, args, { maxBuffer: 1 << 28 })).stdout;
  } catch (error) {
    const {
      stdout = "",
      stderr = "",
      message,
    } = error as Error & Record<"stdout" | "stderr", string>;
    return stdout === "" ? `${message}\n${stderr}` : stdout;
  }
}

describe.skipIf(missing !== undefined)(
  `the model and the kernel of this machine agree${why}`,
  () => {
    let flowsInAll = 0;

    // At once, as each waits most of the time.
    test.concurrent.each(Array.from({ length: SLICES }, (_, i) => i * TOPOLOGIES))(
      `on ${TOPOLOGIES} random networks from number %i on`,
      async (first) => {
        const amount = { first, topologies: TOPOLOGIES, flows: 4, seconds: 150 };
        const output = await fuzz({ seed: SEED, ...amount, "shrink-seconds": 25 });
        const [, topologies, flows, disagreements] = LAST_LINE.exec(output) ?? [];
        if (disagreements !== "0") throw new Error(`\n${output}`);
        expect(Number(topologies)).toBe(TOPOLOGIES);
        flowsInAll += Number(flows);
      },
      600_000,
    );

    test(`which are ${SLICES * TOPOLOGIES}, with at least ${FLOWS} flows`, () => {
      expect(flowsInAll).toBeGreaterThanOrEqual(FLOWS);
    });
  },
);
