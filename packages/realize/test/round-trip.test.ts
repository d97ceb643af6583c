// Model → namespaces of this machine's kernel → the collect script → model: the same state.
import { setTimeout } from "node:timers/promises";
import { createCluster, parseManifests } from "@cnilab/cluster";
import { SeededRandom, VirtualClock } from "@cnilab/core";
import { flannel } from "@cnilab/flannel";
import { type ImportedState, importState } from "@cnilab/import";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import {
  Bridge,
  Ifb,
  Kernel,
  Macvlan,
  Network,
  Nic,
  Segment,
  TrafficControl,
  Tun,
  Veth,
  Vxlan,
} from "@cnilab/linux";
import { parseIp, parsePrefix } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { script, up, whyNotHere } from "../src/index.ts";
import { collect, whyNotCollected } from "./collected.ts";
import { generate } from "./fuzz/generate.ts";
import { Model } from "./fuzz/model.ts";
import { viewsOf } from "./views.ts";

const missing = whyNotHere() ?? whyNotCollected();
const why = missing === undefined ? "" : ` (skipped: ${missing})`;

async function roundTrip(network: Network, name: string): Promise<ImportedState> {
  const prefix = `trip${process.pid}${name}`;
  const realized = await up(script(network, { prefix }));
  try {
    // The kernel tells IPv6 of a carrier within a second (net/core/link_watch.c).
    await setTimeout(1200);
    return importState(collect(network, prefix));
  } finally {
    await realized.remove();
  }
}

/** Everything of the original is there, and of its machines nothing else. */
function expectSame(original: Network, imported: ImportedState): void {
  const views = viewsOf(imported.network);
  for (const [name, lines] of Object.entries(viewsOf(original))) {
    expect(views[name], name).toEqual(lines);
  }
}

/** One of each thing that this machine's kernel and the model have. */
function medley(): Network {
  const network = new Network(new VirtualClock(), new SeededRandom(1));
  const lan = new Segment(network, "lan");
  for (const [i, hostname] of ["node1", "node2"].entries()) {
    const kernel = new Kernel(network, hostname);
    kernel.initNs.loopback.setUp();
    const eth0 = new Nic(kernel.initNs, { name: "eth0", mac: 0x020000000001 + i, segment: lan });
    eth0.setUp();
    eth0.addAddress(parseIp(`192.168.7.1${i + 1}`), 24, { broadcast: parseIp("192.168.7.255") });
    eth0.addAddress(parseIp(`192.168.7.2${i + 1}`), 24);
    eth0.addAddress(parseIp(`fd00:7::1${i + 1}`), 64, { nodad: true });
  }
  const { initNs } = network.kernels.get("node1") as Kernel;
  const pod = initNs.kernel.addNamespace("pod");
  const other = initNs.kernel.addNamespace("other");
  for (const netns of [pod, other]) netns.loopback.setUp();
  initNs.sysctl.set("net.ipv4.ip_forward", 1);
  const cni0 = new Bridge(initNs, { name: "cni0", mac: 0x020000000101, mtu: 1450 });
  const mac = 0x020000000200;
  for (const [i, inner] of [pod, other].entries()) {
    const [port, eth0] = Veth.pair(
      initNs,
      { name: `veth${i}`, mac: mac + 2 * i, mtu: 1450 },
      inner,
      { name: "eth0", mac: mac + 2 * i + 1, mtu: 1450 },
    );
    port.setMaster(cni0);
    for (const dev of [port, eth0]) dev.setUp();
    eth0.addAddress(parseIp(`10.9.1.${2 + i}`), 24);
    if (port.bridgePort === undefined) continue;
    port.bridgePort.hairpin = i === 0;
    port.bridgePort.isolated = i === 1;
    port.bridgePort.bcastFlood = i === 0;
    cni0.fdb.add(0x020000000f00 + i, port.bridgePort, false);
  }
  cni0.setUp();
  cni0.addAddress(parseIp("10.9.1.1"), 24);
  // Between the pods and within one: indexes repeat, and only the namespaces' numbers tell them apart.
  for (const [a, b] of [
    [pod, other],
    [pod, other],
    [pod, pod],
  ] as const) {
    const n = a.devices.length;
    const [x, y] = Veth.pair(a, { name: `x${n}`, mac: mac + 16 + n }, b, {
      name: `y${n}`,
      mac: mac + 32 + n,
    });
    x.setUp();
    y.setUp();
  }
  const vx = new Vxlan(initNs, {
    name: "vx",
    mac: 0x020000000301,
    vni: 7,
    local: parseIp("192.168.7.11"),
    learning: false,
  });
  vx.setUp();
  vx.replaceFdb(0x020000000302, parseIp("192.168.7.12"));
  vx.addFdb(0, parseIp("192.168.7.12"));
  initNs.neighboursOf(vx).replace(parseIp("10.9.2.0"), 0x020000000302);
  initNs.neighboursOf(cni0).addProxy(parseIp("10.9.1.99"));
  const uplink = initNs.device("eth0");
  const macvlan = new Macvlan(initNs, { name: "mv", mac: 0x020000000401, lower: uplink });
  macvlan.setUp();
  new Tun(initNs, { name: "tun0", mtu: 1400 });
  const ifb = new Ifb(initNs, { name: "ifb0", mac: 0x020000000501 });
  ifb.setUp();
  const port = initNs.device("veth0");
  port.tc = new TrafficControl(port);
  port.tc.root = { kind: "tbf", handle: "1:", rate: 1_000_000, burst: 15_000, limit: 30_000 };
  const via = [parseIp("192.168.7.12"), parseIp("192.168.7.13")];
  initNs.addRoute({
    dst: parsePrefix("10.9.2.0/24"),
    via: parseIp("10.9.2.0"),
    dev: vx,
    onlink: true,
  });
  initNs.addRoute({
    dst: parsePrefix("10.9.3.0/24"),
    table: 100,
    mtu: 1300,
    advmss: 1200,
    nexthops: [{ via: via[0] as number, weight: 3 }, { via: via[1] as number }],
  });
  // As Calico has them.
  initNs.addRoute({
    dst: parsePrefix("10.9.6.0/26"),
    via: parseIp("192.168.7.99"),
    dev: vx,
    onlink: true,
    protocol: 80,
    mtu: 1400,
  });
  initNs.addRoute({ dst: parsePrefix("10.9.7.1/32"), type: "throw", table: 1, protocol: 80 });
  initNs.addRoute({ dst: parsePrefix("10.9.8.0/26"), type: "blackhole", protocol: 80 });
  for (const family of [4, 6] as const) {
    initNs.sysctl.set(`net/ipv${family}/neigh/veth0/proxy_delay`, 0);
  }
  initNs.sysctl.set("net/ipv4/conf/veth0/proxy_arp", 1);
  initNs.sysctl.set("net/ipv4/conf/veth0/route_localnet", 1);
  initNs.sysctl.set("net/ipv6/conf/veth0/proxy_ndp", 1);
  initNs.addRoute({ dst: parsePrefix("10.9.4.0/24"), type: "blackhole", protocol: "bird" });
  initNs.addRoute({ dst: parsePrefix("10.9.5.0/24"), via: via[0] as number, tos: 0x10, metric: 5 });
  initNs.addRoute({ dst: parsePrefix("10.9.5.0/24"), via: via[1] as number, metric: 9 });
  initNs.addRoute({ dst: parsePrefix("fd00:8::/64"), via: parseIp("fd00:7::12") });
  initNs.addRoute({ dst: parsePrefix("fd00:9::/64"), type: "prohibit" });
  const fib = initNs.fib4;
  fib.addRule({ priority: 50, fwmark: { value: 1, mask: 255 }, action: { table: 100 } });
  fib.addRule({
    priority: 51,
    not: true,
    from: parsePrefix("10.9.0.0/16"),
    iif: "cni0",
    ipProtocol: 6,
    dport: { first: 80, last: 90 },
    action: { type: "unreachable" },
  });
  const mark = { value: 0x200000, mask: 0x200000 };
  fib.addRule({ priority: 99, not: true, fwmark: mark, action: { table: 1 } });
  fib.addRule({ priority: 52, suppressPrefixLength: 0, action: { table: 254 } });
  fib.addRule({ priority: 53, tos: 0x10, action: { goto: 32766 } });
  fib.deleteRule((rule) => rule.priority === 32767);
  initNs.ipsets.restore("create pods hash:net family inet\nadd pods 10.9.1.0/24\n");
  initNs
    .iptables(4)
    .append(
      "filter",
      "FORWARD",
      '-m set --match-set pods src -m comment --comment "a b" -j ACCEPT',
    );
  initNs.iptables(4).append("nat", "POSTROUTING", "-s 10.9.1.0/24 ! -o cni0 -j MASQUERADE");
  initNs.iptables(6).append("filter", "FORWARD", "-j DROP");
  initNs.nftables.apply(`table inet t {
    set ports { type inet_service; elements = { 80, 443 } }
    chain c { type filter hook forward priority 10; policy accept; tcp dport @ports counter accept; }
  }`);
  return network;
}

