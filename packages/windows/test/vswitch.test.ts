import { Trace, UdpSocket } from "@cnilab/linux";
import { Data, IPPROTO_UDP, parseIp, parsePrefix } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import {
  formatWindowsMac,
  LoadBalancerDistributionSourceIP,
  LoadBalancerFlagsDSR,
  LoadBalancerPortMappingFlagsVipExternalIP,
} from "../src/index.ts";
import { ask, NODE, told, WindowsLab } from "./windows-lab.ts";

const NAT = {
  Type: "OutBoundNAT",
  Settings: { Exceptions: ["10.244.0.0/16", "10.96.0.0/12"] },
} as const;

describe.each(["L2Bridge", "Overlay"] as const)("%s", (type) => {
  test("containers of a node reach each other and their node, and their node reaches them", () => {
    const lab = new WindowsLab(type);
    const [a, b] = [lab.pod("10.244.1.5"), lab.pod("10.244.1.6")];
    const { initNs } = lab.machine;
    expect(told(ask(a.netns, "10.244.1.6"))).toBe("pod2 as 10.244.1.5");
    expect(told(ask(b.netns, "10.244.1.5", { protocol: "udp" }))).toBe("pod1 as 10.244.1.6");
    expect(told(ask(a.netns, "10.244.1.6", { protocol: "icmp" }))).toBe("reply from 10.244.1.6");
    expect(told(ask(a.netns, NODE, { protocol: "icmp" }))).toBe(`reply from ${NODE}`);
    const asHost = type === "Overlay" ? NODE : "10.244.1.2";
    expect(told(ask(initNs, "10.244.1.5"))).toBe(`pod1 as ${asHost}`);
  });

  test.each([
    { what: "with outbound NAT as the node", policies: [NAT], protocol: "tcp", as: NODE },
    { what: "with outbound NAT as the node", policies: [NAT], protocol: "udp", as: NODE },
  ] as const)("reach others $what by $protocol", ({ policies, protocol, as }) => {
    const lab = new WindowsLab(type);
    const pod = lab.pod("10.244.1.5", policies);
    lab.linux("far", "192.168.0.20");
    expect(told(ask(pod.netns, "192.168.0.20", { protocol }))).toBe(`far as ${as}`);
  });

  test("ports that nobody has are refused, through outbound NAT too", () => {
    const lab = new WindowsLab(type);
    const pod = lab.pod("10.244.1.5", [NAT]);
    lab.pod("10.244.1.6");
    lab.linux("far", "192.168.0.20");
    for (const to of ["10.244.1.6", "192.168.0.20"]) {
      for (const protocol of ["tcp", "udp"] as const) {
        expect(ask(pod.netns, to, { protocol, port: 81 }).outcome).toBe("refused");
      }
    }
  });

  test.each([
    { dsr: true, seen: "10.244.1.5" },
    { dsr: false, seen: NODE },
  ])("a container reaches a VIP, direct server return $dsr: seen as $seen", ({ dsr, seen }) => {
    const lab = new WindowsLab(type);
    const [client, server] = [lab.pod("10.244.1.5", [NAT]), lab.pod("10.244.1.6")];
    if (type === "Overlay") {
      // As kube-proxy does: packets to a VIP that no port translates are for the host.
      const MacAddress = formatWindowsMac(lab.machine.hns.vswitch?.management.mac ?? 0);
      lab.machine.hns.createEndpoint(lab.networkId, {
        IpConfigurations: [{ IpAddress: "10.96.0.10" }],
        MacAddress,
        Flags: 1,
      });
    }
    lab.balance([server.endpoint], { Flags: dsr ? LoadBalancerFlagsDSR : 0 });
    expect(told(ask(client.netns, "10.96.0.10"))).toBe(`pod2 as ${seen}`);
  });

  test("from outside a port of the node leads to an endpoint, which sees the node, or the client with direct server return", () => {
    const lab = new WindowsLab(type);
    const pod = lab.pod("10.244.1.6", [NAT]);
    const far = lab.linux("far", "192.168.0.20");
    const mappingFlags = LoadBalancerPortMappingFlagsVipExternalIP;
    lab.balance([pod.endpoint], { FrontendVIPs: [], port: 30_080, mappingFlags });
    const Flags = LoadBalancerFlagsDSR;
    lab.balance([pod.endpoint], { FrontendVIPs: [], port: 30_081, mappingFlags, Flags });
    expect(told(ask(far, NODE, { port: 30_080 }))).toBe(`pod1 as ${NODE}`);
    expect(told(ask(far, NODE, { port: 30_081 }))).toBe("pod1 as 192.168.0.20");
    expect(ask(far, NODE, { port: 30_082 }).outcome).toBe("refused");
  });

  test("datagrams in fragments get to containers, and to nothing that would have to be translated", () => {
    const lab = new WindowsLab(type);
    const [a, b] = [lab.pod("10.244.1.5", [NAT]), lab.pod("10.244.1.6")];
    const port = { Protocol: IPPROTO_UDP, InternalPort: 80, ExternalPort: 80 };
    const PortMappings = [{ ...port, DistributionType: 0, Flags: 0 }];
    lab.balance([b.endpoint], { PortMappings, Flags: LoadBalancerFlagsDSR });
    const heard: string[] = [];
    const onReceive = () => heard.push("answer");
    const socket = new UdpSocket(a.netns, { owner: "asker", onReceive });
    for (const to of ["10.244.1.6", "10.96.0.10"]) socket.sendTo(parseIp(to), 80, new Data(3000));
    expect(heard).toEqual(["answer"]);
    socket.sendTo(parseIp("10.96.0.10"), 80, new Data(30));
    expect(heard).toEqual(["answer", "answer"]);
  });

  test("an ACL that blocks is a drop with the rule's name", () => {
    const lab = new WindowsLab(type);
    const pod = lab.pod("10.244.1.5");
    const acl = {
      Action: "Block",
      Direction: "In",
      Protocols: "6",
      LocalPorts: "80",
      Priority: 300,
    } as const;
    lab.pod("10.244.1.6", [{ Type: "ACL", Settings: acl }]);
    const { outcome, drops } = ask(pod.netns, "10.244.1.6");
    expect(outcome).toBe("timeout");
    expect(drops[0]).toMatchObject({ reason: "VFP_BLOCK", rule: { name: "ACL_Block_In_300" } });
    expect(told(ask(pod.netns, "10.244.1.6", { protocol: "udp" }))).toBe("pod2 as 10.244.1.5");
  });

  test("endpoints that go are not asked any more, flows to those that stay go on", () => {
    const lab = new WindowsLab(type);
    const client = lab.pod("10.244.1.5");
    const servers = ["10.244.1.6", "10.244.1.7"].map((a) => lab.pod(a).endpoint);
    const Flags = LoadBalancerFlagsDSR;
    const id = lab.balance(servers, { Flags });
    const owners = () =>
      new Set(Array.from({ length: 12 }, () => ask(client.netns, "10.96.0.10").report?.owner));
    expect(owners()).toEqual(new Set(["pod2", "pod3"]));
    const settings = lab.machine.hns.getLoadBalancer(id);
    if (settings === undefined) throw new Error("it is gone");
    const HostComputeEndpoints = servers.slice(1).map(({ ID }) => ID);
    lab.machine.hns.updateLoadBalancer(id, { ...settings, HostComputeEndpoints });
    expect(owners()).toEqual(new Set(["pod3"]));
    lab.machine.hns.deleteLoadBalancer(id);
    expect(ask(client.netns, "10.96.0.10").outcome).not.toBe("connected");
  });
});

