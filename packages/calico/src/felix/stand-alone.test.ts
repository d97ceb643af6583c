import { type KubeObject, SeededRandom, VirtualClock } from "@cnilab/core";
import { Dummy, Kernel, type NetNamespace, Network } from "@cnilab/linux";
import { parseIp } from "@cnilab/net";
import { expect, test } from "vitest";
import type { FelixConfigurationSpec } from "../api/v3/felix-configuration.ts";
import { StandAloneFelix } from "./stand-alone.ts";

function pod(name: string, ip: string, node = "node1", annotations = {}): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", labels: { app: name }, annotations },
    spec: { nodeName: node, containers: [{ name: "c", image: "i" }] },
    status: { podIP: ip, podIPs: [{ ip }] },
  } as KubeObject;
}

function v3(kind: string, name: string, spec: object, namespace?: string): KubeObject {
  const metadata = namespace === undefined ? { name } : { name, namespace };
  return { apiVersion: "projectcalico.org/v3", kind, metadata, spec } as KubeObject;
}

const WEB = pod("web", "10.244.1.2");
const CLIENT = pod("client", "10.244.2.2", "node2");
const NAMESPACE = { apiVersion: "v1", kind: "Namespace", metadata: { name: "default" } };
const ALLOW_CLIENT = v3(
  "NetworkPolicy",
  "web",
  {
    selector: "app == 'web'",
    types: ["Ingress"],
    ingress: [{ action: "Allow", source: { selector: "app == 'client'" } }],
  },
  "default",
);
const HOST = v3("HostEndpoint", "h", { node: "node1", interfaceName: "eth0" });
const POOL = v3("IPPool", "p", { cidr: "10.244.0.0/16", natOutgoing: true });

/** Felix on a node with `eth0`, after one state of the API or several. */
function felixAfter(
  environment: FelixConfigurationSpec,
  ...states: readonly (readonly KubeObject[])[]
): { readonly netns: NetNamespace; readonly felix: StandAloneFelix } {
  const kernel = new Kernel(new Network(new VirtualClock(), new SeededRandom(1)), "node1");
  const { initNs: netns } = kernel;
  const eth0 = new Dummy(netns, { name: "eth0" });
  eth0.addAddress(parseIp("172.18.0.2"), 16);
  eth0.setUp();
  const felix = new StandAloneFelix(netns, "node1", environment);
  for (const state of states) felix.apply(state);
  return { netns, felix };
}

function saved(environment: FelixConfigurationSpec, ...objects: readonly KubeObject[]): string {
  const { netns } = felixAfter(environment, [NAMESPACE as KubeObject, ...objects]);
  return netns.iptables(4).save();
}

test("a member that comes is one line for the set, and no rule is written", () => {
  const before = [NAMESPACE as KubeObject, WEB, CLIENT, ALLOW_CLIENT];
  const another = pod("client", "10.244.2.3", "node2");
  const second = { ...another, metadata: { ...another.metadata, name: "client2" } };
  const { netns, felix } = felixAfter({}, before, [...before, second]);
  expect(felix.written(4)).toBe("");
  const sets = netns.ipsets.save();
  expect(sets).toMatch(/^add cali40s:\S+ 10\.244\.2\.2$/m);
  expect(sets).toMatch(/^add cali40s:\S+ 10\.244\.2\.3$/m);
});

test("what a policy needed goes with it", () => {
  const { netns, felix } = felixAfter(
    {},
    [NAMESPACE as KubeObject, WEB, CLIENT, ALLOW_CLIENT],
    [NAMESPACE as KubeObject, WEB, CLIENT],
  );
  expect(netns.iptables(4).save()).not.toContain("cali-pi-");
  expect(netns.ipsets.save()).not.toContain("cali40s:");
  expect(felix.written(4)).toContain("--delete-chain cali-pi-np/default/web");
});

test("a policy that selects nobody here is not programmed", () => {
  expect(saved({}, CLIENT, ALLOW_CLIENT)).not.toContain("np/default/web");
});

test("rules that are flushed are put back with the next change", () => {
  const state = [NAMESPACE as KubeObject, WEB];
  const { netns, felix } = felixAfter({}, state);
  netns.iptables(4).flush("filter", "FORWARD");
  felix.apply([...state, CLIENT]);
  expect(netns.iptables(4).list("filter", "FORWARD")).toEqual([
    "-P FORWARD ACCEPT",
    expect.stringContaining("-j cali-FORWARD"),
    expect.stringContaining("Policy explicitly accepted packet."),
    expect.stringContaining("-j MARK --set-xmark 0x10000/0x10000"),
  ]);
});

