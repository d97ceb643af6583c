import { SeededRandom, VirtualClock } from "@cnilab/core";
import {
  BROADCAST_MAC,
  Data,
  IPPROTO_ICMP,
  type Ipv4Address,
  parseIp,
  tryParseMac,
} from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { cable, Lab, up } from "../../test/lab.ts";
import {
  Datapath,
  type DatapathStep,
  datapathsOf,
  dpctlDumpFlows,
  dpctlShow,
  exchange,
  type FlowMatch,
  Kernel,
  type NetNamespace,
  Network,
  type OvsAction,
  Trace,
  UdpSocket,
  type Upcall,
} from "../index.ts";

const mac = (text: string): number => tryParseMac(text) as number;
const ip = (text: string): Ipv4Address => parseIp(text) as Ipv4Address;
const to = (...ports: number[]): OvsAction[] => ports.map((port) => ({ type: "output", port }));

/** A machine with a datapath that floods, as its program says, and two namespaces at its ports 1 and 2. */
function machine(lab: Lab, name = "m") {
  const node = lab.host(name, "10.0.0.1/24");
  const { kernel } = node;
  const datapath = new Datapath(node, "dp0");
  const pods = [1, 2].map((i) => {
    const netns = kernel.addNamespace(`p${i}`);
    cable(netns, "eth0", node, `v${i}`);
    up(netns.device("eth0"), `10.1.0.${i}/24`);
    datapath.addNetdev(`v${i}`);
    return netns;
  });
  return { node, datapath, pods: pods as [NetNamespace, NetNamespace] };
}

function ping(from: NetNamespace, dst: string) {
  const trace = new Trace();
  const { outcome } = exchange(from, { protocol: IPPROTO_ICMP, dst: parseIp(dst), port: 0, trace });
  return { outcome, steps: trace.steps };
}

const datapathSteps = (steps: readonly { kind: string }[]): DatapathStep[] =>
  steps.filter((step): step is DatapathStep => step.kind === "datapath");

/** Learns nothing: each frame leaves by all other ports, and a flow for its MACs says so from then on. */
function flooding(datapath: Datapath, misses: Upcall[] = []) {
  datapath.listen({
    upcall(upcall) {
      misses.push(upcall);
      const { key, skb } = upcall;
      const actions = to(...[0, 1, 2].filter((port) => port !== key.in_port));
      const { in_port, eth_src, eth_dst } = key;
      datapath.putFlow({ in_port, eth_src, eth_dst }, actions);
      datapath.execute(skb, actions);
    },
  });
  return misses;
}

describe("frames", () => {
  test("nobody takes a miss: it is lost", () => {
    const { datapath, pods } = machine(new Lab());
    expect(ping(pods[0], "10.1.0.2").outcome).not.toBe("connected");
    const { hit, missed, lost } = datapath.stats;
    expect([hit, missed, lost]).toEqual([0, missed, missed]);
    expect(missed).toBeGreaterThan(0);
  });

  test("the program is asked once for each direction, flows do the rest", () => {
    const { datapath, pods } = machine(new Lab());
    const misses = flooding(datapath);
    expect(ping(pods[0], "10.1.0.2").outcome).toBe("connected");
    // ARP's question, its answer, and what follows between the same two MACs
    expect(misses.map(({ key }) => key.in_port)).toEqual([1, 2, 1]);
    expect(datapath.stats).toMatchObject({ missed: 3, lost: 0, flows: 3, masks: 1 });
    const before = datapath.stats.hit;
    expect(ping(pods[0], "10.1.0.2").outcome).toBe("connected");
    expect(datapath.stats).toMatchObject({ missed: 3, hit: before + 2 });
  });

  test("a trace goes through the program", () => {
    const { datapath, pods } = machine(new Lab());
    flooding(datapath);
    const { steps } = ping(pods[0], "10.1.0.2");
    const events = datapathSteps(steps).map(({ event, from, to: ports }) => [
      event,
      from?.name,
      ports.join(),
    ]);
    expect(events.slice(0, 4)).toEqual([
      ["miss", "v1", ""],
      ["execute", undefined, "dp0,v2"],
      ["miss", "v2", ""],
      ["execute", undefined, "dp0,v1"],
    ]);
  });

  test("the machine itself takes part by the local port", () => {
    const { node, datapath, pods } = machine(new Lab());
    flooding(datapath);
    up(datapath.local.dev, "10.1.0.254/24");
    expect(ping(node, "10.1.0.1").outcome).toBe("connected");
    expect(ping(pods[1], "10.1.0.254").outcome).toBe("connected");
  });

  test("a flow without actions drops", () => {
    const { datapath, pods } = machine(new Lab());
    datapath.putFlow({ in_port: 1 }, []);
    const { steps } = ping(pods[0], "10.1.0.2");
    expect(steps.some((s) => s.kind === "drop" && s.reason === "OVS_LAST_ACTION")).toBe(true);
  });

  test("what is longer than the port's MTU is lost", () => {
    const { node, datapath, pods } = machine(new Lab());
    flooding(datapath);
    for (const dev of [node.device("v2"), pods[1].device("eth0")]) dev.setMtu(80);
    const { steps } = ping(pods[0], "10.1.0.2");
    expect(steps.some((s) => s.kind === "drop" && s.reason === "PKT_TOO_BIG")).toBe(true);
  });

  test("repeated datagrams, which are not walked, count as if they were, until the flow is gone", () => {
    const { node, datapath, pods } = machine(new Lab());
    flooding(datapath);
    ping(pods[0], "10.1.0.2");
    const flow = [...datapath.flows()].find(
      ({ match }) => match.in_port === 1 && match.eth_dst !== BROADCAST_MAC,
    );
    const { packets = 0, bytes = 0 } = flow ?? {};
    const before = datapath.stats.hit;
    let received = 0;
    new UdpSocket(pods[1], { localPort: 9, owner: "test", onReceive: () => received++ });
    const socket = new UdpSocket(pods[0], { owner: "test" });
    const send = () => socket.sendTo(parseIp("10.1.0.2"), 9, new Data(100));
    for (let i = 0; i < 10; i++) send();
    node.network.settleFlows();
    expect(received).toBe(10);
    expect(flow?.packets).toBe(packets + 10);
    expect(flow?.bytes).toBe(bytes + 10 * (14 + 20 + 8 + 100));
    expect(datapath.stats.hit).toBe(before + 10);
    datapath.listen(undefined);
    datapath.flushFlows();
    send();
    expect([received, datapath.stats.lost]).toEqual([10, 1]);
  });
});

