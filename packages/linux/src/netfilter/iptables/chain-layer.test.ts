import { describe, expect, test } from "vitest";
import { Lab } from "../../../test/lab.ts";
import { ends, Router, udp } from "../../../test/router.ts";
import { ChainLayer, LayerChain } from "./chain-layer.ts";
import { IptablesError } from "./iptables-error.ts";

const QUERY = udp("10.0.1.2:4000", "10.0.2.100:53", 72);

/** A Service's chains as kube-proxy has them; KUBE-MARK-MASQ is the node's own. */
const SERVICES = `*nat
:KUBE-SERVICES - [0:0]
:KUBE-SVC-A - [0:0]
:KUBE-SEP-A - [0:0]
-A KUBE-SERVICES -d 10.0.2.100/32 -p udp -m udp --dport 53 -j KUBE-SVC-A
-A KUBE-SVC-A ! -s 10.244.0.0/16 -j KUBE-MARK-MASQ
-A KUBE-SVC-A -j KUBE-SEP-A
-A KUBE-SEP-A -p udp -j DNAT --to-destination 10.0.2.2:53
COMMIT
*filter
:KUBE-FORWARD - [0:0]
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
COMMIT
`;

function own(router: Router): void {
  const tables = router.netns.iptables(4);
  tables.newChain("nat", "KUBE-MARK-MASQ");
  tables.append("nat", "KUBE-MARK-MASQ", "-j MARK --set-xmark 0x4000/0x4000");
}

