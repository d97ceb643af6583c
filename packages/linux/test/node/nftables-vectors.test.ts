import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { sharedVectors } from "../../../../tools/vector-suite.ts";
import { Lab } from "../lab.ts";

/** Listings that the real nft printed of what real programs had programmed: kube-proxy, flannel, portmap, Docker. */
function* rulesets(): Iterable<[name: string, listing: string]> {
  for (const file of filesIn("kube-proxy", /^nftables.*\.txt$/)) {
    yield [file.name, readFileSync(file.path, "utf8")];
  }
  for (const suite of ["flannel", "cni-plugins"]) {
    for (const file of filesIn(suite, /^expected\.json$/)) {
      yield* listingsIn(JSON.parse(readFileSync(file.path, "utf8")), file.name);
    }
  }
  for (const file of filesIn("docker-iptables", /^nftables-.*\.json$/)) {
    const { ruleset } = JSON.parse(readFileSync(file.path, "utf8")) as { ruleset: string[][] };
    // Recorded with a later nft, which has a name for this priority at the output hook as well.
    const lines = ruleset.flat().map((line) => line.replace(/^ {4}/, ""));
    const listing = `${lines.join("\n")}\n`;
    yield [
      file.name,
      listing.replaceAll("hook output priority dstnat;", "hook output priority -100;"),
    ];
  }
}

function filesIn(suite: string, pattern: RegExp): { name: string; path: string }[] {
  const folder = sharedVectors(suite);
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => pattern.test(file.split("/").at(-1) as string))
    .map((file) => ({ name: `${suite}/${file}`, path: `${folder}/${file}` }))
    .sort((x, y) => (x.name < y.name ? -1 : 1));
}

/** What stands under `nftables` anywhere in a recorded state. */
function* listingsIn(value: unknown, name: string): Iterable<[string, string]> {
  if (typeof value !== "object" || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    const isListing = key === "nftables" && Array.isArray(inner) && inner.length > 1;
    if (isListing) yield [`${name} ${key}`, `${inner.join("\n")}\n`];
    else yield* listingsIn(inner, `${name} ${key}`);
  }
}

const ALL = [...rulesets()];

describe.skipIf(ALL.length === 0)("rulesets of real programs (of ../shared/vectors)", () => {
  test.each(ALL)("%s is listed as it was", (_name, listing) => {
    const [netns] = new Lab().machine("test");
    netns.nftables.apply(listing);
    expect(netns.nftables.list()).toBe(listing);
  });
});
