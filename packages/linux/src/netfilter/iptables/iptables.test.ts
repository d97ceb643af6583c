import { Data, formatIp, parseIp } from "@cnilab/net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Lab } from "../../../test/lab.ts";
import { Router, udp } from "../../../test/router.ts";
import { trackedFamilies } from "../../../test/tracked-families.ts";
import { UdpSocket } from "../../socket/udp.ts";
import { HOOK_NAMES, NFPROTO_IPV4 } from "../hooks.ts";
import { IptablesError } from "./iptables-error.ts";

const UDP = udp("10.0.1.2:4000", "10.0.2.2:53", 72);

/** The steps of rules and tables that the last packet met, one line each. */
function steps(router: Router): string[] {
  return router.trace.steps.flatMap((s) => {
    if (s.kind === "rule") return [`${s.rule.location}: ${s.effect} (${s.evaluated})`];
    return s.kind === "hook"
      ? [`${s.table} ${HOOK_NAMES[s.hook]} ${s.verdict} (${s.evaluated})`]
      : [];
  });
}

describe("a walk", () => {
  test("through every table, in the order of the kernel's priorities", () => {
    const router = new Router();
    const tables = router.netns.iptables(4);
    const chains = {
      filter: ["FORWARD"],
      nat: ["POSTROUTING", "PREROUTING"],
      mangle: ["POSTROUTING", "FORWARD", "PREROUTING"],
      security: ["FORWARD"],
      raw: ["PREROUTING"],
    };
    for (const [table, names] of Object.entries(chains)) {
      for (const chain of names) tables.append(table, chain, "-j ACCEPT");
    }
    router.pass(UDP, router.left);
    expect(steps(router).filter((line) => line.startsWith("iptables"))).toEqual([
      "iptables raw PREROUTING 1 (1)",
      "iptables mangle PREROUTING 1 (1)",
      "iptables nat PREROUTING 1 (1)",
      "iptables mangle FORWARD 1 (1)",
      "iptables filter FORWARD 1 (1)",
      "iptables security FORWARD 1 (1)",
      "iptables mangle POSTROUTING 1 (1)",
      "iptables nat POSTROUTING 1 (1)",
    ]);
  });

  test("shows rules that took effect, and counts those that the kernel evaluated", () => {
    const router = new Router();
    router.netns.iptables(4).restore(`*filter
:FORWARD DROP [0:0]
:A - [0:0]
:B - [0:0]
-A FORWARD -p tcp -j ACCEPT
-A FORWARD -p udp -j A
-A FORWARD -m comment --comment "only counted"
-A A -s 10.9.9.9 -j DROP
-A A -j MARK --set-mark 0x5
-A A -j B
-A A -j DROP -p tcp
-A B -m mark --mark 0x5 -j RETURN
-A B -j DROP
COMMIT
`);
    router.pass(UDP, router.left);
    expect(steps(router)).toEqual([
      "filter FORWARD: jump A (2)",
      "filter A: mark 0x5 (2)",
      "filter A: jump B (3)",
      "filter B: RETURN (1)",
      "filter FORWARD: continue (3)",
      "filter FORWARD: DROP (3)",
      "iptables filter FORWARD 0 (8)",
    ]);
    expect(router.drop).toMatchObject({
      reason: "NETFILTER_DROP",
      dev: router.left,
      rule: { location: "filter FORWARD", text: "-P FORWARD DROP" },
    });
  });

  test.each<[how: string, verdict: string, accepted: boolean]>([
    // FORWARD calls A, which ends behind B: a jump comes back to A, a goto to FORWARD
    ["-j", "RETURN", false],
    ["-g", "RETURN", true],
    ["-j", "ACCEPT", true],
    ["-g", "ACCEPT", true],
  ])("A calls B with %s, B ends with %s", (how, verdict, accepted) => {
    const router = new Router();
    router.netns.iptables(4).restore(`*filter
:A - [0:0]
:B - [0:0]
-A FORWARD -j A
-A FORWARD -j ACCEPT
-A A ${how} B
-A A -j DROP
-A B -j ${verdict}
COMMIT
`);
    router.pass(UDP, router.left);
    expect(router.drop?.rule === undefined).toBe(accepted);
  });

  test("a rule's origin is in the trace and in the drop", () => {
    const router = new Router();
    const origin = { kind: "NetworkPolicy", namespace: "shop", name: "deny" };
    router.netns.iptables(4).append("filter", "FORWARD", "-d 10.0.2.2 -j DROP", origin);
    router.pass(UDP, router.left);
    expect(router.drop?.rule).toMatchObject({
      location: "filter FORWARD",
      text: "-A FORWARD -d 10.0.2.2/32 -j DROP",
      origin,
    });
  });

  test("IPv6 packets meet ip6tables only", () => {
    const router = new Router();
    router.netns.iptables(4).append("filter", "FORWARD", "-j ACCEPT");
    router.netns.iptables(6).append("filter", "FORWARD", "-j DROP");
    router.pass(UDP, router.left);
    expect(router.drop?.rule).toBeUndefined();
    router.pass(udp("[fd00:1::2]:4000", "[fd00:2::2]:53"), router.left);
    expect(router.drop?.rule?.text).toBe("-A FORWARD -j DROP");
    expect(steps(router)).toContain("ip6tables filter FORWARD 0 (1)");
  });

  test("packets of this machine's own pass OUTPUT, those for it INPUT", () => {
    const router = new Router();
    const tables = router.netns.iptables(4);
    tables.append("filter", "OUTPUT", "-o lo -j ACCEPT");
    tables.append("filter", "INPUT", "-i lo -j ACCEPT");
    new UdpSocket(router.netns, { localPort: 53, owner: "server" });
    new UdpSocket(router.netns, { owner: "client" }).sendTo(parseIp("127.0.0.1"), 53, new Data(2));
    expect(tables.counts("filter", "OUTPUT")).toEqual([{ packets: 1, bytes: 30 }]);
    expect(tables.counts("filter", "INPUT")).toEqual([{ packets: 1, bytes: 30 }]);
  });
});