describe("tunnels", () => {
  test("set(tunnel) says where a frame goes, and the other end's flows ask for it", () => {
    const lab = new Lab();
    const hosts = [1, 2].map((i) => {
      const node = lab.host(`h${i}`, `10.0.0.${i}/24`);
      const netns = node.kernel.addNamespace("p");
      cable(netns, "eth0", node, "v");
      up(netns.device("eth0"), `10.1.0.${i}/24`);
      const datapath = new Datapath(node, "dp0");
      datapath.addNetdev("v");
      datapath.addVxlan("vxlan-6784", 6784);
      const there = 3 - i;
      const tunnel = { tunnelId: there, remote: ip(`10.0.0.${there}`), local: ip(`10.0.0.${i}`) };
      const set: OvsAction = {
        type: "set-tunnel",
        tunnel: { ...tunnel, ttl: 64, dontFragment: true },
      };
      datapath.putFlow({ in_port: 1 }, [set, ...to(2)]);
      datapath.putFlow({ in_port: 2, tun_id: i, tun_src: ip(`10.0.0.${there}`) }, to(1));
      return { netns, datapath };
    });
    const [a, b] = hosts as [(typeof hosts)[0], (typeof hosts)[0]];
    const { outcome, steps } = ping(a.netns, "10.1.0.2");
    expect(outcome).toBe("connected");
    const outer = steps.flatMap((s) => (s.kind === "encapsulate" ? [s.outer] : []))[0];
    expect([outer?.ttl, outer?.dontFragment]).toEqual([64, true]);
    expect(b.datapath.stats).toMatchObject({ missed: 0, masks: 2 });
    // Another VNI fits none
    b.datapath.deleteFlow({ in_port: 2, tun_id: 2, tun_src: ip("10.0.0.1") });
    expect(ping(a.netns, "10.1.0.2").outcome).not.toBe("connected");
    expect(b.datapath.stats.lost).toBeGreaterThan(0);
  });
});

describe("ports", () => {
  test("numbers are the lowest free ones, and names say who is there", () => {
    const { node, datapath } = machine(new Lab());
    expect(datapath.addVxlan("vx", 6784).number).toBe(3);
    expect(datapath.addInternal("int0").number).toBe(4);
    datapath.deletePort(1);
    node.device("v2").remove();
    expect(datapath.ports.map(({ number, name }) => `${number} ${name}`)).toEqual([
      "0 dp0",
      "3 vx",
      "4 int0",
    ]);
    expect(node.device("v1").receiveHandler).toBeUndefined();
    cable(node, "w1", node, "w2");
    expect(datapath.addNetdev("w1").number).toBe(1);
  });

  test.each([
    ["ENODEV", (dp: Datapath) => dp.addNetdev("nope")],
    ["EINVAL", (dp: Datapath) => dp.addNetdev("lo")],
    ["EINVAL", (dp: Datapath) => dp.addNetdev("dp0")],
    ["EBUSY", (dp: Datapath) => dp.addNetdev("v1")],
    ["EEXIST", (dp: Datapath) => dp.addInternal("v1")],
    ["ENODEV", (dp: Datapath) => dp.deletePort(9)],
    ["EINVAL", (dp: Datapath) => dp.deletePort(0)],
    ["EEXIST", (dp: Datapath) => new Datapath(dp.netns, "dp0")],
    ["ENOENT", (dp: Datapath) => dp.deleteFlow({ in_port: 1 })],
  ])("%s", (code, wrong) => {
    const { datapath } = machine(new Lab());
    expect(() => wrong(datapath)).toThrow(code);
  });

  test("a UDP port that somebody has leaves no half of a port", () => {
    const { node, datapath } = machine(new Lab());
    new Datapath(node, "dp1").addVxlan("vx1", 6784);
    expect(() => datapath.addVxlan("vx2", 6784)).toThrow(/EEXIST|EADDRINUSE/);
    expect(node.findDevice("vx2")).toBeUndefined();
    expect(datapath.portByName("vx2")).toBeUndefined();
  });

  test("a program hears of ports that come and go", () => {
    const { node, datapath } = machine(new Lab());
    const heard: string[] = [];
    datapath.listen({
      upcall() {},
      vportCreated: ({ name }) => heard.push(`+${name}`),
      vportDeleted: ({ name }) => heard.push(`-${name}`),
    });
    cable(node, "w1", node, "w2");
    datapath.addNetdev("w1");
    node.device("w1").remove();
    expect(heard).toEqual(["+w1", "-w1"]);
  });

  test("all goes with the datapath", () => {
    const { node, datapath } = machine(new Lab());
    datapath.addVxlan("vx", 6784);
    datapath.remove();
    expect(node.devices.map(({ name }) => name)).toEqual(["lo", "eth0", "v1", "v2"]);
    expect(datapathsOf(node).size).toBe(0);
    expect(node.device("v1").receiveHandler).toBeUndefined();
  });
});

