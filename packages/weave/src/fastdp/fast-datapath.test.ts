import { type DatapathStep, dpctlDumpFlows, type TraceStep } from "@cnilab/linux";
import { formatIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { peerNumber } from "../../test/golden/rings.ts";
import { NetworkLab } from "../../test/network-lab.ts";

/** Peers that have these connections and no others, established. */
function network(...links: readonly [number, number][]): NetworkLab {
  const lab = new NetworkLab();
  for (const host of new Set(links.flat())) {
    const to = links.filter(([from]) => from === host).map(([, there]) => there);
    lab.start(host, to, { discovery: false });
  }
  lab.clock.advance(5000);
  return lab;
}

/** From where to where tunnels carry the first packet that the container itself sends. */
function tunnels(steps: readonly TraceStep[], packet: number): string[] {
  return steps.flatMap((step) =>
    step.kind === "encapsulate" && step.packet === packet
      ? [`${formatIp(step.outer.src)} > ${formatIp(step.outer.dst)}`]
      : [],
  );
}

const datapathSteps = (steps: readonly TraceStep[]): DatapathStep[] =>
  steps.filter((step): step is DatapathStep => step.kind === "datapath");

describe("two peers", () => {
  test("a connection is established by a heartbeat of full length, don't fragment set", () => {
    const lab = network([1, 2]);
    expect(lab.mesh.neighbours()).toEqual({ 1: [2], 2: [1] });
    const forwarder = lab.peers.get(1)?.mesh.connections.get(peerNumber(2))?.overlayConnection;
    expect(forwarder).toMatchObject({ name: "fastdp", mtu: 1376, isHealthy: true });
  });

  test("containers reach each other, and from the second packet on by flows alone", () => {
    const lab = network([1, 2]);
    const [a] = [lab.container(1, 1), lab.container(2, 2)];
    const first = lab.ping(a, 2);
    expect(first.outcome).toBe("connected");
    expect(datapathSteps(first.steps).some(({ event }) => event === "miss")).toBe(true);
    const { outcome, steps } = lab.ping(a, 2);
    expect(outcome).toBe("connected");
    expect(datapathSteps(steps).map(({ event }) => event)).toEqual(["hit", "hit", "hit", "hit"]);
    expect(tunnels(steps, 0)).toEqual(["10.0.0.1 > 10.0.0.2"]);
    const outer = steps.flatMap((s) => (s.kind === "encapsulate" ? [s] : []))[0];
    expect(outer?.outer).toMatchObject({ ttl: 64, tos: 0, dontFragment: true });
  });

  test("flows are those that Weave makes", () => {
    const lab = network([1, 2]);
    const [a, b] = [lab.container(1, 1), lab.container(2, 2)];
    lab.ping(a, 2);
    const { mesh, fastdp } = lab.peers.get(1) ?? expect.fail();
    const id = (n: number) => mesh.peers.get(peerNumber(n))?.shortId as number;
    const names = new Map([
      [hex(id(1) + (id(2) << 12)), "1>2"],
      [hex(id(2) + (id(1) << 12)), "2>1"],
    ]);
    const mac = (netns: typeof a) =>
      netns.device("eth0").mac.toString(16).padStart(12, "0").match(/../g)?.join(":") as string;
    const text = dpctlDumpFlows(fastdp.datapath.netns)
      .replaceAll(mac(a), "A")
      .replaceAll(mac(b), "B")
      .replaceAll(/0x[0-9a-f]+(?=,src)/g, (n) => names.get(n) ?? n)
      .replaceAll(/ packets.*?used:[^,]*,/g, "");
    const lines = text
      .trim()
      .split("\n")
      .filter((line) => line.includes("src=A") || line.includes("src=B"));
    // As ovs-dpctl printed them of Weave 2.8 on Linux 6.1 (test/fixtures/fastdp)
    const way = "set(tunnel(tun_id=1>2,src=10.0.0.1,dst=10.0.0.2,ttl=64,flags(df|key))),2";
    expect(lines.sort()).toEqual([
      `in_port(1),eth(src=A,dst=B),eth_type(0/0x0000), actions:${way}`,
      `in_port(1),eth(src=A,dst=ff:ff:ff:ff:ff:ff),eth_type(0/0x0000), actions:0,${way}`,
      "tunnel(tun_id=2>1,src=10.0.0.2,dst=10.0.0.1,flags(+key)),in_port(2),eth(src=B,dst=A),eth_type(0/0x0000), actions:1",
    ]);
  });
});

const hex = (n: number) => `0x${n.toString(16)}`;