describe("counts", () => {
  test("of rules and policies, with packets and bytes", () => {
    const router = new Router();
    const tables = router.netns.iptables(4);
    tables.append("filter", "FORWARD", "-p tcp");
    tables.append("filter", "FORWARD", "-p udp");
    for (let i = 0; i < 3; i++) router.pass(UDP, router.left);
    expect(tables.save("filter", { counters: true })).toBe(`*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [3:300]
:OUTPUT ACCEPT [0:0]
[0:0] -A FORWARD -p tcp
[3:300] -A FORWARD -p udp
COMMIT
`);
  });

  test("repeated flows count like walked ones", () => {
    const lab = new Lab();
    const client = lab.host("client", "10.0.0.1/24");
    const server = lab.host("server", "10.0.0.2/24");
    new UdpSocket(server, { localPort: 53, owner: "server" });
    const tables = server.iptables(4);
    tables.append("filter", "INPUT", "-p udp -m udp --dport 53");
    const socket = new UdpSocket(client, { owner: "client" });
    for (let i = 0; i < 50; i++) socket.sendTo(parseIp("10.0.0.2"), 53, new Data(72));
    expect(tables.counts("filter", "INPUT")).toEqual([{ packets: 50, bytes: 5000 }]);
    expect(tables.save()).toContain(":INPUT ACCEPT [50:5000]");
  });

  test("a repeated flow notices a new rule", () => {
    const lab = new Lab();
    const client = lab.host("client", "10.0.0.1/24");
    const server = lab.host("server", "10.0.0.2/24");
    let received = 0;
    new UdpSocket(server, {
      localPort: 53,
      owner: "server",
      onReceive: () => {
        received++;
      },
    });
    const socket = new UdpSocket(client, { owner: "client" });
    const send = () => socket.sendTo(parseIp("10.0.0.2"), 53, new Data(72));
    for (let i = 0; i < 5; i++) send();
    server.iptables(4).append("filter", "INPUT", "-j DROP");
    send();
    server.iptables(4).flush("filter");
    send();
    expect(received).toBe(6);
  });

  test("stay with rules when others change, and go with the rule", () => {
    const router = new Router();
    const tables = router.netns.iptables(4);
    tables.append("filter", "FORWARD", "-p udp");
    router.pass(UDP, router.left);
    tables.insert("filter", "FORWARD", "-p tcp");
    expect(tables.counts("filter", "FORWARD").map((c) => c.packets)).toEqual([0, 1]);
    tables.delete("filter", "FORWARD", "-p udp");
    tables.append("filter", "FORWARD", "-p udp");
    expect(tables.counts("filter", "FORWARD").map((c) => c.packets)).toEqual([0, 0]);
  });

  test("are taken over by restore -c only", () => {
    const tables = new Router().netns.iptables(4);
    const text = `*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [7:700]
:OUTPUT ACCEPT [0:0]
[5:600] -A FORWARD -p udp -j ACCEPT
COMMIT
`;
    tables.restore(text);
    expect(tables.save("filter", { counters: true })).toContain("[0:0] -A FORWARD");
    tables.restore(text, { counters: true });
    expect(tables.save("filter", { counters: true })).toBe(text);
  });
});

