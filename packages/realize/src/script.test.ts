import { SeededRandom, VirtualClock } from "@cnilab/core";
import { Bridge, Kernel, Network, Nic, Segment, Veth, Vxlan, Wireguard } from "@cnilab/linux";
import { parseIp, parsePrefix } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { script } from "./script.ts";

function emptyNetwork(): Network {
  return new Network(new VirtualClock(), new SeededRandom(1));
}

/** Two nodes on a segment, one with a pod behind a bridge. */
function twoNodes(): Network {
  const network = emptyNetwork();
  const lan = new Segment(network, "lan");
  for (const [i, hostname] of ["node1", "node2"].entries()) {
    const { initNs } = new Kernel(network, hostname);
    const eth0 = new Nic(initNs, { name: "eth0", mac: 0x020000000001 + i, segment: lan });
    eth0.setUp();
    eth0.addAddress(parseIp(`192.168.0.1${i + 1}`), 24);
  }
  const node = network.kernels.get("node1") as Kernel;
  const { initNs } = node;
  initNs.sysctl.set("net.ipv4.ip_forward", 1);
  const cni0 = new Bridge(initNs, { name: "cni0", mac: 0x020000000101, mtu: 1450 });
  const [port, eth0] = Veth.pair(
    initNs,
    { name: "veth1", mac: 0x020000000201 },
    node.addNamespace("pod"),
    { name: "eth0", mac: 0x020000000202 },
  );
  port.setMaster(cni0);
  if (port.bridgePort !== undefined) port.bridgePort.hairpin = true;
  for (const dev of [cni0, port, eth0]) dev.setUp();
  cni0.addAddress(parseIp("10.244.1.1"), 24);
  const vxlan = new Vxlan(initNs, {
    name: "vx",
    mac: 0x020000000301,
    vni: 7,
    local: parseIp("192.168.0.11"),
    learning: false,
  });
  vxlan.setUp();
  vxlan.replaceFdb(0x020000000302, parseIp("192.168.0.12"));
  initNs.addRoute({ dst: parsePrefix("10.244.2.0/24"), via: parseIp("192.168.0.12") });
  initNs.addRoute({ dst: parsePrefix("10.9.0.0/16"), type: "blackhole", table: 100 });
  initNs.fib4.addRule({
    priority: 50,
    fwmark: { value: 1, mask: 255 },
    action: { table: 100 },
  });
  initNs.neighboursOf(vxlan).replace(parseIp("10.244.2.0"), 0x020000000302);
  initNs.iptables(4).append("filter", "FORWARD", "-s 10.244.0.0/16 -j ACCEPT");
  return network;
}

describe("the script of two nodes", () => {
  const made = script(twoNodes(), { prefix: "t" });
  const lines = made.text.split("\n");

  test("makes a namespace for each node, pod and segment", () => {
    expect(made.namespaces).toEqual(["t.node1", "t.node1.pod", "t.node2", "t..lan"]);
    expect(lines.filter((line) => line.startsWith("netns t"))).toEqual([
      "netns t.node1",
      "netns t.node1.pod",
      "netns t.node2",
      "netns t..lan",
    ]);
  });

  test("names the kinds of devices that it needs", () => {
    expect([...made.deviceKinds].sort()).toEqual(["bridge", "veth", "vxlan"]);
  });

  test.each([
    "link add name eth0 address 02:00:00:00:00:01 mtu 1500 type veth peer name w1 mtu 65535 netns t..lan",
    "link set dev w2 master wire up",
    "link add name cni0 address 02:00:00:00:01:01 mtu 1500 type bridge",
    "link set dev veth1 master cni0",
    "link set dev veth1 hairpin on",
    "address add 192.168.0.11/24 dev eth0",
    "route append unicast 10.244.2.0/24 table 254 scope 0 via 192.168.0.12 dev eth0",
    "route append blackhole 10.9.0.0/16 table 100 scope 0",
    "rule add priority 50 from all fwmark 1/255 table 100",
    "neighbour replace 10.244.2.0 lladdr 02:00:00:00:03:02 dev vx",
    "fdb replace 02:00:00:00:03:02 dev vx dst 192.168.0.12 self permanent",
    "  net/ipv4/conf/all/forwarding=1 \\",
    "ip netns exec t.node1 iptables-restore <<'END'",
    "-A FORWARD -s 10.244.0.0/16 -j ACCEPT",
  ])("has the line %s", (line) => {
    expect(lines).toContain(line);
  });

  test("leaves out what the kernel makes by itself", () => {
    expect(lines.filter((line) => /192\.168\.0\.0\/24|127\.0\.0|fe80/.test(line))).toEqual([]);
  });

  test("makes each cable once", () => {
    expect(lines.filter((line) => line.includes("type veth peer name"))).toHaveLength(3);
  });
});

test("a device that cannot be made is refused by name", () => {
  const network = emptyNetwork();
  const { initNs } = new Kernel(network, "node1");
  new Wireguard(initNs, { name: "wg0", publicKey: "key" });
  expect(() => script(network)).toThrow("node1/wg0: wireguard devices are not realised");
});

test.each(["", "a b", "a/b", "x".repeat(33)])('the prefix "%s" is refused', (prefix) => {
  expect(() => script(emptyNetwork(), { prefix })).toThrow(/prefix/);
});
