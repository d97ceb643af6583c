// Applications of others, as their authors publish them.

import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { cnilab, hasManifests, MANIFESTS } from "./cnilab.ts";

describe("applications of others (need ../shared)", () => {
  it.skipIf(!hasManifests).each([
    ["online-boutique/kubernetes-manifests.yaml", "12 pods on 3 nodes", "13 of 13 answer"],
    ["guestbook", "6 pods on 3 nodes", "4 of 4 answer"],
  ])("%s: all its workloads come up, and every Service answers", async (path, pods, answer) => {
    const args = ["-f", join(MANIFESTS, path)];
    const [text, json] = await Promise.all([
      cnilab(["run", ...args]),
      cnilab(["run", ...args, "-o", "json"]),
    ]);
    expect({ status: text.status, stderr: text.stderr }).toEqual({ status: 0, stderr: "" });
    expect(text.stdout).toContain(pods);
    expect(text.stdout).toContain(answer);
    const lines = text.stdout.trimEnd().split("\n");
    expect(lines.length).toBeLessThanOrEqual(25);
    expect(lines.filter((line) => line.length > 100)).toEqual([]);
    const found = JSON.parse(json.stdout);
    expect(found.pods.filter((p: { phase: string }) => p.phase !== "Running")).toEqual([]);
    expect(found.services.filter((s: { answers: boolean }) => !s.answers)).toEqual([]);
    const unknown = found.warnings.filter((w: string) => w.startsWith("not simulated"));
    expect(unknown.length).toBeLessThanOrEqual(1);
  });
});
