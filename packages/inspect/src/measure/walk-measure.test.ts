import { exchange, type NetNamespace, startEchoServer, Trace } from "@cnilab/linux";
import { IPPROTO_ICMP, IPPROTO_TCP, type IpAddress } from "@cnilab/net";
import { expect, test } from "vitest";
import { type TwoNodes, twoNodes } from "../../test/two-nodes.ts";
import { outerBytes } from "./encapsulation.ts";
import { type ConnectionMeasure, measureConnection } from "./walk-measure.ts";

function connect({ pods }: TwoNodes, from: number, to: number): ConnectionMeasure {
  const [client, server] = [pods[from], pods[to]] as [NetNamespace, NetNamespace];
  startEchoServer(server, { protocol: IPPROTO_TCP, port: 8080, owner: "default/web-1/nginx" });
  const dst = server.device("eth0").addresses[0]?.address as IpAddress;
  const trace = new Trace();
  exchange(client, { protocol: IPPROTO_TCP, dst, port: 8080, trace });
  return measureConnection(trace) as ConnectionMeasure;
}

test("a pod on the same node is behind a bridge, and no router is in between", () => {
  const measure = connect(twoNodes(), 0, 1);
  expect(measure.first.devices.map(({ name }) => name)).toEqual([
    ...["eth0", "veth2", "cni0", "veth3", "eth0"],
  ]);
  expect(measure).toMatchObject({
    mtu: 1450,
    first: { routed: 0, outer: [], leftBy: undefined, rules: 0, namespaces: { length: 3 } },
  });
});

test("a pod on another node is behind a tunnel, two routers and the headers that the tunnel adds", () => {
  const { first, later } = connect(twoNodes(), 0, 2);
  expect(first.devices.map(({ name }) => name)).toEqual([
    ...["eth0", "veth2", "cni0", "flannel.1", "eth0"],
    ...["eth0", "flannel.1", "cni0", "veth2", "eth0"],
  ]);
  expect(first.leftBy?.mtu).toBe(1500);
  expect(later).toMatchObject({
    routed: 2,
    outer: [
      { name: "IP", bytes: 20 },
      { name: "UDP", bytes: 8 },
      { name: "VXLAN", bytes: 8 },
      { name: "inner Ethernet", bytes: 14 },
    ],
  });
  expect(outerBytes(later.outer)).toBe(50);
});

test("rules are those that the packet met, and apart those that the tunnel's packet met", () => {
  const nodes = twoNodes();
  const iptables = nodes.kernels[0].initNs.iptables(4);
  iptables.append("filter", "FORWARD", "-d 198.51.100.1 -j DROP");
  iptables.append("filter", "FORWARD", "-m conntrack --ctstate ESTABLISHED -j ACCEPT");
  iptables.append("filter", "FORWARD", "-d 198.51.100.2 -j DROP");
  iptables.append("mangle", "OUTPUT", "-p udp -j MARK --set-xmark 0x1/0x1");
  const { first, answer, later } = connect(nodes, 0, 2);
  expect([first.rules, first.tunnelRules]).toEqual([4, 1]);
  expect(Object.fromEntries(first.rulesByTable)).toEqual({
    "iptables filter": 3,
    "iptables mangle": 1,
  });
  expect([answer.rules, answer.tunnelRules]).toEqual([2, 0]);
  expect([later.rules, later.tunnelRules]).toEqual([3, 1]);
  expect([first.connections, first.tunnelConnections]).toEqual([2, 1]);
});

test("what is no TCP connection has no measure", () => {
  const { pods } = twoNodes();
  const trace = new Trace();
  const dst = pods[2]?.device("eth0").addresses[0]?.address as IpAddress;
  exchange(pods[0] as NetNamespace, { protocol: IPPROTO_ICMP, dst, port: 0, trace });
  expect(measureConnection(trace)).toBeUndefined();
  expect(measureConnection(new Trace())).toBeUndefined();
});