test("by distribution of source IPs, a client keeps its endpoint", () => {
  const lab = new WindowsLab("L2Bridge");
  const client = lab.pod("10.244.1.5");
  const servers = ["10.244.1.6", "10.244.1.7", "10.244.1.8"].map((a) => lab.pod(a).endpoint);
  lab.balance(servers, {
    Flags: LoadBalancerFlagsDSR,
    distribution: LoadBalancerDistributionSourceIP,
  });
  const owners = Array.from({ length: 9 }, () => ask(client.netns, "10.96.0.10").report?.owner);
  expect(new Set(owners).size).toBe(1);
});

test("a container reaches itself through a VIP only as its node: loopback DSR", () => {
  const lab = new WindowsLab("L2Bridge");
  const plain = lab.pod("10.244.1.5");
  const loopback = { Type: "OutBoundNAT", Settings: { Destinations: ["10.244.1.6"] } } as const;
  const mended = lab.pod("10.244.1.6", [loopback]);
  const Flags = LoadBalancerFlagsDSR;
  lab.balance([plain.endpoint], { FrontendVIPs: ["10.96.0.10"], Flags });
  lab.balance([mended.endpoint], { FrontendVIPs: ["10.96.0.11"], Flags });
  expect(ask(plain.netns, "10.96.0.10").outcome).toBe("timeout");
  expect(told(ask(mended.netns, "10.96.0.11"))).toBe(`pod2 as ${NODE}`);
});

