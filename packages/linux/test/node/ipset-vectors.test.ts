import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { sharedVectors } from "../../../../tools/vector-suite.ts";
import { Lab } from "../lab.ts";

/** What `ipset save` printed of sets that kube-proxy's IPVS mode and weave-npc had made. */
function* saved(): Iterable<[name: string, lines: string[]]> {
  const proxy = sharedVectors("kube-proxy");
  for (const file of filesIn(proxy, "ipset.txt")) {
    yield [`kube-proxy/${file}`, readFileSync(`${proxy}/${file}`, "utf8").trimEnd().split("\n")];
  }
  const weave = sharedVectors("weave-netfilter");
  for (const file of filesIn(weave, "expected.json")) {
    yield* listsIn(JSON.parse(readFileSync(`${weave}/${file}`, "utf8")), `weave/${file}`);
  }
}

function filesIn(folder: string, name: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(`/${name}`))
    .sort();
}

function* listsIn(value: unknown, name: string): Iterable<[string, string[]]> {
  if (typeof value !== "object" || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    if (key === "ipset" && Array.isArray(inner)) yield [`${name} ${key}`, inner as string[]];
    else yield* listsIn(inner, `${name} ${key}`);
  }
}

const ALL = [...saved()];

/** Without random seeds, and without the order of the elements of a hash. */
function canonical(lines: readonly string[]): string[] {
  return lines.map((line) => line.replace(/ initval 0x[0-9a-f]+/, "")).sort();
}

describe.skipIf(ALL.length === 0)("sets of real programs (of ../shared/vectors)", () => {
  test.each(ALL)("%s is saved as it was", (_name, lines) => {
    const [netns] = new Lab().machine("test");
    netns.ipsets.restore(lines.join("\n"));
    expect(canonical(netns.ipsets.save().trimEnd().split("\n"))).toEqual(canonical(lines));
  });
});
