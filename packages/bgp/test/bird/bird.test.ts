// Best paths, what is told to whom, and what goes to the kernel, against Debian's BIRD 2.
import { describe, expect, test } from "vitest";
import { generate } from "./generate.ts";
import { isDetermined, model } from "./lab.ts";
import { RealBirds, whyNoBird } from "./real.ts";
import { birdTable, modelKernel, modelTable, realKernel } from "./views.ts";

const missing = whyNoBird();
const why = missing === undefined ? "" : ` (skipped: ${missing})`;

/** `BIRD_SEEDS=FIRST-LAST` for others than these. */
const [FIRST = 1, LAST = 12] = (process.env["BIRD_SEEDS"] ?? "1-12").split("-").map(Number);
/** Whose outcome depends on who was first has no outcome to compare. */
const SEEDS = Array.from({ length: LAST - FIRST + 1 }, (_, i) => FIRST + i).filter((seed) =>
  isDetermined(generate(seed)),
);

describe.skipIf(missing !== undefined)(`BIRD${why}`, () => {
  test.concurrent.each(SEEDS)(
    "network %i has the same tables",
    async (seed) => {
      const configs = generate(seed);
      const speakers = model(
        configs,
        configs.map((_, i) => i),
      );
      const sessions = configs.reduce((n, { peers }) => n + peers.length, 0);
      const birds = new RealBirds(`s${seed}`, configs);
      try {
        const tables = await birds.settled(sessions);
        for (const [i, speaker] of speakers.entries()) {
          expect(modelTable(speaker), `table of ${i + 1}`).toEqual(birdTable(tables[i] as string));
          const kernel = birds.ip(i + 1, "-j", "route", "show", "proto", "bird");
          expect(modelKernel(speaker), `kernel of ${i + 1}`).toEqual(realKernel(kernel));
        }
      } finally {
        await birds.close();
      }
    },
    60_000,
  );
});