test("VFP does not translate ICMP: a container's ping to outside gets no answer", () => {
  const lab = new WindowsLab("L2Bridge");
  const pod = lab.pod("10.244.1.5", [NAT]);
  const far = lab.linux("far", "192.168.0.20");
  far.deleteRoute({ dst: parsePrefix("10.244.1.0/24"), via: parseIp(NODE) });
  expect(ask(pod.netns, "192.168.0.20", { protocol: "icmp" }).outcome).not.toBe("connected");
  expect(told(ask(pod.netns, "192.168.0.20"))).toBe(`far as ${NODE}`);
});

test("on an overlay what is in no remote subnet goes nowhere", () => {
  const lab = new WindowsLab("Overlay");
  const pod = lab.pod("10.244.1.5", [NAT]);
  const { drops } = ask(pod.netns, "10.244.9.9");
  expect(drops[0]).toMatchObject({ reason: "VFP_NO_ROUTE" });
});

test("hostPort: a port mapping of the endpoint", () => {
  const lab = new WindowsLab("L2Bridge");
  const mapping = { InternalPort: 80, ExternalPort: 8080, Protocol: 6, VIP: "" };
  lab.pod("10.244.1.5", [{ Type: "PortMapping", Settings: mapping }]);
  const far = lab.linux("far", "192.168.0.20");
  expect(told(ask(far, NODE, { port: 8080 }))).toBe(`pod1 as ${NODE}`);
});

test("containers of an l2bridge show the node's MAC outside", () => {
  const lab = new WindowsLab("L2Bridge");
  const pod = lab.pod("10.244.1.5");
  const far = lab.linux("far", "192.168.0.20");
  const trace = new Trace();
  expect(told(ask(pod.netns, "192.168.0.20", { trace }))).toBe("far as 10.244.1.5");
  const arrived = trace.steps.filter((s) => s.kind === "receive" && s.netns === far);
  const macs = arrived.map((s) => s.kind === "receive" && s.frame.src);
  expect(new Set(macs)).toEqual(new Set([lab.machine.hns.vswitch?.external.mac]));
});

test("a trace names the rule, the choice and the translation at the port", () => {
  const lab = new WindowsLab("L2Bridge");
  const [client, server] = [lab.pod("10.244.1.5"), lab.pod("10.244.1.6")];
  const id = lab.balance([server.endpoint], { Flags: LoadBalancerFlagsDSR });
  const trace = new Trace();
  ask(client.netns, "10.96.0.10", { trace });
  const at = `port Container NIC ${client.endpoint.ID.slice(0, 8)}`;
  const rules = trace.steps.flatMap((s) =>
    s.kind === "rule" ? [`${s.rule.location}: ${s.effect}`] : [],
  );
  expect(rules).toEqual([
    `VFP layer LB_DSR, group LB_DSR_IPv4_OUT: to 10.244.1.6:80, the only endpoint (${at})`,
  ]);
  expect(trace.steps.find((s) => s.kind === "nat")).toMatchObject({
    manip: "destination",
    from: "10.96.0.10:80",
    to: "10.244.1.6:80",
    reply: false,
  });
  const [rule] = trace.steps.flatMap((s) => (s.kind === "rule" ? [s.rule] : []));
  expect(rule?.text).toBe(
    `LB_DSR_${id.slice(0, 5)}_${NODE}_10.96.0.10_80_80_6, priority 100, Protocols 6, Destination IP 10.96.0.10, Destination ports 80: lbnat to 10.244.1.6:80`,
  );
});
