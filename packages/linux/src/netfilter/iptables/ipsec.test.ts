// Texts and refusals of iptables 1.8.9 (nf_tables) on kernel 6.18.
import { describe, expect, test } from "vitest";
import { Lab } from "../../../test/lab.ts";

/** A rule as it is printed. */
function printed(match: string, chain = "FORWARD"): string {
  const [netns] = new Lab().machine("machine");
  const tables = netns.iptables(4);
  tables.append("filter", chain, `${match} -j DROP`);
  return new RegExp(`^-A ${chain} (.*) -j DROP$`, "m").exec(tables.save())?.[1] ?? "";
}

describe("-m esp and -m policy are printed", () => {
  test.each([
    ["-p esp -m esp --espspi 0xc8dd5d0a", "-p esp -m esp --espspi 3369950474"],
    ["-p esp -m esp --espspi 500:1000", "-p esp -m esp --espspi 500:1000"],
    ["-p esp -m esp ! --espspi 500:1000", "-p esp -m esp ! --espspi 500:1000"],
    ["-p esp -m esp --espspi 7:3", "-p esp -m esp --espspi 7:3"],
    ["-p esp -m esp", "-p esp -m esp"],
    [
      "! -p esp -m policy --dir out --pol none -m mark --mark 0x20000/0x20000",
      "! -p esp -m policy --dir out --pol none -m mark --mark 0x20000/0x20000",
    ],
    ["-m policy --pol ipsec --dir in", "-m policy --dir in --pol ipsec"],
    ["-m policy --dir out", "-m policy --dir out --pol ipsec"],
  ])("%s", (given, expected) => {
    expect(printed(given)).toBe(expected);
  });
});

describe("refused is", () => {
  test.each([
    ["-p udp -m esp --espspi 4", "OUTPUT", "(Invalid argument): rule in chain OUTPUT"],
    ["-p esp -m esp --espspi x", "OUTPUT", 'esp: bad value for option "--espspi" near "x"'],
    ["-m policy --pol none", "OUTPUT", "neither --dir in nor --dir out specified"],
    ["-m policy --dir fwd --pol none", "OUTPUT", 'policy_match: invalid dir "fwd"'],
    ["-m policy --dir out --pol foo", "OUTPUT", 'policy match: invalid policy "foo"'],
    ["-m policy --dir out --pol none --strict", "OUTPUT", "policy none but --strict given"],
    ["-m policy --dir in --pol none", "OUTPUT", "(Invalid argument): rule in chain OUTPUT"],
    ["-m policy --dir out --pol none", "INPUT", "(Invalid argument): rule in chain INPUT"],
    ["-m policy --dir out --pol ipsec --spi 5", "OUTPUT", "--spi is not modelled"],
  ])("%s in %s", (match, chain, message) => {
    expect(() => printed(match, chain)).toThrow(message);
  });
});