describe("tables and their hooks", () => {
  test("appear when somebody uses them", () => {
    const { initNs } = new Lab().host("host").kernel;
    expect(initNs.findIptables(4)).toBeUndefined();
    const tables = initNs.iptables(4);
    expect(tables.save()).toBe("");
    expect(initNs.hooks).toBeUndefined();
    tables.newChain("filter", "MINE");
    expect(initNs.hooks).toBeUndefined();
    expect(tables.save()).toBe(`*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:MINE - [0:0]
COMMIT
`);
    tables.append("filter", "FORWARD", "-j MINE");
    const names = [0, 1, 2, 3, 4].flatMap((hook) =>
      (initNs.netfilter.at(NFPROTO_IPV4, hook as 0) ?? []).map((fn) => fn.name),
    );
    expect(names).toEqual(["iptables filter FORWARD"]);
  });

  test.each<[rule: string, table: string, chain: string, tracked: boolean]>([
    ["-m conntrack --ctstate NEW", "filter", "FORWARD", true],
    ["-m state --state NEW", "filter", "FORWARD", true],
    ["-m connmark --mark 1", "filter", "FORWARD", true],
    ["-j CONNMARK --save-mark", "mangle", "FORWARD", true],
    ["-j CT --zone 5", "raw", "PREROUTING", true],
    ["-j CT --notrack", "raw", "PREROUTING", false],
    ["-j MASQUERADE", "nat", "POSTROUTING", true],
    ["-j ACCEPT", "nat", "POSTROUTING", false],
    ["-p udp -j ACCEPT", "filter", "FORWARD", false],
    ["-j MARK --set-mark 1", "mangle", "FORWARD", false],
  ])("a rule %s turns connection tracking on: %s", (rule, table, chain, tracked) => {
    const host = new Lab().host("host");
    host.iptables(4).append(table, chain, rule);
    expect(trackedFamilies(host)).toEqual(tracked ? [4] : []);
  });

  test("are saved in the tool's order, chains by name", () => {
    const tables = new Lab().host("host").iptables(4);
    for (const table of ["nat", "filter", "raw", "security", "mangle"]) {
      tables.newChain(table, "ZED");
      tables.newChain(table, "ABE");
    }
    const lines = tables.save().split("\n");
    expect(lines.filter((line) => line.startsWith("*"))).toEqual([
      "*mangle",
      "*security",
      "*raw",
      "*filter",
      "*nat",
    ]);
    expect(tables.list("raw")).toEqual([
      "-P PREROUTING ACCEPT",
      "-P OUTPUT ACCEPT",
      "-N ABE",
      "-N ZED",
    ]);
  });
});