const APP = `
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: 3
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec: { containers: [{ name: c, image: i, ports: [{ containerPort: 80 }] }] }
---
apiVersion: v1
kind: Service
metadata: { name: web }
spec: { selector: { app: web }, type: NodePort, ports: [{ port: 80 }] }
`;

describe.skipIf(missing !== undefined)(`from the model to the kernel and back${why}`, () => {
  test("one of each thing", async () => {
    const network = medley();
    const imported = await roundTrip(network, "m");
    expectSame(network, imported);
    expect([...imported.network.kernels.keys()]).toEqual(["node1", "node2"]);
  });

  test.each([
    ["vxlan", "iptables"],
    ["host-gw", "nftables"],
  ] as const)("a Flannel cluster: %s, kube-proxy with %s", async (...how) => {
    const [backend, proxyMode] = how;
    const cluster = createCluster({
      nodes: 2,
      cni: flannel,
      cniOptions: { backend },
      config: { proxyMode, ipFamilies: [4, 6] },
      register: (root) => registerKubeProxy(root),
    });
    cluster.apply(parseManifests(APP, "app.yaml").objects);
    await cluster.settled();
    const imported = await roundTrip(cluster.network, backend);
    expectSame(cluster.network, imported);
    // Who joins the machines is found again: the same cards are on the same wires.
    const cards = (name: string): string[] => {
      const card = imported.network.kernels.get(name)?.initNs.device("eth0") as Nic;
      return [...card.segment.nics].map((nic) => `${nic.netns}/${nic.name}`).sort();
    };
    const there = ["apiserver/eth0", "node1/eth0", "node2/eth0", "router/eth0"];
    expect(cards("node1")).toEqual(there);
    expect(cards("internet")).toEqual(["internet/eth0", "outside-dns/eth0", "router/eth1"]);
  });

  // Seeds one after the other: each is a few dozen namespaces.
  test.each([1, 3, 4, 5])("random network %i", async (seed) => {
    const { network } = new Model(generate(seed, 0));
    expectSame(network, await roundTrip(network, `r${seed}`));
  });
});
