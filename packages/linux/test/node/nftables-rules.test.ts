import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type NetNamespace, NftablesError } from "../../src/index.ts";
import { Lab } from "../lab.ts";

/** Rules as the real nft took and listed them; the file says how it was made. */
const FIXTURE = readFileSync(new URL("../fixtures/nftables/rules.txt", import.meta.url), "utf8");

type Row = [family: string, rule: string, listing: string, json: string];

const SETUP = FIXTURE.match(/^# add .*$/gm)?.map((line) => line.slice(2)) ?? [];
const ROWS = FIXTURE.split("\n")
  .filter((line) => line !== "" && !line.startsWith("#"))
  .map((line) => line.split("\t") as Row);

function namespace(): NetNamespace {
  const [netns] = new Lab().machine("test");
  for (const command of SETUP) netns.nftables.apply(command);
  return netns;
}

/** The first rule of chain `c` as it is listed. */
function listed(netns: NetNamespace, family: string): string | undefined {
  const table = netns.nftables.list().split(`table ${family} t {\n`)[1];
  return table?.split("\tchain c {\n")[1]?.split("\n")[0]?.trim();
}

interface RuleJson {
  readonly rule?: { readonly family: string; readonly expr: unknown };
}

function statements(netns: NetNamespace, family: string): unknown {
  const { nftables } = netns.nftables.json() as unknown as { nftables: RuleJson[] };
  return nftables.find(({ rule }) => rule?.family === family)?.rule?.expr;
}

describe("a rule", () => {
  const good = ROWS.filter(([, , listing]) => !listing.startsWith("Error: "));

  test.each(good)("%s: %s", (family, rule, listing, json) => {
    const netns = namespace();
    netns.nftables.apply(`add rule ${family} t c ${rule}`);
    expect(listed(netns, family)).toBe(listing);
    expect(statements(netns, family)).toEqual(JSON.parse(json));
  });

  // A set that is left with one element by merging is listed as a set, and read back as its element;
  // flags that are compared as a whole without `==`, and read back as flags of which one will do.
  const stable = good.filter(
    ([, , listing]) => !/\{ [\d./-]+ \}|ct \w+ \S+ \|/.test(listing) || listing.includes("!="),
  );

  test.each(stable)("%s: %s, as it is listed, is the same rule", (family, _rule, listing) => {
    const netns = namespace();
    netns.nftables.apply(`add rule ${family} t c ${listing}`);
    expect(listed(netns, family)).toBe(listing);
  });
});

describe("what nft refuses", () => {
  const bad = ROWS.filter(([, , listing]) => listing.startsWith("Error: "));

  test.each(bad)("%s: %s", (family, rule, error) => {
    const netns = namespace();
    const before = netns.nftables.list();
    expect(() => netns.nftables.apply(`add rule ${family} t c ${rule}`)).toThrow(
      // What bison expected instead is an accident of its grammar.
      error.startsWith("Error: syntax error") ? NftablesError : error,
    );
    expect(netns.nftables.list()).toBe(before);
  });
});
