import { IPPROTO_UDP, type IpFamily, type IpPacket, parseIp } from "@cnilab/net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cable, connect, Lab, outcome, ping as pingTo, serve, up } from "../../../test/lab.ts";
import { ends, ping, Router, sctp, tcp, udp } from "../../../test/router.ts";
import { trackedFamilies } from "../../../test/tracked-families.ts";
import type { NetNamespace } from "../../net-namespace.ts";
import type { Exchange } from "../../socket/exchange.ts";
import { NftablesError } from "./nftables-error.ts";
import { NftTableLayer } from "./table-layer.ts";

const CLIENT = "10.0.1.2:4000";
const SERVER = "10.0.2.2:80";
const SYN = tcp(CLIENT, SERVER, "S");
const QUERY = udp(CLIENT, "10.0.2.2:53");

/** A base chain of a table of its own. */
function chain(hook: string, rules: string, type = "filter", priority = "filter"): string {
  return `table ip t { chain c { type ${type} hook ${hook} priority ${priority}\n ${rules}\n } }`;
}

/** How often each table's rules were evaluated, in the order of the hooks. */
function evaluations(router: Router): string[] {
  return router.trace.steps.flatMap((s) =>
    s.kind === "hook" ? [`${s.table} ${s.evaluated}`] : [],
  );
}

function effects(router: Router): string[] {
  return router.trace.steps.flatMap((s) =>
    s.kind === "rule" ? [`${s.rule.location} ${s.evaluated}: ${s.effect}`] : [],
  );
}

