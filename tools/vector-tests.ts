import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type RunSuite, sharedVectors, type VectorCase } from "./vector-suite.ts";

/**
 * Makes a vitest test of each case of a suite, so that `npm test` counts them one by one. In a package:
 *
 *     import { vectorTests } from "../../../tools/vector-tests.ts";
 *     import { runSuite } from "./vectors/kube-proxy.ts";
 *     await vectorTests("kube-proxy", runSuite);
 *
 * Without the folder there is one skipped test that says so.
 */
export async function vectorTests(
  suite: string,
  runSuite: RunSuite,
  folder: string = sharedVectors(suite),
): Promise<void> {
  if (!existsSync(folder)) {
    test.skip(`vectors of ${suite} (${folder} is not there)`, () => {});
    return;
  }
  const cases: VectorCase[] = [];
  for await (const each of runSuite(folder)) cases.push(each);
  describe(`vectors of ${suite}`, () => {
    test("are found", () => {
      expect(cases.length, `cases in ${folder}`).toBeGreaterThan(0);
    });
    for (const { name, outcome, detail = "" } of cases) {
      if (outcome === "skipped") test.skip(`${name} (${detail})`, () => {});
      else {
        test(name, () => {
          if (outcome === "failed") expect.fail(detail);
        });
      }
    }
  });
}
