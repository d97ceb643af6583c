import { defineConfig } from "vitest/config";

// Shared by every package: `vitest run --config ../../vitest.config.ts` with the package as root.
// The JSON report is what tools/run.mjs adds up into the closing line of `npm test`.
export default defineConfig({
  test: {
    root: process.cwd(),
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    reporters: [
      process.env["TURBO_HASH"] ? "dot" : "default", // `npm test` shows failures only
      ["json", { outputFile: ".report/vitest.json" }],
    ],
    testTimeout: 60_000,
    passWithNoTests: true,
  },
});
