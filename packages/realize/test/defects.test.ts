import { stripTypeScriptTypes } from "node:module";
import { expect, test } from "vitest";
import { DEFECTS } from "./defects/defects.ts";
import { planted } from "./defects/planted-copy.ts";

test("there are as many defects to plant as the fuzzer is held to", () => {
  expect(new Set(DEFECTS.map(({ name }) => name)).size).toBe(DEFECTS.length);
  expect(DEFECTS.length).toBeGreaterThanOrEqual(20);
});

// `npm run fuzz:defects` looks for them; here, that the list still fits the sources.
test.each(DEFECTS)("the model can be changed so that $name", (defect) => {
  const files = planted(defect);
  expect(files.size).toBe(new Set(defect.edits.map(({ file }) => file)).size);
  for (const text of files.values()) expect(() => stripTypeScriptTypes(text)).not.toThrow();
});