describe("a rule of the forward hook", () => {
  // Outcomes as nft(8) describes each expression.
  test.each<[rule: string, packet: IpPacket, passes: boolean]>([
    ["drop", SYN, false],
    ["ip saddr 10.0.1.2 drop", SYN, false],
    ["ip saddr 10.0.1.3 drop", SYN, true],
    ["ip saddr != 10.0.1.3 drop", SYN, false],
    ["ip daddr 10.0.2.0/24 drop", SYN, false],
    ["ip daddr 10.0.2.0/31 drop", SYN, true],
    ["ip daddr 10.0.2.1-10.0.2.9 drop", SYN, false],
    ["ip daddr != 10.0.2.1-10.0.2.9 drop", SYN, true],
    ["ip daddr > 10.0.2.1 drop", SYN, false],
    ["ip daddr < 10.0.2.2 drop", SYN, true],
    ["tcp dport 80 drop", SYN, false],
    ["tcp dport 80 drop", udp(CLIENT, SERVER), true],
    ["th dport 80 drop", udp(CLIENT, SERVER), false],
    // Whatever stands there: of an echo request type and code, and the checksum.
    ["th dport != 80 drop", ping("10.0.1.2", "10.0.2.2", 1), false],
    ["th sport 0x0800 drop", ping("10.0.1.2", "10.0.2.2", 1), false],
    ["ip saddr . th dport != { 10.0.1.2 . 80 } drop", ping("10.0.1.2", "10.0.2.2", 1), false],
    ["tcp dport { 22, 80-90 } drop", SYN, false],
    ["tcp dport != { 22, 80-90 } drop", SYN, true],
    ["tcp flags syn drop", SYN, false],
    ["tcp flags syn / syn,ack drop", tcp(CLIENT, SERVER, "SA"), true],
    ["tcp flags == syn drop", tcp(CLIENT, SERVER, "SA"), true],
    ["tcp flags ! syn drop", SYN, true],
    ["sctp dport 80 drop", sctp(CLIENT, SERVER, 1, 0, 7), false],
    ["icmp type echo-request drop", ping("10.0.1.2", "10.0.2.2", 1), false],
    ["icmp type echo-reply drop", ping("10.0.1.2", "10.0.2.2", 1), true],
    ["meta l4proto { tcp, udp } drop", SYN, false],
    ["meta l4proto != tcp drop", SYN, true],
    ["ip protocol udp drop", QUERY, false],
    ['iifname "left" oifname "right" drop', SYN, false],
    ['iifname "ri*" drop', SYN, true],
    ['iifname { "le*", "lo" } drop', SYN, false],
    ["iif left drop", SYN, false],
    ["meta mark 0 drop", SYN, false],
    ["meta mark & 0xff != 0 drop", SYN, true],
    ["meta mark set 0x12\n meta mark & 0x10 == 0x10 drop", SYN, false],
    ["meta mark set meta mark | 0x4000\n meta mark 0x4000/18 drop", SYN, false],
    ["ct mark set 5\n ct mark 5 drop", SYN, false],
    ["ct state new drop", SYN, false],
    ["ct state established,related drop", SYN, true],
    ["ct state vmap { new : drop, invalid : accept }", SYN, false],
    ["ct direction original drop", SYN, false],
    ["ct original ip daddr 10.0.2.2 drop", SYN, false],
    ["ip saddr . tcp dport { 10.0.1.2 . 80 } drop", SYN, false],
    ["ip saddr . tcp dport { 10.0.1.2 . 81 } drop", SYN, true],
    ["ip saddr . ip daddr { 10.0.1.0/24 . 10.0.2.1-10.0.2.9 } drop", SYN, false],
    ["ip saddr . ip daddr { 10.0.1.0/24 . 10.0.2.3-10.0.2.9 } drop", SYN, true],
    ["ip saddr vmap { 10.0.1.2 : drop, * : accept }", SYN, false],
    ["ip saddr vmap { 10.0.9.2 : accept, * : drop }", SYN, false],
    ["ip saddr vmap { 10.0.9.2 : drop }", SYN, true],
    ["fib daddr type local drop", SYN, true],
    ["fib daddr type unicast drop", SYN, false],
    ["fib saddr . iif oif missing drop", SYN, true],
    ["fib saddr . iif oif missing drop", tcp("10.9.9.9:1", SERVER, "S"), false],
    ['fib saddr oifname "left" drop', SYN, false],
    ["numgen inc mod 2 == 0 drop", SYN, false],
    ["numgen random mod 1 == 0 drop", SYN, false],
    ["jhash ip saddr mod 1 seed 1 == 0 drop", SYN, false],
    ["symhash mod 1 == 0 drop", SYN, false],
    ["limit rate 1/hour burst 1 packets accept\n drop", SYN, true],
    ["quota over 10 bytes drop", SYN, false],
    ["quota over 10 mbytes drop", SYN, true],
    ['counter log prefix "x" accept\n drop', SYN, true],
    ["return\n drop", SYN, true],
    ["continue\n drop", SYN, false],
    ["queue", SYN, false],
    ["queue flags bypass", SYN, true],
    ["ip ttl 63 drop", SYN, false],
    ["ip length 40 drop", SYN, false],
    ["meta length < 40 drop", SYN, true],
    ["meta pkttype host drop", SYN, false],
    ["meta nftrace set 1 drop", SYN, false],
    ["ip dscp cs1 drop", SYN, true],
  ])("%s", (rule, packet, passes) => {
    const router = new Router();
    router.netns.nftables.apply(chain("forward", rule));
    const left = router.pass(packet, router.left);
    expect(left !== undefined).toBe(passes);
    if (!passes) expect(router.network.takeDrops()[0]).toMatchObject({ reason: "NETFILTER_DROP" });
  });
});