describe("a layer", () => {
  test("is made of chains that others have as well", () => {
    const origin = { kind: "Policy", name: "p" };
    const policy = LayerChain.read(4, "filter", "P", [{ text: "-s 10.0.1.2/32 -j DROP", origin }]);
    const first = LayerChain.read(4, "filter", "FIRST", [{ text: "-j P" }]);
    const second = LayerChain.read(4, "filter", "SECOND", [{ text: "-p udp -j P" }]);
    for (const dispatch of [first, second]) {
      const router = new Router();
      const tables = router.netns.iptables(4);
      tables.setLayer("policies", ChainLayer.of(4, [policy, dispatch]));
      tables.insert("filter", "FORWARD", `-j ${dispatch.name}`);
      expect(ends(router.pass(udp("10.0.1.2:4000", "10.0.2.2:53", 72), router.left))).toBe("lost");
      const rules = router.trace.steps.flatMap((s) => (s.kind === "rule" ? [s.rule] : []));
      expect(rules.map((r) => r.location)).toEqual([
        "filter FORWARD",
        `filter ${dispatch.name}`,
        "filter P",
      ]);
      expect(rules.at(-1)?.origin).toBe(origin);
      expect(tables.save("filter")).toContain(":P - [0:0]");
    }
    expect(() => LayerChain.read(4, "filter", "INPUT", [])).toThrow(IptablesError);
    expect(() => LayerChain.read(4, "filter", "P", [{ text: "-j" }])).toThrow(IptablesError);
  });

  test("works as if its chains were the namespace's own", () => {
    const router = new Router();
    own(router);
    const tables = router.netns.iptables(4);
    const origin = { kind: "Service", namespace: "default", name: "a" };
    tables.setLayer(
      "kube-proxy",
      ChainLayer.parse(4, SERVICES, () => origin),
    );
    tables.insert("nat", "PREROUTING", "-j KUBE-SERVICES");
    expect(ends(router.pass(QUERY, router.left))).toBe("10.0.1.2:4000 > 10.0.2.2:53");
    const rules = router.trace.steps.flatMap((s) => (s.kind === "rule" ? [s.rule] : []));
    expect(rules.map((r) => r.location)).toEqual([
      "nat PREROUTING",
      "nat KUBE-SERVICES",
      "nat KUBE-SVC-A",
      "nat KUBE-MARK-MASQ",
      "nat KUBE-SVC-A",
      "nat KUBE-SEP-A",
    ]);
    expect(rules[1]?.origin).toBe(origin);
    expect(rules[3]?.origin).toBeUndefined();
    expect(tables.save("nat")).toBe(`*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-SEP-A - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-A - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-SEP-A -p udp -j DNAT --to-destination 10.0.2.2:53
-A KUBE-SERVICES -d 10.0.2.100/32 -p udp -m udp --dport 53 -j KUBE-SVC-A
-A KUBE-SVC-A ! -s 10.244.0.0/16 -j KUBE-MARK-MASQ
-A KUBE-SVC-A -j KUBE-SEP-A
COMMIT
`);
  });

  test("is counted in each namespace by itself", () => {
    const layer = ChainLayer.parse(4, SERVICES);
    const [busy, quiet] = [new Router(), new Router()].map((router) => {
      own(router);
      router.netns.iptables(4).setLayer("kube-proxy", layer);
      router.netns.iptables(4).append("nat", "PREROUTING", "-j KUBE-SERVICES");
      return router;
    }) as [Router, Router];
    busy.pass(QUERY, busy.left);
    const counts = [busy, quiet].map((r) => r.netns.iptables(4).counts("nat", "KUBE-SERVICES"));
    expect(counts).toEqual([[{ packets: 1, bytes: 100 }], [{ packets: 0, bytes: 0 }]]);
  });

  test("remembers in each namespace by itself", () => {
    const layer = ChainLayer.parse(
      4,
      "*raw\n:NTH - [0:0]\n-A NTH -m statistic --mode nth --every 2 --packet 0 -j DROP\nCOMMIT\n",
    );
    const routers = [new Router(), new Router()];
    for (const router of routers) {
      router.netns.iptables(4).setLayer("x", layer);
      router.netns.iptables(4).append("raw", "PREROUTING", "-j NTH");
    }
    const dropped = [0, 0, 1, 1].map((i) => {
      const router = routers[i] as Router;
      router.pass(QUERY, router.left);
      return router.drop?.rule !== undefined;
    });
    expect(dropped).toEqual([true, false, true, false]);
  });

  test("can be replaced by a changed one, which keeps counts of chains that stayed", () => {
    const router = new Router();
    own(router);
    const tables = router.netns.iptables(4);
    const layer = ChainLayer.parse(4, SERVICES);
    tables.setLayer("kube-proxy", layer);
    tables.append("nat", "PREROUTING", "-j KUBE-SERVICES");
    router.pass(QUERY, router.left);
    const changed = layer.with({
      nat: { "KUBE-SEP-A": ["-p udp -j DNAT --to-destination 10.0.2.3:53"] },
      filter: { "KUBE-FORWARD": undefined },
    });
    tables.setLayer("kube-proxy", changed);
    expect(tables.hasChain("filter", "KUBE-FORWARD")).toBe(false);
    expect(tables.counts("nat", "KUBE-SVC-A").map((c) => c.packets)).toEqual([1, 1]);
    expect(tables.counts("nat", "KUBE-SEP-A").map((c) => c.packets)).toEqual([0]);
    const other = udp("10.0.1.2:4001", "10.0.2.100:53", 72);
    expect(ends(router.pass(other, router.left))).toBe("10.0.1.2:4001 > 10.0.2.3:53");
    expect(layer.table("nat")?.chains.get("KUBE-SVC-A")).toBe(
      changed.table("nat")?.chains.get("KUBE-SVC-A"),
    );
  });

  test("turns connection tracking on where a rule of it asks for connections", () => {
    const host = new Lab().host("host");
    host
      .iptables(4)
      .setLayer("a", ChainLayer.parse(4, "*filter\n:A - [0:0]\n-A A -j ACCEPT\nCOMMIT\n"));
    expect(host.conntrack).toBeUndefined();
    const asking = "*filter\n:B - [0:0]\n-A B -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n";
    host.iptables(4).setLayer("b", ChainLayer.parse(4, asking));
    expect(host.conntrack).toBeDefined();
  });

  test.each<[why: string, text: string, error: string]>([
    [
      "a chain that nobody has",
      "*filter\n:A - [0:0]\n-A A -j NOWHERE\nCOMMIT\n",
      "Chain 'NOWHERE' does not exist",
    ],
    ["the name of an own chain", "*filter\n:OWN - [0:0]\nCOMMIT\n", "Chain already exists."],
    [
      "the name of another layer's chain",
      "*filter\n:TAKEN - [0:0]\nCOMMIT\n",
      "Chain already exists.",
    ],
    [
      "a circle through an own chain",
      "*filter\n:A - [0:0]\n-A A -j OWN\nCOMMIT\n",
      "Too many links",
    ],
    [
      "a counter that is not there",
      "*filter\n:B - [0:0]\n-A B -m nfacct --nfacct-name x\nCOMMIT\n",
      "No such file or directory",
    ],
  ])("cannot be attached with %s", (_, text, error) => {
    const tables = new Lab().host("host").iptables(4);
    tables.newChain("filter", "OWN");
    tables.setLayer("first", ChainLayer.parse(4, "*filter\n:TAKEN - [0:0]\n:A - [0:0]\nCOMMIT\n"));
    tables.append("filter", "OWN", "-j A");
    tables.append("filter", "FORWARD", "-j OWN");
    const before = tables.save();
    const key = text.includes(":A ") ? "first" : "second";
    expect(() => tables.setLayer(key, ChainLayer.parse(4, text))).toThrow(error);
    expect(() => tables.setLayer(key, ChainLayer.parse(4, text))).toThrow(IptablesError);
    expect(tables.save()).toBe(before);
  });

  test("cannot be taken away while an own rule calls it, nor an own chain that it calls", () => {
    const tables = new Lab().host("host").iptables(4);
    tables.newChain("filter", "OWN");
    tables.setLayer("x", ChainLayer.parse(4, "*filter\n:A - [0:0]\n-A A -j OWN\nCOMMIT\n"));
    tables.append("filter", "FORWARD", "-j A");
    expect(() => tables.deleteChain("filter", "OWN")).toThrow("Device or resource busy");
    expect(() => tables.setLayer("x", undefined)).toThrow("Chain 'A' does not exist");
    expect(() => tables.newChain("filter", "A")).toThrow("Chain already exists.");
    tables.flush("filter", "FORWARD");
    tables.setLayer("x", undefined);
    tables.deleteChain("filter", "OWN");
    expect(tables.list("filter")).toHaveLength(3);
  });

  test.each<[text: string, error: string]>([
    ["*filter\n:FORWARD - [0:0]\nCOMMIT\n", "builtin chain FORWARD cannot be in a layer"],
    ["*bogus\n:A - [0:0]\nCOMMIT\n", "table 'bogus' does not exist"],
    ["*filter\n-A A -j DROP\nCOMMIT\n", "line 2 failed: No chain/target/match by that name."],
    ["*filter\n:A - [0:0]\n-X A\nCOMMIT\n", "Bad argument `-X'"],
    [
      "*filter\n:A - [0:0]\n-A A --bogus\nCOMMIT\n",
      'unknown option "--bogus"\nError occurred at line: 3',
    ],
    [":A - [0:0]\n", "iptables-restore: line 1 failed"],
    ["*filter\n:A - [0:0]\n:B - [0:0]\n-A A -j B\n-A B -j A\nCOMMIT\n", "Too many links"],
    ["*filter\n:A - [0:0]\n-A A -j MASQUERADE\nCOMMIT\n", "Invalid argument"],
  ])("cannot be made from %j", (text, error) => {
    expect(() => ChainLayer.parse(4, text)).toThrow(error);
    expect(() => ChainLayer.parse(4, text)).toThrow(IptablesError);
  });

  test("reads IPv6 rules for ip6tables", () => {
    const layer = ChainLayer.parse(6, "*filter\n:A - [0:0]\n-A A -d fd00::1 -j REJECT\nCOMMIT\n");
    const tables = new Lab().host("host").iptables(6);
    tables.setLayer("x", layer);
    expect(tables.list("filter", "A")).toEqual([
      "-N A",
      "-A A -d fd00::1/128 -j REJECT --reject-with icmp6-port-unreachable",
    ]);
  });
});