test.each([
  ["Insert", ["cali:", "others", "cali:", "cali:"]],
  ["Append", ["others", "cali:", "cali:", "cali:"]],
])(
  "its rules stand where they belong though others come in between, %s",
  (chainInsertMode, order) => {
    const state = [NAMESPACE as KubeObject, WEB];
    const { netns, felix } = felixAfter({ chainInsertMode }, state);
    netns.iptables(4).insert("filter", "FORWARD", "-m comment --comment others -j ACCEPT");
    felix.apply([...state, CLIENT]);
    const [, ...rules] = netns.iptables(4).list("filter", "FORWARD");
    expect(rules).toEqual(order.map((part) => expect.stringContaining(part)));
  },
);

// A changed ChainInsertMode restarts Felix, which then finds its rules by their hashes where they do not belong.
test.each([
  ["Insert", "Append", ["others", "cali:"]],
  ["Append", "Insert", ["cali:", "others"]],
])("its rules move where they belong from then on, %s and then %s", (before, after, order) => {
  const state = (chainInsertMode: string) => [
    NAMESPACE as KubeObject,
    WEB,
    v3("FelixConfiguration", "default", { chainInsertMode, nftablesMode: "Disabled" }),
  ];
  const { netns, felix } = felixAfter({}, state(before));
  netns.iptables(4).insert("filter", "INPUT", "-m comment --comment others -j ACCEPT");
  felix.apply(state(after));
  const parts = (): (string | undefined)[] =>
    netns
      .iptables(4)
      .list("filter", "INPUT")
      .flatMap((rule) => /others|cali:/.exec(rule)?.[0] ?? []);
  expect(parts()).toEqual(order);
  felix.apply(state(before));
  expect(parts()).toEqual(order.toReversed());
});

test.each([
  ["Disabled", "Enabled"],
  ["Enabled", "Disabled"],
] as const)("of two dataplanes the one that is left, %s for %s, is cleaned", (from, to) => {
  const state = (nftablesMode: string) => [
    NAMESPACE as KubeObject,
    WEB,
    CLIENT,
    ALLOW_CLIENT,
    v3("FelixConfiguration", "default", { nftablesMode }),
  ];
  const { netns } = felixAfter({}, state(from), state(to));
  const inIptables = netns.iptables(4).save().includes("cali-") || netns.ipsets.save() !== "";
  expect(inIptables).toBe(to === "Disabled");
  expect(netns.nftables.hasTable("ip", "calico")).toBe(to === "Enabled");
});

const DO_NOT_TRACK = v3("GlobalNetworkPolicy", "raw", {
  selector: "all()",
  doNotTrack: true,
  applyOnForward: true,
  types: ["Ingress"],
  ingress: [{ action: "Allow", protocol: "UDP", destination: { ports: [53] } }],
});
const PRE_DNAT = v3("GlobalNetworkPolicy", "pre", {
  selector: "all()",
  preDNAT: true,
  applyOnForward: true,
  types: ["Ingress"],
  ingress: [{ action: "Deny", protocol: "TCP", destination: { ports: [30080] } }],
});

// As fact sheet calico.md §4.8 has them.
test.each<[what: string, objects: KubeObject[], rule: RegExp, there: boolean]>([
  [
    "normal policy of a host endpoint",
    [HOST],
    /^-A cali-from-host-endpoint -i eth0 .*-g cali-fh-eth0/m,
    true,
  ],
  [
    "no untracked policy, no chain in table raw",
    [HOST],
    /^\*raw(?:(?!COMMIT)[\s\S])*cali-fh-eth0/m,
    false,
  ],
  ["doNotTrack policy", [HOST, DO_NOT_TRACK], /^-A cali-fh-eth0 .*-j NOTRACK/m, true],
  [
    "preDNAT policy",
    [HOST, PRE_DNAT],
    /^\*mangle(?:(?!COMMIT)[\s\S])*-A cali-fh-eth0 .*-j cali-pi-gnp\/pre/m,
    true,
  ],
  [
    "natOutgoing",
    [POOL],
    /^-A cali-nat-outgoing .*cali40masq-ipam-pools src .*-j MASQUERADE --random-fully/m,
    true,
  ],
  ["no pool with natOutgoing", [], /-A cali-nat-outgoing/, false],
  [
    "Service addresses that are announced",
    [v3("BGPConfiguration", "default", { serviceClusterIPs: [{ cidr: "10.96.0.0/12" }] })],
    /^-A cali-cidr-block -d 10\.96\.0\.0\/12 .*-j DROP/m,
    true,
  ],
])("%s", (_, objects, rule, there) => {
  const text = saved({}, ...objects);
  if (there) expect(text).toMatch(rule);
  else expect(text).not.toMatch(rule);
});

