import { type ReceivedDatagram, TcpConnection, TcpListener, Trace, UdpSocket } from "@cnilab/linux";
import { Data, formatEndpoint, formatIp, Ipv6Address, parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { connect, datagram, outcome } from "./datapath-lab.ts";
import {
  CLUSTER_IP,
  NODE_PORT,
  ServiceLab,
  type ServiceLabOptions,
  serviceSpec,
  VIRTUAL_IP,
} from "./service-lab.ts";

const FULL = { lb: { socket: "full", perPacket: false } } as const;

function world(options: ServiceLabOptions = {}) {
  const services = new ServiceLab({ ...FULL, ...options, lb: { ...FULL.lb, ...options.lb } });
  const one = services.node();
  const two = services.node();
  const near = services.backend(one, 1001);
  const far = services.backend(two, 1002);
  const client = one.pod(1003);
  const dst = parseIp(CLUSTER_IP[services.lab.family]);
  return { services, one, two, near, far, client, dst };
}

const ASK = { TCP: connect, UDP: datagram } as const;

describe.each([4, 6] as const)("IPv%i", (family) => {
  const spec = serviceSpec(family);
  const nodePort = serviceSpec(family, { type: "NodePort" });

  test.each(["TCP", "UDP"] as const)("%s: no packet has the service's address", (protocol) => {
    const { services, near, far, client, dst } = world({ family });
    for (const pod of [near, far]) {
      services.put("web", { spec }, [{ pod }]);
      const trace = new Trace();
      const done = ASK[protocol](client.netns, dst, 80, { trace });
      expect([outcome(done), done.report?.netns]).toEqual(["connected", pod.netns]);
      expect(done.report?.seenAddress).toBe(client.address);
      expect(trace.steps.some(({ kind }) => kind === "nat")).toBe(false);
    }
  });

  test("the node itself asks as its pods do", () => {
    const { services, one, far, dst } = world({ family });
    services.put("web", { spec }, [{ pod: far }]);
    expect(outcome(connect(one.netns, dst, 80))).toBe("connected");
  });

  test("without backends a call fails, and no packet leaves", () => {
    const { services, client, dst } = world({ family });
    services.put("web", { spec }, []);
    const sent = client.eth0.txPackets;
    expect(connect(client.netns, dst, 80).error?.errno).toBe("EHOSTUNREACH");
    expect(datagram(client.netns, dst, 80).error?.errno).toBe("EHOSTUNREACH");
    expect(client.eth0.txPackets).toBe(sent);
  });

  test("who connects is told of the service, until it is gone", () => {
    const { services, one, near, client, dst } = world({ family });
    services.put("web", { spec }, [{ pod: near }]);
    const tcp = TcpConnection.connect(client.netns, { dst, port: 80, owner: "client" });
    if (!(tcp instanceof TcpConnection)) throw new Error(tcp.message);
    const { reverseSk } = one.maps.lb(family);
    expect([tcp.remoteAddress, tcp.remotePort]).toEqual([near.address, 8080]);
    expect(tcp.peerName).toMatchObject({ address: dst, port: 80 });
    expect(reverseSk.size).toBe(1);
    services.remove("web");
    expect(tcp.peerName).toMatchObject({ address: near.address, port: 8080 });
    expect(reverseSk.size).toBe(0);
    tcp.close();
  });

  test("a socket that ends is forgotten", () => {
    const { services, one, near, client, dst } = world({ family });
    services.put("web", { spec }, [{ pod: near }]);
    connect(client.netns, dst, 80);
    datagram(client.netns, dst, 80);
    expect(one.maps.lb(family).reverseSk.size).toBe(0);
  });

  test("unconnected UDP: answers come from the service, all from one backend", () => {
    const { services, near, far, client, dst } = world({ family });
    services.put("web", { spec }, [{ pod: near }, { pod: far }]);
    const from: string[] = [];
    const onReceive = ({ src, srcPort }: ReceivedDatagram) => {
      from.push(formatEndpoint(src, srcPort));
    };
    const socket = new UdpSocket(client.netns, { owner: "client", onReceive });
    const before = [near, far].map(({ eth0 }) => eth0.rxPackets);
    for (let i = 0; i < 6; i++) socket.sendTo(dst, 80, new Data(8));
    socket.close();
    expect(from).toEqual(Array(6).fill(formatEndpoint(dst, 80)));
    const asked = [near, far].map(({ eth0 }, i) => eth0.rxPackets - (before[i] as number));
    expect(Math.min(...asked)).toBeLessThan(3);
  });

  test.each([
    ["this node's", "one"],
    ["another node's", "two"],
  ] as const)("a NodePort at %s address is translated at once", (_name, which) => {
    const { services, far, client, ...nodes } = world({ family });
    services.put("web", { spec: nodePort }, [{ pod: far }]);
    const { address } = nodes[which];
    const done = connect(client.netns, address, NODE_PORT);
    expect([outcome(done), done.report?.seenAddress]).toEqual(["connected", client.address]);
    expect(outcome(connect(nodes.one.netns, address, NODE_PORT))).toBe("connected");
  });

  test("a NodePort at the loopback address: for the node alone", () => {
    const { services, one, far, client } = world({ family });
    services.put("web", { spec: nodePort }, [{ pod: far }]);
    const loopback = parseIp(family === 4 ? "127.0.0.1" : "::1");
    expect(outcome(connect(one.netns, loopback, NODE_PORT))).toBe("connected");
    expect(connect(client.netns, loopback, NODE_PORT).outcome).toBe("refused");
  });

  test("externalTrafficPolicy Local: the cluster's own clients have all backends", () => {
    const { services, one, two, far, client } = world({ family });
    const local = { ...nodePort, externalTrafficPolicy: "Local" as const };
    services.put("web", { spec: local }, [{ pod: far }]);
    for (const { address } of [one, two]) {
      expect(outcome(connect(client.netns, address, NODE_PORT))).toBe("connected");
    }
  });

  test("an external address that is not the node's is left to the network", () => {
    const { services, one, far, client } = world({ family });
    const ip = VIRTUAL_IP[family];
    services.put("web", { spec: serviceSpec(family, { externalIPs: [ip] }) }, [{ pod: far }]);
    const trace = new Trace();
    connect(client.netns, parseIp(ip), 80, { trace });
    const step = trace.steps.find((s) => s.kind === "bpf");
    expect(step).toMatchObject({ hook: `cgroup/connect${family}`, verdict: "allow" });
    one.tell(ip, { identity: 1 });
    expect(outcome(connect(client.netns, parseIp(ip), 80))).toBe("connected");
  });

  test("nobody of the node may bind a service's port", () => {
    const { services, one, near, client } = world({ family });
    services.put("web", { spec: nodePort }, [{ pod: near }]);
    const { address } = one;
    const open = (at: { address?: typeof address; port: number }) =>
      new TcpListener(one.netns, { ...at, owner: "x" });
    expect(() => open({ address, port: NODE_PORT })).toThrow("EADDRINUSE");
    const udp = { localAddress: address, localPort: NODE_PORT, owner: "x" };
    expect(() => new UdpSocket(one.netns, udp)).toThrow("EADDRINUSE");
    const all = family === 4 ? { port: NODE_PORT } : { address: parseIp("::"), port: NODE_PORT };
    expect(() => open(all)).toThrow("EADDRINUSE");
    open({ address, port: NODE_PORT + 1 }).close();
    // A pod has ports of its own.
    new TcpListener(client.netns, { port: NODE_PORT, owner: "x" }).close();
  });
});

test("an IPv4 service by an IPv6 socket", () => {
  const { services, near, client, one } = world();
  services.put("web", { spec: serviceSpec(4) }, [{ pod: near }]);
  const dst = Ipv6Address.of(0, 0, 0xffff, parseIp(CLUSTER_IP[4]) as number);
  const { cgroup } = one.netns.kernel.bpf;
  // The socket's own stack has no such address: what the program makes of it is what counts.
  const seen = TcpConnection.connect(client.netns, { dst, port: 80, owner: "client" });
  expect(cgroup.effective("connect6")).toHaveLength(1);
  expect("message" in seen && seen.message).toBe(
    `no route to ${formatIp(Ipv6Address.of(0, 0, 0xffff, near.address as number))}`,
  );
});

test("hostNamespaceOnly: sockets of the node alone; programs of pods do the rest", () => {
  const { services, one, far, client, dst } = world({
    lb: { socket: "host-only", perPacket: true },
  });
  services.put("web", { spec: serviceSpec(4) }, [{ pod: far }]);
  const natSteps = (netns: typeof one.netns) => {
    const trace = new Trace();
    expect(outcome(connect(netns, dst, 80, { trace }))).toBe("connected");
    return trace.steps.filter(({ kind }) => kind === "nat").length > 0;
  };
  expect([natSteps(one.netns), natSteps(client.netns)]).toEqual([false, true]);
});

test("off: nothing is attached", () => {
  const { one } = world({ lb: { socket: "off", perPacket: true } });
  expect(one.netns.kernel.bpf.cgroup.effective("connect4")).toEqual([]);
});

describe("session affinity is a network namespace's", () => {
  const spec = serviceSpec(4, {
    sessionAffinity: "ClientIP",
    sessionAffinityConfig: { clientIP: { timeoutSeconds: 100 } },
  });

  test("until it has been away", () => {
    const { services, near, far, client, dst, one } = world();
    services.put("web", { spec }, [{ pod: near }, { pod: far }]);
    const ask = () => connect(client.netns, dst, 80).report?.netns;
    const first = ask();
    for (let i = 0; i < 10; i++) {
      services.lab.clock.advance(99_000);
      expect(ask()).toBe(first);
    }
    const cookies = one.maps.lb4.affinity.entries().map(([{ netnsCookie }]) => netnsCookie);
    expect(cookies).toEqual([one.netns.kernel.bpf.netnsCookie(client.netns)]);
    const seen = new Set<unknown>();
    for (let i = 0; i < 20; i++) {
      services.lab.clock.advance(100_000);
      seen.add(ask());
    }
    expect(seen.size).toBe(2);
  });
});

test("flows tell of the translation", () => {
  const { services, near, client, dst, one } = world();
  services.put("web", { spec: serviceSpec(4) }, [{ pod: near }]);
  const told = one.listen();
  datagram(client.netns, dst, 80);
  const points = told.flatMap((m) =>
    m.type === 7 ? `${m.point} ${formatIp(m.from)} ${formatEndpoint(m.dstIp, m.dstPort)}` : [],
  );
  const from = formatIp(client.address);
  expect(points.slice(0, 2)).toEqual([
    `1 ${from} 10.96.0.10:80`,
    `2 ${from} ${formatEndpoint(near.address, 8080)}`,
  ]);
  expect(points).toContain(`4 ${from} 10.96.0.10:80`);
});