describe("a chain", () => {
  const TABLE = `
    table ip t {
      chain base { type filter hook forward priority 0; policy drop
        ip saddr 10.0.9.9 accept
        jump one
        goto two
        accept
      }
      chain one { ip daddr 10.0.2.2 return
        drop
      }
      chain two { tcp dport 80 accept; }
    }`;

  test("is jumped to and gone to; the rules that were evaluated are counted", () => {
    const router = new Router();
    router.netns.nftables.apply(TABLE);
    expect(router.pass(SYN, router.left)).toBeDefined();
    expect(effects(router)).toEqual([
      "ip t base 2: jump one",
      "ip t one 1: return",
      "ip t base 3: goto two",
      "ip t two 1: accept",
    ]);
    expect(evaluations(router)).toEqual(["ip t base 5"]);
  });

  test("that was gone to ends with the policy of the base chain", () => {
    const router = new Router();
    router.netns.nftables.apply(TABLE);
    expect(router.pass(QUERY, router.left)).toBeUndefined();
    const [drop] = router.network.takeDrops();
    expect(drop?.rule).toMatchObject({ location: "ip t base", text: "policy drop" });
  });

  test("of ten thousand services costs one look-up", () => {
    const elements = Array.from(
      { length: 10_000 },
      (_, i) => `10.${96 + (i >> 8)}.0.${i & 255} . tcp . 80 : goto s`,
    );
    const router = new Router();
    router.netns.nftables.apply(`table ip t {
      map services { type ipv4_addr . inet_proto . inet_service : verdict
        elements = { ${elements.join(", ")} } }
      chain s { meta l4proto tcp dnat to 10.0.2.2:8080; }
      chain pre { type nat hook prerouting priority dstnat
        ip daddr . meta l4proto . th dport vmap @services }
    }`);
    expect(ends(router.pass(tcp(CLIENT, "10.130.0.7:80", "S"), router.left))).toBe(
      "10.0.1.2:4000 > 10.0.2.2:8080",
    );
    expect(evaluations(router)).toEqual(["ip t pre 2"]);
  });

  test("of the type route sends a marked packet another way", () => {
    const lab = new Lab();
    const host = lab.host("host", "10.0.0.1/24");
    lab.host("other", "10.0.0.2/24");
    const fwmark = { value: 7, mask: 0xff };
    host.fib4.addRule({ priority: 5, fwmark, action: { type: "prohibit" } });
    expect(outcome(pingTo(host, "10.0.0.2"))).toBe("connected");
    host.nftables.apply(chain("output", "meta mark set 7", "filter"));
    expect(outcome(pingTo(host, "10.0.0.2"))).toBe("connected");
    host.nftables.apply(`flush ruleset\n${chain("output", "meta mark set 7", "route")}`);
    expect(outcome(pingTo(host, "10.0.0.2"))).toContain("IP_OUTNOROUTES in host");
  });
});

describe("NAT", () => {
  test.each<[hook: string, rule: string, leaves: string]>([
    ["prerouting", "tcp dport 80 dnat to 10.0.2.9:8080", "10.0.1.2:4000 > 10.0.2.9:8080"],
    ["prerouting", "dnat to 10.0.2.9", "10.0.1.2:4000 > 10.0.2.9:80"],
    ["prerouting", "dnat to ip daddr map { 10.0.2.2 : 10.0.2.7 }", "10.0.1.2:4000 > 10.0.2.7:80"],
    ["prerouting", "dnat to ip daddr map { 10.0.2.3 : 10.0.2.7 }", "10.0.1.2:4000 > 10.0.2.2:80"],
    [
      "prerouting",
      "meta l4proto tcp dnat ip to ip daddr . tcp dport map { 10.0.2.2 . 80 : 10.0.2.7 . 8080 }",
      "10.0.1.2:4000 > 10.0.2.7:8080",
    ],
    [
      "prerouting",
      "dnat prefix to ip daddr map { 10.0.2.0/28 : 10.0.2.16/28 }",
      "10.0.1.2:4000 > 10.0.2.18:80",
    ],
    ["prerouting", "numgen inc mod 2 vmap { 0 : accept }", "10.0.1.2:4000 > 10.0.2.2:80"],
    ["postrouting", "masquerade", "10.0.2.1:4000 > 10.0.2.2:80"],
    ["postrouting", "snat to 10.0.2.77", "10.0.2.77:4000 > 10.0.2.2:80"],
    ["postrouting", "tcp dport 80 snat to 10.0.2.77:5000-5000", "10.0.2.77:5000 > 10.0.2.2:80"],
    ["postrouting", "ip saddr 10.0.9.0/24 masquerade", "10.0.1.2:4000 > 10.0.2.2:80"],
    ["postrouting", "meta mark 1 masquerade", "10.0.1.2:4000 > 10.0.2.2:80"],
  ])("at %s: %s", (hook, rule, leaves) => {
    const router = new Router();
    router.netns.nftables.apply(
      chain(hook, rule, "nat", hook === "prerouting" ? "dstnat" : "srcnat"),
    );
    expect(ends(router.pass(SYN, router.left))).toBe(leaves);
  });

  test("asks the rules once for a connection", () => {
    const router = new Router();
    router.netns.nftables.apply(chain("postrouting", "counter masquerade", "nat", "srcnat"));
    router.pass(QUERY, router.left);
    router.pass(QUERY, router.left);
    const { nftables } = router.netns.nftables.json() as unknown as { nftables: object[] };
    expect(nftables.at(-1)).toMatchObject({
      rule: { expr: [{ counter: { packets: 1, bytes: 38 } }, { masquerade: null }] },
    });
  });

  test("notrack leaves a packet alone", () => {
    const router = new Router();
    router.netns.nftables.apply(`
      ${chain("prerouting", "notrack", "filter", "raw")}
      add chain ip t f { type filter hook forward priority 0; }
      add rule ip t f ct state untracked accept
      add rule ip t f drop`);
    expect(router.pass(SYN, router.left)).toBeDefined();
    expect(router.connections).toEqual([]);
  });
});