describe("flows", () => {
  const empty = (): Datapath =>
    new Datapath(
      new Kernel(new Network(new VirtualClock(), new SeededRandom(1)), "m").initNs,
      "dp",
    );

  test("what names the same twice gets other actions, what overlaps is refused", () => {
    const datapath = empty();
    datapath.putFlow({ in_port: 1, eth_dst: 5 }, to(2));
    datapath.putFlow({ in_port: 1, eth_dst: 5 }, to(3));
    expect([...datapath.flows()].map(({ actions }) => actions)).toEqual([to(3)]);
    expect(() => datapath.putFlow({ in_port: 1, eth_dst: 5, eth_src: 0 }, [])).toThrow("ENOENT");
  });

  test("masks come and go with their flows", () => {
    const datapath = empty();
    const group: FlowMatch = {
      eth_dst: { value: mac("01:00:00:00:00:00"), mask: mac("01:00:00:00:00:00") },
    };
    datapath.putFlow(group, to(1));
    datapath.putFlow({ in_port: 1 }, to(1));
    expect(datapath.stats.masks).toBe(2);
    datapath.deleteFlow(group);
    expect(datapath.stats).toMatchObject({ masks: 1, flows: 1 });
  });

  // Texts of ovs-dpctl 3.1 on Linux 6.1 with flows that Weave 2.8 made, but for MACs and numbers.
  test.each<[FlowMatch, OvsAction[], string]>([
    [
      { in_port: 1, eth_src: mac("fa:22:7e:64:1c:1a"), eth_dst: mac("3a:93:fa:66:b2:b1") },
      [
        {
          type: "set-tunnel",
          tunnel: {
            tunnelId: 0x1611e,
            local: ip("10.0.0.1"),
            remote: ip("10.0.0.2"),
            ttl: 64,
            dontFragment: true,
            zeroChecksum: true,
          },
        },
        ...to(2, 0),
      ],
      "in_port(1),eth(src=fa:22:7e:64:1c:1a,dst=3a:93:fa:66:b2:b1),eth_type(0/0x0000), packets:0, bytes:0, used:never, actions:set(tunnel(tun_id=0x1611e,src=10.0.0.1,dst=10.0.0.2,ttl=64,flags(df|key))),2,0",
    ],
    [
      {
        tun_id: 0x1796e0,
        tun_src: ip("10.0.0.1"),
        tun_dst: ip("10.0.0.2"),
        tun_flags: { value: 4, mask: 4 },
        in_port: 2,
        eth_src: 0,
        eth_dst: 0,
      },
      to(1),
      "tunnel(tun_id=0x1796e0,src=10.0.0.1,dst=10.0.0.2,flags(+key)),in_port(2),eth(src=00:00:00:00:00:00,dst=00:00:00:00:00:00),eth_type(0/0x0000), packets:0, bytes:0, used:never, actions:1",
    ],
    [
      { in_port: 3, eth_type: 0x800 },
      [],
      "in_port(3),eth(),eth_type(0x0800), packets:0, bytes:0, used:never, actions:drop",
    ],
  ])("as ovs-dpctl prints them", (match, actions, text) => {
    const datapath = empty();
    datapath.putFlow(match, actions);
    expect(dpctlDumpFlows(datapath.netns)).toBe(`${text}\n`);
  });

  test("the datapath as ovs-dpctl prints it", () => {
    const { node, datapath, pods } = machine(new Lab());
    flooding(datapath);
    datapath.addVxlan("vxlan-6784", 6784);
    ping(pods[0], "10.1.0.2");
    expect(dpctlShow(node)).toBe(`system@dp0:
  lookups: hit:1 missed:3 lost:0
  flows: 3
  masks: hit:3 total:1 hit/pkt:0.75
  caches:
    masks-cache: size:0
  port 0: dp0 (internal)
  port 1: v1
  port 2: v2
  port 3: vxlan-6784 (vxlan: packet_type=ptap)
`);
  });
});
