import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { runSuite } from "./vectors/kube-proxy.ts";

const cases = [];
for await (const each of runSuite(fileURLToPath(new URL("fixtures/recorded", import.meta.url)))) {
  cases.push(each);
}

test("there are recordings", () => {
  expect(cases.length).toBeGreaterThan(0);
});

test.each(cases)("the real kube-proxy: $name", ({ outcome, detail = "" }) => {
  expect([outcome, detail]).toEqual(["passed", ""]);
});