describe("reject", () => {
  test.each<[rule: string, packet: IpPacket, answer: string]>([
    ["reject", QUERY, "icmp 3/3"],
    ["reject with icmp host-unreachable", SYN, "icmp 3/1"],
    ["reject with tcp reset", SYN, "reset"],
  ])("%s", (rule, packet, answer) => {
    const router = new Router();
    router.netns.nftables.apply(chain("forward", rule));
    const left = router.pass(packet, router.left);
    const payload = left?.payload as unknown as { type?: number; code?: number; flags?: number };
    expect(left?.dst).toBe(parseIp("10.0.1.2"));
    expect(payload.flags === undefined ? `icmp ${payload.type}/${payload.code}` : "reset").toBe(
      answer,
    );
  });
});

// nft src/evaluate.c stmt_reject_gen_dependency
test.each([
  ["reject with icmpv6 policy-fail", SYN, 0],
  ["reject with icmp host-prohibited", SYN, 1],
  ["reject with tcp reset", QUERY, 0],
  ["reject with tcp reset", SYN, 1],
])("a counter before `%s` counts what that rejects", (statement, packet, packets) => {
  const router = new Router();
  router.netns.nftables.apply(`table inet t { chain c {
    type filter hook forward priority 0
    counter ${statement}
  } }`);
  router.pass(packet, router.left);
  const { nftables } = router.netns.nftables.json() as unknown as { nftables: object[] };
  expect(JSON.stringify(nftables.at(-1))).toContain(`"packets":${packets},`);
});

describe("a dynamic set", () => {
  const AFFINITY = `table ip t {
    set seen { type ipv4_addr; size 2; flags dynamic,timeout; timeout 10s; }
    chain c { type filter hook forward priority 0
      ip saddr @seen drop
      update @seen { ip saddr }
    }
  }`;

  test("remembers sources for its time", () => {
    const router = new Router();
    router.netns.nftables.apply(AFFINITY);
    expect(router.pass(SYN, router.left)).toBeDefined();
    expect(router.pass(QUERY, router.left)).toBeUndefined();
    expect(router.netns.nftables.list()).toContain("elements = { 10.0.1.2 }");
    router.advance(10);
    expect(router.netns.nftables.list()).not.toContain("elements");
    expect(router.pass(QUERY, router.left)).toBeDefined();
  });

  test("takes no more than its size", () => {
    const router = new Router();
    router.netns.nftables.apply(AFFINITY);
    for (const host of [2, 3, 4]) router.pass(tcp(`10.0.1.${host}:1`, SERVER, "S"), router.left);
    expect(router.netns.nftables.list()).toContain("elements = { 10.0.1.2, 10.0.1.3 }");
  });
});

