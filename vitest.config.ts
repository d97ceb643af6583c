import { basename } from "node:path";
import { defineConfig } from "vitest/config";
import { StallWatch } from "./tools/stall-watch.ts";

const inNpmTest = process.env["TURBO_HASH"] !== undefined;

// Shared by every package: `vitest run --config ../../vitest.config.ts` with the package as root.
// The JSON report is what tools/test.mjs adds up into the closing line of `npm test`.
export default defineConfig({
  test: {
    root: process.cwd(),
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    reporters: [
      inNpmTest ? "dot" : "default", // `npm test` shows failures only
      ["json", { outputFile: ".report/vitest.json" }],
      new StallWatch(),
    ],
    // Turbo runs as many packages at once as there are cores; each of them takes one. The command's tests are the last
    // and the longest, and are alone for most of their time.
    ...(inNpmTest ? { maxWorkers: basename(process.cwd()) === "cli" ? 2 : 1 } : {}),
    // Modules keep no state of their own, so that files can share them: most of a short file's time is loading.
    isolate: false,
    // Against what hangs, and no bound on what is slow: machines are shared.
    testTimeout: 700_000,
    hookTimeout: 700_000,
    passWithNoTests: true,
  },
});
