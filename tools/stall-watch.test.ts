import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const WATCH = join(import.meta.dirname, "stall-watch.ts");
const VITEST = join(
  dirname(fileURLToPath(import.meta.resolve("vitest/package.json"))),
  "vitest.mjs",
);

test.each([
  // what hangs, the test file, patience, what is said
  ["a test", 'test("spins", () => { for (;;); });', 1000, /nothing heard for 1 s from a\.test\.js/],
  ["loading", "await new Promise(() => {});", 1000, /nothing heard for 1 s from a\.test\.js/],
  ["nothing", 'test("ends", () => {});', 600_000, /^$/],
])("%s", (_, code, patience, said) => {
  const folder = mkdtempSync(join(tmpdir(), "stall-"));
  try {
    writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
    writeFileSync(join(folder, "a.test.js"), code);
    writeFileSync(
      join(folder, "vitest.config.js"),
      `import { StallWatch } from ${JSON.stringify(WATCH)};
       export default { test: { globals: true, reporters: ["dot", new StallWatch(${patience})] } };`,
    );
    const { status, stderr } = spawnSync(process.execPath, [VITEST, "run"], {
      cwd: folder,
      encoding: "utf8",
    });
    expect(stderr.trim()).toMatch(said);
    expect(status).toBe(stderr === "" ? 0 : 1);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
