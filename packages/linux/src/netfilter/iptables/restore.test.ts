import { describe, expect, test } from "vitest";
import { Lab } from "../../../test/lab.ts";
import type { Iptables } from "./iptables.ts";
import { IptablesError } from "./iptables-error.ts";

function tables(): Iptables {
  return new Lab().host("host").iptables(4);
}

describe("errors name the line, in the words of iptables-restore 1.8.9 (nf_tables)", () => {
  const V = "iptables-restore v1.8.9 (nf_tables): ";
  // Recorded from the tool with -n, without its closing hint at the manual.
  test.each<[text: string, line: number, error: string]>([
    [
      "*filter\n:FOO - [0:0]\n-A FOO -j BAR\nCOMMIT\n",
      4,
      `${V}Chain 'BAR' does not exist\nError occurred at line: 4`,
    ],
    [
      "*filter\n-A NOPE -j ACCEPT\nCOMMIT\n",
      2,
      "iptables-restore: line 2 failed: No chain/target/match by that name.",
    ],
    [
      "*filter\n-A FORWARD -j ACCEPT -m bogus\nCOMMIT\n",
      2,
      `${V}Couldn't load match \`bogus':No such file or directory\n\nError occurred at line: 2`,
    ],
    [
      "*filter\n-A FORWARD --bogus\nCOMMIT\n",
      2,
      `${V}unknown option "--bogus"\nError occurred at line: 2`,
    ],
    [
      "*filter\n-A FORWARD --dport 7 -j ACCEPT\nCOMMIT\n",
      2,
      `${V}unknown option "--dport"\nError occurred at line: 2`,
    ],
    [
      "*filter\n-A FORWARD -p tcp --dport fooo\nCOMMIT\n",
      2,
      `${V}invalid port/service \`fooo' specified\nError occurred at line: 2`,
    ],
    [
      "*filter\n-A FORWARD -s 1.2.3.400\nCOMMIT\n",
      2,
      `${V}host/network \`1.2.3.400' not found\nError occurred at line: 2`,
    ],
    [
      "*filter\n-A FORWARD -s 1.2.3.4/33\nCOMMIT\n",
      2,
      `${V}invalid mask \`33' specified\nError occurred at line: 2`,
    ],
    [
      "*filter\n-A FORWARD -p bogus\nCOMMIT\n",
      2,
      `${V}unknown protocol "bogus" specified\nError occurred at line: 2`,
    ],
    ["*filter\n-A FORWARD -j ACCEPT\n", 3, "iptables-restore: COMMIT expected at line 3"],
    ["garbage\n", 1, "iptables-restore: line 1 failed"],
    ["COMMIT\n", 1, "iptables-restore: line 1 failed"],
    ["-A FORWARD -j ACCEPT\n", 1, "iptables-restore: line 1 failed"],
    ["*filter\ngarbage\nCOMMIT\n", 2, "Bad argument `garbage'\nError occurred at line: 2"],
    ["*filter\n:FORWARD BOGUS\nCOMMIT\n", 2, "iptables-restore: line 2 failed: Bad policy name."],
    [
      "*filter\n:FORWARD\nCOMMIT\n",
      2,
      `${V}iptables-restore: line 2 policy invalid\nError occurred at line: 2`,
    ],
    [
      "*bogus\nCOMMIT\n",
      1,
      `${V}iptables-restore: line 1 table name 'bogus' invalid\nError occurred at line: 1`,
    ],
    [
      "*filter\n-A FORWARD -j DNAT --to-destination 1.2.3.4\nCOMMIT\n",
      2,
      `${V}\nline 2: RULE_APPEND failed (Invalid argument): rule in chain FORWARD`,
    ],
    [
      "*filter\n-A FORWARD -i eth0 -o -j ACCEPT\nCOMMIT\n",
      2,
      "Bad argument `ACCEPT'\nError occurred at line: 2",
    ],
    [
      "*filter\n-A INPUT -o eth0 -j ACCEPT\nCOMMIT\n",
      2,
      `${V}Can't use -o with INPUT\n\nError occurred at line: 2`,
    ],
    [
      "*filter\n-A FORWARD -i aaaaaaaaaaaaaaaaaaaa\nCOMMIT\n",
      2,
      `${V}interface name \`aaaaaaaaaaaaaaaaaaaa' must be shorter than IFNAMSIZ (15)\nError occurred at line: 2`,
    ],
    [
      "*filter\n-D FORWARD -i zzz -j ACCEPT\nCOMMIT\n",
      2,
      "iptables-restore: line 2 failed: Bad rule (does a matching rule exist in that chain?).",
    ],
    [
      "*filter\n-D FORWARD 77\nCOMMIT\n",
      2,
      "iptables-restore: line 2 failed: Index of deletion too big.",
    ],
    [
      "*filter\n-I FORWARD 77 -j DROP\nCOMMIT\n",
      2,
      "iptables-restore: line 2 failed: Index of insertion too big.",
    ],
    [
      "*filter\n-I FORWARD 0 -j DROP\nCOMMIT\n",
      2,
      `${V}Invalid rule number \`0'\nError occurred at line: 2`,
    ],
    [
      "*filter\n-X NOPE\nCOMMIT\n",
      2,
      "iptables-restore: line 2 failed: No chain/target/match by that name.",
    ],
    [
      "*filter\n-N A1\n-N A1\nCOMMIT\n",
      3,
      "iptables-restore: line 3 failed: Chain already exists.",
    ],
    ["*filter\n-N A A\nCOMMIT\n", 2, "Bad argument `A'\nError occurred at line: 2"],
    [
      "*filter\n:-a - [0:0]\nCOMMIT\n",
      2,
      `${V}chain name not allowed to start with \`-'\nError occurred at line: 2`,
    ],
    [
      "*filter\n:DROP - [0:0]\nCOMMIT\n",
      2,
      `${V}chain name may not clash with target name\nError occurred at line: 2`,
    ],
    ["*filter\n*nat\nCOMMIT\n", 2, "Bad argument `*nat'\nError occurred at line: 2"],
    [
      "*filter\n-A FORWARD -j ACCEPT\nCOMMIT junk\n",
      3,
      "Bad argument `COMMIT'\nError occurred at line: 3",
    ],
    ["*filter\n-A\nCOMMIT\n", 2, `${V}option "-A" requires an argument\nError occurred at line: 2`],
    [
      "*filter\n-A FORWARD -t nat -j DROP\nCOMMIT\n",
      2,
      `${V}The -t option cannot be used in iptables-restore.\n\nError occurred at line: 2`,
    ],
    [
      "*filter\n-A FORWARD -j ACCEPT -j DROP\nCOMMIT\n",
      2,
      `${V}multiple -j flags not allowed\nError occurred at line: 2`,
    ],
    [
      "*filter\n-A FORWARD -s 1.1.1.1 -s 2.2.2.2\nCOMMIT\n",
      2,
      `${V}multiple -s flags not allowed\nError occurred at line: 2`,
    ],
    [
      "*filter\n-A FORWARD ! -j DROP\nCOMMIT\n",
      2,
      `${V}cannot have ! before -j\nError occurred at line: 2`,
    ],
    [
      "*filter\n-A FORWARD -m mark\nCOMMIT\n",
      2,
      `${V}mark: option "--mark" must be specified\n\nError occurred at line: 2`,
    ],
    [
      "*nat\n-A PREROUTING -j DROP\nCOMMIT\n",
      2,
      `${V}\nThe "nat" table is not intended for filtering, the use of DROP is therefore inhibited.\n\n\nError occurred at line: 2`,
    ],
    [
      "*filter\n:L1 - [0:0]\n:L2 - [0:0]\n-A FORWARD -j L1\n-A L1 -j L2\n-A L2 -j L1\nCOMMIT\n",
      6,
      `${V}\nline 6: RULE_APPEND failed (Too many links): rule in chain L2`,
    ],
  ])("%j", (text, line, error) => {
    const own = tables();
    let met: unknown;
    try {
      own.restore(text, { noflush: true });
    } catch (caught) {
      met = caught;
    }
    expect(met).toBeInstanceOf(IptablesError);
    expect((met as IptablesError).message).toBe(error);
    expect((met as IptablesError).line).toBe(line);
    expect(own.list("filter")).toEqual([
      "-P INPUT ACCEPT",
      "-P FORWARD ACCEPT",
      "-P OUTPUT ACCEPT",
    ]);
  });
});