test.each<[spec: FelixConfigurationSpec, rule: RegExp]>([
  [{ defaultEndpointToHostAction: "Return" }, /^-A cali-wl-to-host .*-j RETURN$/m],
  [{ chainInsertMode: "Append" }, /^-A INPUT .*-j cali-INPUT$/m],
  [{ iptablesMarkMask: 0xff00000 }, /-j MARK --set-xmark 0x0\/0x1b00000$/m],
  [{ interfacePrefix: "eni,cali" }, /^-A cali-INPUT -i eni\+ .*-g cali-wl-to-host$/m],
  [{ natPortRange: "1000:2000" }, /MASQUERADE --to-ports 1000-2000 --random-fully$/m],
  [{ natOutgoingAddress: "1.2.3.4" }, /-j SNAT --to-source 1\.2\.3\.4 --random-fully$/m],
  [{ natOutgoingExclusions: "IPPoolsAndHostIPs" }, /! --match-set cali40all-hosts-net dst/],
  [{ iptablesNATOutgoingInterfaceFilter: "eth0" }, /^-A cali-nat-outgoing -o eth0 /m],
  [{ disableConntrackInvalidCheck: true }, /^(?![\s\S]*INVALID)/],
  [{ allowVXLANPacketsFromWorkloads: true }, /^(?![\s\S]*VXLAN encapped)/],
  [{ failsafeInboundHostPorts: [] }, /^(?![\s\S]*-A cali-failsafe-in)/],
  [
    { failsafeInboundHostPorts: [{ protocol: "tcp", port: 22, net: "10.0.0.0/8" }] },
    /^-A cali-failsafe-in -s 10\.0\.0\.0\/8 -p tcp .*--dports 22 -j ACCEPT$/m,
  ],
  [{ logPrefix: "%t-%k-%p" }, /--log-prefix "default-gnp-log: "/],
  [{ logActionRateLimit: "10/minute" }, /-m limit --limit 10\/min -j LOG/],
  [
    { vxlanEnabled: true, vxlanPort: 8472 },
    /^-A cali-PREROUTING -p udp .*--dport 8472 -j NOTRACK$/m,
  ],
  [{ ipipEnabled: true }, /^-A cali-INPUT -p ipencap .*cali40all-hosts-net src/m],
  [{ wireguardEnabled: true }, /^-A cali-INPUT -p udp .*--dports 51820 .*-j ACCEPT$/m],
  [{ serviceLoopPrevention: "Disabled" }, /^(?![\s\S]*-A cali-cidr-block)/],
])("FelixConfiguration %j", (spec, rule) => {
  const log = v3("GlobalNetworkPolicy", "log", {
    selector: "all()",
    types: ["Ingress"],
    ingress: [{ action: "Log" }],
  });
  const bgp = v3("BGPConfiguration", "default", { serviceClusterIPs: [{ cidr: "10.96.0.0/12" }] });
  expect(saved(spec, WEB, HOST, POOL, log, bgp)).toMatch(rule);
});

test("a node's own FelixConfiguration is stronger than the cluster's, and the DaemonSet's environment than both", () => {
  const ofCluster = v3("FelixConfiguration", "default", { defaultEndpointToHostAction: "Drop" });
  const ofNode = v3("FelixConfiguration", "node.node1", { defaultEndpointToHostAction: "Return" });
  const ofAnother = v3("FelixConfiguration", "node.node2", { defaultEndpointToHostAction: "Drop" });
  const action = (text: string) => /-A cali-wl-to-host .*HostAction" -j (\w+)/.exec(text)?.[1];
  expect(action(saved({}, ofNode, ofAnother, ofCluster))).toBe("RETURN");
  const environment = { defaultEndpointToHostAction: "Accept" };
  expect(action(saved(environment, ofNode, ofCluster))).toBe("ACCEPT");
});

test("what the kernel refused is made good with the next configuration that it takes", () => {
  const { netns, felix } = felixAfter({});
  const state = [NAMESPACE as KubeObject, WEB, CLIENT, ALLOW_CLIENT];
  const reject = v3("FelixConfiguration", "default", { iptablesFilterDenyAction: "Reject" });
  expect(() => felix.apply([...state, reject])).toThrow(/REJECT|Invalid argument/);
  expect(netns.iptables(4).save()).not.toContain("cali-");
  felix.apply(state);
  expect(netns.iptables(4).save()).toContain("-j cali-pi-np/default/web");
  expect(netns.ipsets.save()).toMatch(/^add cali40s:\S+ 10\.244\.2\.2$/m);
});

test("endpoints have marks with IPVS", () => {
  const kernel = new Kernel(new Network(new VirtualClock(), new SeededRandom(1)), "node1");
  new Dummy(kernel.initNs, { name: "kube-ipvs0" });
  const felix = new StandAloneFelix(kernel.initNs, "node1");
  felix.apply([NAMESPACE as KubeObject, WEB]);
  const text = kernel.initNs.iptables(4).save("filter");
  const mark = /-A cali-sm-(\S+) .*--set-xmark (0x[0-9a-f]+)\/0xffe00000/.exec(text);
  expect(text).toContain(`-m mark --mark ${mark?.[2]}/0xffe00000 -g cali-fw-${mark?.[1]}`);
});