describe("a transaction", () => {
  test.each<[name: string, text: string, error: string]>([
    [
      "syntax",
      "add table ip t\nadd chain ip t",
      "2:15-15: Error: syntax error, unexpected end of file, expecting string",
    ],
    [
      "a chain that is not there",
      "add table ip t\nadd rule ip t c accept",
      "2:15-15: Error: Could not process rule: No such file or directory",
    ],
    [
      "a table that is not there",
      "add chain ip t c",
      "1:14-14: Error: Could not process rule: No such file or directory",
    ],
    [
      "a table that is there",
      "create table ip a",
      "1:17-17: Error: Could not process rule: File exists",
    ],
    [
      "an element that is there",
      "create element ip a s { 1.1.1.1 }",
      "1:25-31: Error: Could not process rule: File exists",
    ],
    [
      "an element that is not there",
      "delete element ip a s { 1.1.1.2 }",
      "1:25-31: Error: Could not process rule: No such file or directory",
    ],
    [
      "an element of another kind",
      "add element ip a s { 1.1.1.1-1.1.1.5 }",
      "1:22-28: Error: You must add 'flags interval' to your set declaration if you want to add intervals",
    ],
    [
      "a chain that is jumped to",
      "delete chain ip a to",
      "1:19-20: Error: Could not process rule: Device or resource busy",
    ],
    [
      "a set that is asked",
      "delete set ip a s",
      "1:17-17: Error: Could not process rule: Device or resource busy",
    ],
    ["a loop", "add rule ip a to jump to", "1:1-24: Error: Could not process rule: Too many links"],
    [
      "NAT in a filter chain",
      "add rule ip a base masquerade",
      "1:1-29: Error: Could not process rule: Operation not supported",
    ],
    [
      "another hook for a chain",
      "add chain ip a base { type filter hook input priority 0; }",
      "1:16-19: Error: Could not process rule: File exists",
    ],
    [
      "NAT at the forward hook",
      "add chain ip a n { type nat hook forward priority 0; }",
      "1:20-51: Error: Could not process rule: Operation not supported",
    ],
    [
      "a rule that is not there",
      "delete rule ip a base handle 99",
      "1:30-31: Error: Could not process rule: No such file or directory",
    ],
  ])("with %s changes nothing", (_name, text, error) => {
    const [netns] = new Lab().machine("test");
    netns.nftables.apply(`table ip a {
      set s { type ipv4_addr; elements = { 1.1.1.1 }; }
      chain to { accept; }
      chain base { type filter hook forward priority 0; ip saddr @s jump to; }
    }`);
    const before = netns.nftables.json();
    const apply = () =>
      netns.nftables.apply(`add table ip new\nadd chain ip a new\nflush chain ip a base`);
    expect(apply).not.toThrow();
    netns.nftables.apply(
      "delete table ip new\ndelete chain ip a new\nadd rule ip a base ip saddr @s jump to",
    );
    const restored = netns.nftables.json();
    expect(restored).not.toEqual(before);
    expect(() => netns.nftables.apply(text)).toThrow(error);
    expect(netns.nftables.json()).toEqual(restored);
  });

  test("whatever nonsense it is made of, is taken whole or not at all", () => {
    const words =
      'add create delete flush table chain rule set map element ip inet t c s { } ; : , . @s 10.0.0.0/8 tcp dport 80 accept jump vmap type ipv4_addr verdict hook filter prerouting priority nat dnat to meta mark and 0x1 "x" comment ct state new counter - ! = \n'.split(
        / /,
      );
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...words), { maxLength: 30 }), (some) => {
        const [netns] = new Lab().machine("test");
        netns.nftables.apply("table ip t {\n set s { type ipv4_addr; }\n chain c {\n }\n }");
        const before = netns.nftables.json();
        try {
          netns.nftables.apply(some.join(" "));
          const listing = netns.nftables.list();
          const [other] = new Lab().machine("other");
          other.nftables.apply(listing);
          expect(other.nftables.list()).toBe(listing);
        } catch (error) {
          expect(error).toBeInstanceOf(NftablesError);
          expect(netns.nftables.json()).toEqual(before);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe("a shared layer", () => {
  const LAYER = NftTableLayer.parse(`table ip kp {
    set local { type ipv4_addr; }
    chain base { type filter hook forward priority 0; jump services; }
    chain services { ip daddr @local counter drop; }
  }`);

  test("is in each namespace as if it were its own", () => {
    const router = new Router();
    router.netns.nftables.setLayer(LAYER);
    expect(router.pass(SYN, router.left)).toBeDefined();
    const own = new Router();
    own.netns.nftables.apply(router.netns.nftables.list());
    expect(own.netns.nftables.list()).toBe(router.netns.nftables.list());
    expect(evaluations(router)).toEqual(["ip kp base 2"]);
  });

  test("does not see what one namespace changes", () => {
    const [changed, other] = [new Router(), new Router()];
    for (const { netns } of [changed, other]) netns.nftables.setLayer(LAYER);
    changed.netns.nftables.apply("add element ip kp local { 10.0.2.2 }");
    expect(changed.pass(SYN, changed.left)).toBeUndefined();
    expect(other.pass(SYN, other.left)).toBeDefined();
    expect(other.netns.nftables.list()).not.toContain("10.0.2.2");
    expect(JSON.stringify(changed.netns.nftables.json())).toContain('"packets":1');
    expect(JSON.stringify(other.netns.nftables.json())).toContain('"packets":0');
  });

  test("can be replaced under what a namespace has of its own", () => {
    const router = new Router();
    const { nftables } = router.netns;
    nftables.setLayer(LAYER);
    nftables.apply("add element ip kp local { 10.0.2.2 }");
    const next = LAYER.with(
      "flush chain ip kp services\nadd rule ip kp services ip daddr @local accept\nadd rule ip kp services drop",
    );
    nftables.setLayer(next);
    expect(router.pass(SYN, router.left)).toBeDefined();
    expect(router.pass(udp(CLIENT, "10.0.2.3:53"), router.left)).toBeUndefined();
    nftables.setLayer(LAYER);
    expect(router.pass(SYN, router.left)).toBeUndefined();
    nftables.apply("delete table ip kp");
    expect(router.pass(SYN, router.left)).toBeDefined();
    expect(nftables.hasTable("ip", "kp")).toBe(false);
  });

  test("takes with it what packets put into a set that it has no longer", () => {
    const router = new Router();
    const { nftables } = router.netns;
    const seen = NftTableLayer.parse(`table ip kp {
      set seen { type ipv4_addr; flags dynamic,timeout; timeout 1m; }
      chain base { type filter hook forward priority 0; update @seen { ip saddr }; }
    }`);
    nftables.setLayer(seen);
    router.pass(SYN, router.left);
    expect(nftables.list()).toContain("10.0.1.2");
    const gone = seen.with("flush chain ip kp base\ndelete set ip kp seen");
    nftables.setLayer(seen.with("add chain ip kp another"));
    expect(nftables.list()).toContain("10.0.1.2");
    nftables.setLayer(gone);
    nftables.setLayer(seen);
    expect(nftables.list()).not.toContain("10.0.1.2");
  });

  test("brings base chains and takes them away", () => {
    const drops = (priority: number) =>
      `table ip kp { chain base { type filter hook forward priority ${priority}; drop; }\n }`;
    const router = new Router();
    const { nftables } = router.netns;
    nftables.setLayer(LAYER);
    const without = LAYER.with("flush chain ip kp base\ndelete chain ip kp base");
    nftables.setLayer(without);
    expect(router.pass(SYN, router.left)).toBeDefined();
    nftables.setLayer(without.with(drops(1)));
    expect(router.pass(SYN, router.left)).toBeUndefined();
    nftables.setLayer(without);
    nftables.apply(drops(2));
    expect(router.pass(SYN, router.left)).toBeUndefined();
    nftables.setLayer(LAYER.with("add chain ip kp another"));
    expect(router.pass(SYN, router.left)).toBeUndefined();
  });

  test("names the object that a chain is there for", () => {
    const router = new Router();
    const origin = { kind: "Service", name: "web" };
    router.netns.nftables.setLayer(
      LAYER.with("add rule ip kp services drop", {
        origin: (rule, chain) => (rule === "drop" && chain === "services" ? origin : undefined),
      }),
    );
    router.pass(SYN, router.left);
    const origins = router.trace.steps.map((s) => (s.kind === "rule" ? s.rule.origin : undefined));
    expect(origins).toContain(origin);
  });
});

// nf_hook_entries_grow; each asked of a 6.18 kernel.
describe("of base chains with one priority the newest is met first", () => {
  const drops = (table: string) =>
    `table ${table} { chain c { type filter hook output priority 0; counter; drop; }\n }`;
  const counts = (table: string) =>
    `table ${table} { chain c { type filter hook output priority 0; counter; }\n }`;

  test.each<[loaded: readonly string[], counted: number]>([
    [[drops("ip a"), counts("ip b")], 1],
    [[counts("ip b"), drops("ip a")], 0],
    [[`${drops("ip a")}\n${counts("ip b")}`], 1],
    [[drops("inet a"), counts("ip b")], 1],
    [[counts("ip b"), drops("inet a")], 0],
    [["iptables", counts("inet b")], 1],
    [[counts("inet b"), "iptables"], 0],
  ])("%j", (loaded, counted) => {
    const [netns] = new Lab().machine("a");
    for (const each of loaded) {
      if (each === "iptables") netns.iptables(4).append("filter", "OUTPUT", "-j DROP");
      else netns.nftables.apply(each);
    }
    pingTo(netns, "127.0.0.1");
    const counter = /"table":"b"[^[]*"expr":\[\{"counter":\{"packets":(\d)/;
    expect(counter.exec(JSON.stringify(netns.nftables.json()))?.[1]).toBe(String(counted));
  });
});

test("adding a set again changes how long its elements stay", () => {
  const { nftables } = new Router().netns;
  const set = (time: string) => `add set ip t s { type ipv4_addr; timeout ${time}; }`;
  nftables.apply(`add table ip t\n${set("1m")}\nadd element ip t s { 10.0.0.1 }`);
  nftables.apply(set("1h"));
  expect(nftables.list()).toContain("timeout 1h");
  expect(nftables.list()).toContain("10.0.0.1 timeout 1m");
});

test("a set that packets fill has a size", () => {
  const { nftables } = new Router().netns;
  nftables.apply(`table ip t {
    set s { type ipv4_addr; flags dynamic; }
    chain c { update @s { ip saddr }; }
  }`);
  expect(nftables.list()).toContain("size 65535");
});

test.each([
  ["prerouting", "ip daddr 10.0.0.1 tcp dport 8080 redirect to :80"],
  ["prerouting", "ip daddr 10.0.0.1 tcp dport 8080 redirect"],
  ["postrouting", "ip6 saddr fd00::/64 tcp dport 80 masquerade to :1-2"],
  ["prerouting", "ip daddr 10.0.0.1 tcp dport 8080 dnat ip to 10.0.0.2:80"],
])(
  "in a table of both families the %s rule %s is listed as it was written, as nft lists it",
  (hook, rule) => {
    const [netns] = new Lab().machine("test");
    netns.nftables.apply(
      `table inet t { chain c { type nat hook ${hook} priority 0; ${rule}; }; }`,
    );
    expect(netns.nftables.list()).toContain(`\t\t${rule}\n`);
  },
);

test.each<[rule: string, families: readonly IpFamily[]]>([
  ["dnat ip to 10.0.0.1", [4]],
  ["dnat ip6 to fd00::1", [6]],
  ["redirect", [4, 6]],
  ["ct mark 1", [4, 6]],
  ["accept", []],
])("in a NAT chain of both families %s turns tracking on for %j", (rule, families) => {
  const [netns] = new Lab().machine("test");
  netns.nftables.apply(
    `table inet t { chain c { type nat hook prerouting priority 0; ${rule}; }; }`,
  );
  expect(trackedFamilies(netns)).toEqual(families);
});

test("notrack turns no tracking on", () => {
  const [netns] = new Lab().machine("test");
  netns.nftables.apply(
    "table ip t { chain c { type filter hook prerouting priority -300; notrack; }; }",
  );
  expect(trackedFamilies(netns)).toEqual([]);
});

// nft_meta_get_eval_skugid; ip_rcv_finish_core finds sockets of connections before INPUT (early demux)
// nft_fib6_eval: of routes it takes only what leads to this machine, or nowhere, for none
describe("fib … oif of IPv6", () => {
  /** What the rule matches of what comes to `b` when `a` looks for fd00::2. */
  function matched(rule: string): number {
    const lab = new Lab();
    const [a, b] = lab.machine("a", "b");
    const [x, y] = cable(a, "eth0", b, "eth0");
    const [, other] = cable(a, "eth1", b, "eth1");
    up(x, "fd00::1/64");
    up(y, "fd00::2/64");
    up(other, "fd01::2/64");
    b.nftables.apply(
      `table ip6 t { chain c { type filter hook prerouting priority 0; icmpv6 type nd-neighbor-solicit ${rule} counter; }; }`,
    );
    expect(outcome(pingTo(a, "fd00::2"))).toBe("connected");
    return Number(/"packets":(\d+)/.exec(JSON.stringify(b.nftables.json()))?.[1]);
  }

  test.each([
    ["fib daddr oif exists", 1],
    ["fib daddr oif missing", 0],
    ['fib daddr . iif oifname "eth0"', 1],
    ['fib daddr oifname "eth0"', 1],
    ["fib saddr oif exists", 1],
    ["fib saddr . iif oif eth1", 0],
  ])("%s", (rule, count) => {
    expect(matched(rule)).toBe(count);
  });
});

// nft_fib4_eval leaves the protocol out of what it looks for, nft_fib6_eval does not
test.each([
  ["ip", 4, QUERY, true],
  ["ip6", 6, udp("[fd00:1::2]:4000", "[fd00:2::2]:53"), false],
] as const)("fib of %s and a rule for one protocol", (name, family, packet, hit) => {
  const router = new Router();
  const { netns } = router;
  netns.fib(family).addRule({ priority: 1, ipProtocol: IPPROTO_UDP, action: { type: "prohibit" } });
  netns.nftables.apply(
    `table ${name} t { chain c { type filter hook prerouting priority 0; fib saddr oif exists drop; }; }`,
  );
  router.pass(packet, router.left);
  expect(router.drop?.reason === "NETFILTER_DROP").toBe(hit);
});

describe("meta skuid", () => {
  const asked = (hook: string, rule: string, ask: (client: NetNamespace) => Exchange): string => {
    const [client, server] = new Lab().machine("client", "server");
    const [a, b] = cable(client, "eth0", server, "eth0");
    up(a, "10.0.0.1/24");
    up(b, "10.0.0.2/24");
    serve(server, 80);
    serve(server, 53, IPPROTO_UDP);
    const owner = hook.startsWith("client") ? client : server;
    const [, name] = hook.split(" ");
    owner.nftables.apply(chain(name as string, `${rule} drop`));
    return ask(client).outcome;
  };
  const tcpTo80 = (client: NetNamespace) => connect(client, "10.0.0.2", 80);
  const udpTo53 = (client: NetNamespace) =>
    connect(client, "10.0.0.2", 53, { protocol: IPPROTO_UDP });

  test.each([
    ["server input", "tcp flags syn / syn,ack meta skuid 0", tcpTo80, "connected"], // nobody is connected yet
    ["server input", "tcp flags ack / syn,ack meta skuid 0", tcpTo80, "stalled"],
    ["server input", "tcp flags ack / syn,ack meta skgid 0", tcpTo80, "stalled"],
    ["server input", "tcp flags ack / syn,ack meta skuid 1", tcpTo80, "connected"],
    ["client input", "meta skuid 0", tcpTo80, "timeout"],
    ["client output", "meta skuid 0", tcpTo80, "timeout"],
    ["server prerouting", "meta skuid 0", tcpTo80, "connected"],
    ["server input", "meta skuid 0", udpTo53, "connected"], // the server's socket is not connected
    ["client input", "meta skuid 0", udpTo53, "timeout"],
    ["client output", "meta skuid != 0", udpTo53, "connected"],
  ])("%s %s", (hook, rule, ask, expected) => {
    expect(asked(hook, rule, ask)).toBe(expected);
  });
});