describe("commands", () => {
  test("append, insert, delete, check, flush and policies", () => {
    const tables = new Lab().host("host").iptables(4);
    tables.append("filter", "FORWARD", "-s 10.0.0.1");
    tables.append("filter", "FORWARD", "-s 10.0.0.2,10.0.0.3");
    tables.insert("filter", "FORWARD", "-s 10.0.0.4");
    tables.insert("filter", "FORWARD", "-s 10.0.0.5", 2);
    expect(tables.check("filter", "FORWARD", "--source 10.0.0.5/255.255.255.255")).toBe(true);
    tables.delete("filter", "FORWARD", "-s 10.0.0.1/32");
    expect(tables.check("filter", "FORWARD", "-s 10.0.0.1")).toBe(false);
    expect(tables.check("filter", "NOWHERE", "-s 10.0.0.1")).toBe(false);
    tables.setPolicy("filter", "FORWARD", "DROP");
    expect(tables.list("filter", "FORWARD")).toEqual([
      "-P FORWARD DROP",
      "-A FORWARD -s 10.0.0.4/32",
      "-A FORWARD -s 10.0.0.5/32",
      "-A FORWARD -s 10.0.0.2/32",
      "-A FORWARD -s 10.0.0.3/32",
    ]);
    tables.flush("filter", "FORWARD");
    expect(tables.list("filter", "FORWARD")).toEqual(["-P FORWARD DROP"]);
  });

  // Recorded from iptables 1.8.9 (nf_tables): chains ABE (calls ZED) and ZED are in nat.
  const V = "iptables v1.8.9 (nf_tables): ";
  test.each<[command: string, error: string]>([
    ["-X ZED", `${V} CHAIN_DEL failed (Device or resource busy): chain ZED`],
    ["-X ABE", `${V} CHAIN_DEL failed (Device or resource busy): chain ABE`],
    ["-A ABE -j NOPE", `${V}Chain 'NOPE' does not exist`],
    ["-A ABE -g ACCEPT", `${V}Chain 'ACCEPT' does not exist`],
    ["-A NOPE -j ACCEPT", "iptables: No chain/target/match by that name."],
    ["-D ABE -j ACCEPT", "iptables: Bad rule (does a matching rule exist in that chain?)."],
    ["-D NOPE -j ACCEPT", "iptables: Bad rule (does a matching rule exist in that chain?)."],
    ["-N ABE", "iptables: Chain already exists."],
    ["-N PREROUTING", "iptables: Chain already exists."],
    ["-N ACCEPT", `${V}chain name may not clash with target name`],
    ["-X NOPE", "iptables: No chain/target/match by that name."],
    ["-F NOPE", "iptables: No chain/target/match by that name."],
    ["-I ABE 5 -j ACCEPT", "iptables: Index of insertion too big."],
    [
      "-P PREROUTING DROP",
      `${V}\nThe "nat" table is not intended for filtering, the use of DROP is therefore inhibited.\n\n`,
    ],
    ["-P ABE ACCEPT", "iptables: Bad built-in chain name."],
    [
      "-N aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
      `${V}chain name \`aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' too long (must be under 29 chars)`,
    ],
  ])("iptables -t nat %s: its own words", (command, error) => {
    const tables = new Lab().host("host").iptables(4);
    tables.newChain("nat", "ZED");
    tables.newChain("nat", "ABE");
    tables.append("nat", "ABE", "-j ZED");
    const before = tables.save();
    const [letter = "", chain = "", ...words] = command.split(" ");
    const run: Record<string, () => void> = {
      "-A": () => tables.append("nat", chain, words.join(" ")),
      "-I": () => tables.insert("nat", chain, words.slice(1).join(" "), Number(words[0])),
      "-D": () => tables.delete("nat", chain, words.join(" ")),
      "-N": () => tables.newChain("nat", chain),
      "-X": () => tables.deleteChain("nat", chain),
      "-F": () => tables.flush("nat", chain),
      "-P": () => tables.setPolicy("nat", chain, words[0] as "DROP"),
    };
    let met: unknown;
    try {
      run[letter]?.();
    } catch (caught) {
      met = caught;
    }
    expect(met).toBeInstanceOf(IptablesError);
    expect((met as IptablesError).message).toBe(error);
    expect(tables.save()).toBe(before);
  });

  test("a table that does not exist", () => {
    const tables = new Lab().host("host").iptables(6);
    expect(() => tables.list("bogus")).toThrow(
      "ip6tables v1.8.9 (nf_tables): table 'bogus' does not exist\nPerhaps ip6tables or your kernel needs to be upgraded.",
    );
  });
});

