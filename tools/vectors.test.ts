import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RunSuite } from "./vector-suite.ts";
import { vectorTests } from "./vector-tests.ts";

/** A checkout of its own with the suite `demo`, whose cases are the files of the folder: name and wanted outcome. */
let checkout: string;
beforeAll(() => {
  checkout = mkdtempSync(join(tmpdir(), "vectors-"));
  for (const file of ["vectors.ts", "vector-suite.ts"]) {
    cpSync(join(import.meta.dirname, file), join(checkout, "tools", file));
  }
  writeFile("package.json", '{ "type": "module" }');
  writeFile(
    "packages/p/test/vectors/demo.ts",
    `import { readdirSync } from "node:fs";
     import type { RunSuite } from "../../../../tools/vector-suite.ts";
     export const runSuite: RunSuite = async function* (folder) {
       for (const file of readdirSync(folder).sort()) {
         const [name = "", outcome] = file.split(".");
         yield { name, outcome: outcome as "passed", detail: "- a\\n+ b" };
       }
     };`,
  );
  writeFile("packages/p/test/vectors/broken.ts", "export {};");
  for (const name of ["good/one.passed", "bad/one.passed", "bad/two.failed", "bad/three.skipped"]) {
    writeFile(`cases/${name}`, "");
  }
  mkdirSync(join(checkout, "cases/empty"));
});
afterAll(() => rmSync(checkout, { recursive: true }));

function writeFile(path: string, text: string): void {
  mkdirSync(join(checkout, path, ".."), { recursive: true });
  writeFileSync(join(checkout, path), text);
}

describe("npm run vectors", () => {
  test.each([
    // arguments, exit code, stdout, stderr
    ["demo good", 0, "1 passed, 0 failed, 0 skipped\n", ""],
    [
      "demo bad",
      1,
      "SKIPPED three: - a\n    + b\nFAILED two: - a\n    + b\n1 passed, 1 failed, 1 skipped\n",
      "",
    ],
    ["demo empty", 1, "0 passed, 0 failed, 0 skipped\n", ""],
    ["demo nowhere", 2, "", /nowhere is not there/],
    ["demo", 2, "", /shared.vectors.demo is not there/],
    ["other", 2, "", 'There is no suite "other"; known: broken, demo.\n'],
    ["", 2, "", /^Usage: .* broken, demo\.\n$/],
    ["broken good", 2, "", /does not export runSuite/],
  ] as const)("%s", (args, status, stdout, stderr) => {
    const result = spawnSync(
      process.execPath,
      [join(checkout, "tools/vectors.ts"), ...args.split(" ").filter(Boolean)],
      { cwd: join(checkout, "cases"), encoding: "utf8" },
    );
    expect(result.stderr).toEqual(
      typeof stderr === "string" ? stderr : expect.stringMatching(stderr),
    );
    expect(result.stdout).toBe(stdout);
    expect(result.status).toBe(status);
  });
});

const sample: RunSuite = async function* () {
  yield { name: "a case that passes", outcome: "passed" };
};
await vectorTests("sample", sample, import.meta.dirname);
