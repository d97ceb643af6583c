import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const program = fileURLToPath(new URL("../live/main.ts", import.meta.url));

test("live tells what happens, and what a lost node costs", () => {
  const flags = ["--disable-warning=ExperimentalWarning", program];
  const lines = execFileSync(process.execPath, flags, { encoding: "utf8" }).split("\n");
  const answers = lines.flatMap((line) => /ten times: (\d+) answers/.exec(line)?.[1] ?? []);
  expect([answers[0], answers[1], answers[3]]).toEqual(["10", "10", "10"]);
  expect(Number(answers[2]), "some still go to the lost node").toBeLessThan(10);
  expect(lines).toContain("   0.0 s  pod-attached orders-0 on node1");
  expect(lines).toContain("   2.0 s  Service frontend has 5 ready endpoints");
  // Questions for the name go to the lost node, too, and each is asked again after 5 s. The control plane waits 40 s for a node, and pods tolerate its absence for 300 s.
  const at = (what: string) => lines.findLast((line) => line.includes(what))?.slice(0, 8);
  expect([at("node-not-ready node2"), at("frontend has 4"), at("frontend has 5")]).toEqual([
    "   3.0 s",
    "  43.0 s",
    " 343.0 s",
  ]);
});