describe("text that is not rules", () => {
  const word = fc.oneof(
    fc.constantFrom(
      ..."! -s -d -i -o -p -j -g -m -f -c --dport --sport --comment --mark --ctstate --to-destination tcp udp icmp comment mark conntrack recent statistic limit multiport ACCEPT DROP MARK DNAT LOG REJECT --set-mark --probability --mode random nth --name --set --limit 10.0.0.1 10.0.0.0/8 0x1/0x1 80 80:90 eth0 +".split(
        " ",
      ),
    ),
    fc.string({ maxLength: 12 }),
    fc.constantFrom('"', "\\", '"a b"', "'", "::", "-", "--", "---"),
  );
  const rule = fc.array(word, { maxLength: 12 }).map((words) => words.join(" "));

  test("is refused with an IptablesError, or is a rule that prints as it was read", () => {
    fc.assert(
      fc.property(rule, fc.constantFrom<4 | 6>(4, 6), (text, family) => {
        const tables = new Lab().host("host").iptables(family);
        try {
          tables.append("mangle", "FORWARD", text);
        } catch (error) {
          expect(error).toBeInstanceOf(IptablesError);
          return;
        }
        const saved = tables.save();
        const again = new Lab().host("host").iptables(family);
        again.restore(saved);
        expect(again.save()).toBe(saved);
      }),
      { numRuns: 2000 },
    );
  });

  test("whole texts, too", () => {
    const line = fc.oneof(
      fc.constantFrom(
        "*filter",
        "*nat",
        "*bogus",
        "COMMIT",
        ":A - [0:0]",
        ":FORWARD DROP [1:2]",
        "-X",
        "-F",
        "-N A",
        "-X A",
        "-A A -j A",
        "-D A 1",
        "-I A",
        "# x",
        "",
      ),
      rule.map((text) => `-A FORWARD ${text}`),
      fc.string(),
    );
    fc.assert(
      fc.property(fc.array(line, { maxLength: 10 }), (lines) => {
        const tables = new Lab().host("host").iptables(4);
        try {
          tables.restore(lines.join("\n"));
        } catch (error) {
          expect(error).toBeInstanceOf(IptablesError);
        }
        const saved = tables.save();
        const again = new Lab().host("host").iptables(4);
        again.restore(saved);
        expect(again.save()).toBe(saved);
      }),
      { numRuns: 1000 },
    );
  });
});

test("addresses in a trace are those that the rule saw", () => {
  const router = new Router();
  router.netns
    .iptables(4)
    .append("nat", "PREROUTING", "-p udp -j DNAT --to-destination 10.0.2.9:99");
  router.netns.iptables(4).append("filter", "FORWARD", "-d 10.0.2.9 -j ACCEPT");
  const leaves = router.pass(UDP, router.left);
  expect(formatIp(leaves?.dst ?? 0)).toBe("10.0.2.9");
  expect(steps(router)).toContain("filter FORWARD: ACCEPT (1)");
});