const BEFORE = `*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:MINE - [0:0]
:OTHER - [0:0]
-A FORWARD -j MINE
-A MINE -s 10.0.0.1/32 -j ACCEPT
-A OTHER -j RETURN
COMMIT
`;

describe("restore", () => {
  test.each<[name: string, text: string, noflush: boolean, lists: string[]]>([
    [
      "without --noflush replaces the table",
      "*filter\n:NEW - [0:0]\n-A FORWARD -j NEW\nCOMMIT\n",
      false,
      ["-P INPUT ACCEPT", "-P FORWARD ACCEPT", "-P OUTPUT ACCEPT", "-N NEW", "-A FORWARD -j NEW"],
    ],
    [
      "with --noflush empties the user chains that it declares",
      "*filter\n:MINE - [0:0]\n:FORWARD ACCEPT [0:0]\n-A MINE -j RETURN\nCOMMIT\n",
      true,
      [
        "-P INPUT ACCEPT",
        "-P FORWARD ACCEPT",
        "-P OUTPUT ACCEPT",
        "-N MINE",
        "-N OTHER",
        "-A FORWARD -j MINE",
        "-A MINE -j RETURN",
        "-A OTHER -j RETURN",
      ],
    ],
    [
      "flushes and deletes, as kube-proxy does with chains that it no longer needs",
      "*filter\n:OTHER - [0:0]\n-X OTHER\n-D FORWARD -j MINE\n-F MINE\n-X MINE\nCOMMIT\n",
      true,
      ["-P INPUT ACCEPT", "-P FORWARD DROP", "-P OUTPUT ACCEPT"],
    ],
    [
      "inserts, replaces, sets policies, renames",
      "*filter\n-I FORWARD 1 -s 1.1.1.1 -j OTHER\n-I FORWARD -s 1.1.1.2 -j OTHER\n-R MINE 1 -j DROP\n-P FORWARD ACCEPT\n-N X\n-E X Y\n-Z\nCOMMIT\n",
      true,
      [
        "-P INPUT ACCEPT",
        "-P FORWARD ACCEPT",
        "-P OUTPUT ACCEPT",
        "-N MINE",
        "-N OTHER",
        "-N Y",
        "-A FORWARD -s 1.1.1.2/32 -j OTHER",
        "-A FORWARD -s 1.1.1.1/32 -j OTHER",
        "-A FORWARD -j MINE",
        "-A MINE -j DROP",
        "-A OTHER -j RETURN",
      ],
    ],
    [
      "takes blanks, comments and long names",
      "# comment\n*filter \n  --append MINE   --jump DROP\n\n# another\n--flush OTHER\nCOMMIT\n",
      true,
      [
        "-P INPUT ACCEPT",
        "-P FORWARD DROP",
        "-P OUTPUT ACCEPT",
        "-N MINE",
        "-N OTHER",
        "-A FORWARD -j MINE",
        "-A MINE -s 10.0.0.1/32 -j ACCEPT",
        "-A MINE -j DROP",
      ],
    ],
  ])("%s", (_, text, noflush, lists) => {
    const own = tables();
    own.restore(BEFORE);
    expect(own.save()).toBe(BEFORE);
    own.restore(text, { noflush });
    expect(own.list("filter")).toEqual(lists);
  });

  test("a table that fails stays as it was; those committed before it do not", () => {
    const own = tables();
    own.restore(BEFORE);
    const text =
      "*mangle\n:A - [0:0]\nCOMMIT\n*filter\n-F\n-A FORWARD -j NOWHERE\nCOMMIT\n*raw\n:B - [0:0]\nCOMMIT\n";
    expect(() => own.restore(text, { noflush: true })).toThrow("Chain 'NOWHERE' does not exist");
    expect(own.hasChain("mangle", "A")).toBe(true);
    expect(own.save("filter")).toBe(BEFORE);
    expect(own.hasChain("raw", "B")).toBe(false);
  });

  test("calls may be 15 deep and no deeper, as in the kernel", () => {
    const chains = Array.from({ length: 17 }, (_, i) => `C${i + 1}`);
    const calls = chains.slice(1).map((name, i) => `-A C${i + 1} -j ${name}\n`);
    const text = (first: string) =>
      `*filter\n${chains.map((name) => `:${name} - [0:0]\n`).join("")}${calls.join("")}-A FORWARD -j ${first}\nCOMMIT\n`;
    expect(() => tables().restore(text("C2"))).toThrow("RULE_APPEND failed (Too many links)");
    expect(() => tables().restore(text("C3"))).not.toThrow();
  });
});
