import { describe, expect, it, test } from "vitest";
import { twoNodes } from "../../test/two-nodes.ts";
import { EXAMPLES } from "./examples.ts";
import { exampleOf, explain, explainableTerms, explainText, similarTerms } from "./explain.ts";
import { GLOSSARY } from "./glossary.ts";

test("the glossary has sixty terms and more", () => {
  expect(GLOSSARY.length).toBeGreaterThanOrEqual(60);
});

test.each(GLOSSARY)("$term: every line fits a terminal, and every reference exists", (entry) => {
  for (const line of entry.lines) expect(line.length).toBeLessThanOrEqual(110);
  for (const other of entry.see ?? []) expect(explain(other)?.term).toBeDefined();
  expect(explain(entry.term)).toBe(entry);
});

test("no name belongs to two entries", () => {
  const names = GLOSSARY.flatMap(({ term, aliases = [] }) => [
    ...new Set([term, ...aliases].map((name) => name.toLowerCase().replaceAll(/[_ -]+/g, " "))),
  ]);
  expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
});

test.each(Object.keys(EXAMPLES))("the example of %s belongs to a term", (term) => {
  expect(explain(term)?.term).toBe(term);
});

test.each([
  ["vtep", "VTEP"],
  ["  FDB ", "FDB"],
  ["forwarding database", "FDB"],
  ["proxy-arp", "proxy ARP"],
  ["proxy_arp", "proxy ARP"],
  ["PREROUTING", "hook"],
  ["KUBE-SVC-ERIFXISQEP7F7OF4", "KUBE-SVC"],
  ["kube-svc-…", "KUBE-SVC"],
  ["KUBE-SEP-XXXX", "KUBE-SEP"],
  ["kube-sep-abcdefghijklmno2", "KUBE-SEP"],
  ["KUBE-SERVICES", "KUBE-SERVICES"],
  ["ttl_exceeded", "TTL_EXCEEDED"],
  ["KUBE-SVC-ABC", "KUBE-SVC"],
  ["cali-pi-np/prod/allow-web", "cali-pi"],
  ["filter-cali-tw-cali0123456789a", "cali-fw"],
  ["cali0123456789a", "cali"],
  ["cali40s:RLNFKb0NpNRpXCnWNkTMfPQ", "cali40"],
  ["cali-from-wl-dispatch-4", "cali-from-wl-dispatch"],
  ["kns.prod", "profile"],
  ["HostEndpoint", "host endpoint"],
  ["lxc0123456789ab", "lxc"],
  ["cil_to_netdev", "cil_from_host"],
  ["cilium_policy_v2_00119", "policy map"],
  ["CILIUM_OUTPUT", "CILIUM_POST_nat"],
  ["reserved:world", "reserved identity"],
  ["WEAVE-NPC-EGRESS-CUSTOM", "weave-npc"],
  ["rmpeer", "IPAM ring"],
  ["flux capacitor", undefined],
])("explain %s is about %s", (word, term) => {
  expect(explain(word)?.term).toBe(term);
});

test("unknown terms get similar ones", () => {
  expect(similarTerms("vxlan tunnel")).toContain("VXLAN");
  expect(similarTerms("")).toEqual([]);
});

test("words are brought to the names of their entries, each once", () => {
  expect(explainableTerms(["fdb", "FDB", "nonsense", "nat"])).toEqual(["FDB", "NAT"]);
});

describe("examples come out of a running kernel", () => {
  const [kernel] = twoNodes().kernels;
  it.each([
    [
      "VTEP",
      /^route {6}10\.244\.2\.0\/24 via 10\.244\.2\.0 dev flannel\.1 onlink\nneighbour {2}10\.244\.2\.0 dev flannel\.1 lladdr (\S+) PERMANENT\nfdb {8}\1 dev flannel\.1 dst 192\.168\.0\.12 self permanent$/,
    ],
    ["flannel.1", /vxlan id 1 local 192\.168\.0\.11 dev eth0/],
    ["cni0", /^\$ ip link\n\d+: cni0: /],
    ["onlink", /10\.244\.2\.0\/24 via 10\.244\.2\.0 dev flannel\.1 onlink/],
    ["gateway", /default via 10\.244\.1\.1 dev eth0/],
    ["ip_forward", /^net\.ipv4\.ip_forward = 1$/],
    ["netns", /pod2\npod3/],
    ["MTU", /flannel\.1 mtu 1450/],
    ["FDB", /dev /],
    ["rule", /32766:\tfrom all lookup main/],
  ])("%s", (term, pattern) => {
    expect(exampleOf(term, kernel)).toMatch(pattern);
  });

  it("and are left out where there is none", () => {
    expect(exampleOf("subnet.env", kernel)).toBeUndefined();
    expect(exampleOf("CNI", kernel)).toBeUndefined();
  });

  it("stand under the three lines", () => {
    expect(explainText("onlink", kernel)).toBe(`onlink
  A flag of a route: its gateway counts as reachable on the device, whatever the tables say.
  Flannel needs it, as 10.244.2.0 is in no network of flannel.1.
  The gateway's MAC then comes from a permanent neighbour entry.
On node1:
  $ ip route
  10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink
See also: flannel.1, neighbour
`);
    expect(explainText("nonsense", kernel)).toBeUndefined();
  });
});
