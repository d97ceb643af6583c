import { SeededRandom, VirtualClock } from "@cnilab/core";
import { Kernel, type NetNamespace, Network, Nic, Segment } from "@cnilab/linux";
import { formatIp, parseIp, parsePrefix } from "@cnilab/net";
import { expect, test } from "vitest";
import { PEER_DEFAULTS, type PeerConfig, type SpeakerConfig } from "./config.ts";
import { ACCEPT, type Filter, REJECT } from "./filter.ts";
import { Speaker } from "./speaker.ts";

const ALL: Filter = [ACCEPT];

/** Machines 10.0.0.1, 10.0.0.2 … on one Ethernet, each with a speaker. */
class Lab {
  readonly clock = new VirtualClock();
  readonly network = new Network(this.clock, new SeededRandom(1));
  readonly #segment = new Segment(this.network, "lan");

  machine(host: number): NetNamespace {
    const { initNs } = new Kernel(this.network, `m${host}`);
    initNs.loopback.setUp();
    const eth0 = new Nic(initNs, { name: "eth0", segment: this.#segment });
    eth0.setUp();
    eth0.addAddress(parseIp(`10.0.0.${host}`), 24);
    return initNs;
  }

  speaker(host: number, peers: readonly PeerConfig[], more: Partial<SpeakerConfig> = {}): Speaker {
    return this.speakerOn(this.machine(host), host, peers, more);
  }

  speakerOn(
    netns: NetNamespace,
    host: number,
    peers: readonly PeerConfig[],
    more: Partial<SpeakerConfig> = {},
  ): Speaker {
    const config: SpeakerConfig = {
      release: "1.6",
      family: 4,
      routerId: parseIp(`10.0.0.${host}`) as number,
      listen: { port: 179 },
      statics: [{ prefix: parsePrefix(`10.244.${host}.0/26`) }],
      directInterfaces: ["*"],
      kernel: { exportFilter: ALL, mergePaths: true },
      peers,
      ...more,
    };
    const speaker = new Speaker(netns, this.clock, config, { program: "bird", recover: true });
    speaker.start();
    return speaker;
  }
}

function peer(host: number, more: Partial<PeerConfig> = {}): PeerConfig {
  return {
    ...PEER_DEFAULTS,
    name: `Mesh_10_0_0_${host}`,
    neighbor: parseIp(`10.0.0.${host}`),
    remoteAs: 64512,
    localAs: 64512,
    importFilter: ALL,
    exportFilter: ALL,
    addPaths: true,
    ...more,
  };
}

function kernelRoutes(speaker: Speaker): string[] {
  return [...speaker.netns.fib4.main.routes()]
    .filter(({ protocol }) => protocol === "bird")
    .map(({ prefix, type, nexthops }) => {
      const via = nexthops.map((n) => (n.gateway === undefined ? "" : formatIp(n.gateway)));
      return `${type === "unicast" ? "" : `${type} `}${prefix} ${via.join(",")}`.trim();
    });
}

test("a mesh tells everybody's blocks", () => {
  const lab = new Lab();
  const hosts = [1, 2, 3];
  const speakers = hosts.map((host) =>
    lab.speaker(
      host,
      hosts.filter((h) => h !== host).map((h) => peer(h, { passive: h > host })),
    ),
  );
  lab.clock.settle();
  expect(speakers.map(kernelRoutes)).toEqual([
    ["blackhole 10.244.1.0/26", "10.244.2.0/26 10.0.0.2", "10.244.3.0/26 10.0.0.3"],
    ["10.244.1.0/26 10.0.0.1", "blackhole 10.244.2.0/26", "10.244.3.0/26 10.0.0.3"],
    ["10.244.1.0/26 10.0.0.1", "10.244.2.0/26 10.0.0.2", "blackhole 10.244.3.0/26"],
  ]);
  expect(speakers[0]?.protocols().map(({ info }) => info)).toEqual([
    "",
    "",
    "",
    "",
    "Established",
    "Established",
  ]);
});

/** Who sees the other how, of two speakers. */
function infos(...speakers: Speaker[]): string[] {
  return speakers.map((s) => s.protocols().at(-1)?.info ?? "");
}

test("two that connect at the same time keep one connection", () => {
  const lab = new Lab();
  const pair = [lab.speaker(1, [peer(2)]), lab.speaker(2, [peer(1)])];
  lab.clock.settle();
  expect(infos(...pair)).toEqual(["Established", "Established"]);
  lab.clock.advance(600_000);
  expect(infos(...pair)).toEqual(["Established", "Established"]);
  const connections = pair.map(({ netns }) => [...netns.sockets.tcpConnections.all()].length);
  expect(connections).toEqual([1, 1]);
});

test.each<[string, Partial<PeerConfig>, string]>([
  ["nobody listens", { port: 1179 }, "Active        Socket: Connection refused"],
  ["the neighbour is of another AS", { remoteAs: 65000 }, "Idle          BGP Error: Bad peer AS"],
  [
    "nobody has the address",
    { neighbor: parseIp("10.0.0.99") },
    "Connect       Socket: No route to host",
  ],
])("says what keeps a session down: %s", (_, more, info) => {
  const lab = new Lab();
  const first = lab.speaker(1, [peer(2, more)]);
  lab.speaker(2, [peer(1, { passive: true })]);
  lab.clock.settle();
  expect(infos(first)[0]?.split(" ")[0]).not.toBe("Established");
  expect(infos(first)[0]).toMatch(new RegExp(`${info.split(/ {2,}/)[1]}$`));
});

test("a reflector tells its clients of each other, and says where routes began", () => {
  const lab = new Lab();
  const client = { rrClient: true, rrClusterId: 7 };
  lab.speaker(1, [peer(2, client), peer(3, client)]);
  const two = lab.speaker(2, [peer(1)]);
  lab.speaker(3, [peer(1)]);
  lab.clock.settle();
  expect(kernelRoutes(two)).toContain("10.244.3.0/26 10.0.0.3");
  const [route] = two.table.get(parsePrefix("10.244.3.0/26"))?.routes ?? [];
  expect(route?.attributes).toMatchObject({
    originatorId: parseIp("10.0.0.3"),
    clusterList: [7],
    nextHop: parseIp("10.0.0.3"),
  });
});

test("without a reflector, what one internal peer told is no news to another", () => {
  const lab = new Lab();
  lab.speaker(1, [peer(2), peer(3)]);
  const two = lab.speaker(2, [peer(1)]);
  lab.speaker(3, [peer(1)]);
  lab.clock.settle();
  expect(kernelRoutes(two)).toEqual(["10.244.1.0/26 10.0.0.1", "blackhole 10.244.2.0/26"]);
});

test("equally good routes become one with several next hops", () => {
  const lab = new Lab();
  const shared = { statics: [{ prefix: parsePrefix("198.51.100.1/32") }] };
  const one = lab.speaker(1, [peer(2), peer(3)]);
  lab.speaker(2, [peer(1)], shared);
  lab.speaker(3, [peer(1)], shared);
  lab.clock.settle();
  expect(kernelRoutes(one)).toContain("198.51.100.1/32 10.0.0.2,10.0.0.3");
});

test("what a neighbour does not tell again after its restart is gone", () => {
  const lab = new Lab();
  const one = lab.speaker(1, [peer(2)]);
  const netns = lab.machine(2);
  const two = lab.speakerOn(netns, 2, [peer(1)]);
  lab.clock.settle();
  two.kill();
  lab.clock.advance(5000);
  expect(kernelRoutes(one)).toContain("10.244.2.0/26 10.0.0.2");
  lab.speakerOn(netns, 2, [peer(1)], { statics: [{ prefix: parsePrefix("10.244.9.0/26") }] });
  lab.clock.settle();
  lab.clock.advance(1000);
  expect(kernelRoutes(one)).toEqual(["blackhole 10.244.1.0/26", "10.244.9.0/26 10.0.0.2"]);
});

test("a speaker that starts anew leaves the kernel's routes until it has heard its neighbours", () => {
  const lab = new Lab();
  lab.speaker(1, [peer(2)]);
  const netns = lab.machine(2);
  const before = lab.speakerOn(netns, 2, [peer(1)]);
  lab.clock.settle();
  const routes = kernelRoutes(before);
  before.kill();
  lab.clock.advance(1000);
  const again = lab.speakerOn(netns, 2, [peer(1)]);
  expect(kernelRoutes(again)).toEqual(routes);
  expect(again.isRecovering).toBe(true);
  lab.clock.settle();
  expect(again.isRecovering).toBe(false);
  expect(kernelRoutes(again)).toEqual(routes);
});

test("one that is told to end is forgotten at once", () => {
  const lab = new Lab();
  const one = lab.speaker(1, [peer(2)]);
  const two = lab.speaker(2, [peer(1)]);
  lab.clock.settle();
  two.shutdown();
  lab.clock.advance(1000);
  expect(kernelRoutes(one)).toEqual(["blackhole 10.244.1.0/26"]);
  expect(infos(one)[0]).toContain("Received: Administrative shutdown");
});

test("other filters take back what they no longer let out", () => {
  const lab = new Lab();
  const one = lab.speaker(1, [peer(2)]);
  const two = lab.speaker(2, [peer(1)]);
  lab.clock.settle();
  two.configure({ ...two.config, peers: [peer(1, { exportFilter: [REJECT] })] });
  lab.clock.settle();
  expect(kernelRoutes(one)).toEqual(["blackhole 10.244.1.0/26"]);
  expect(infos(one)).toEqual(["Established"]);
  one.configure({ ...one.config, peers: [peer(2, { importFilter: [REJECT] })] });
  two.configure({ ...two.config, peers: [peer(1)] });
  lab.clock.settle();
  expect(kernelRoutes(one)).toEqual(["blackhole 10.244.1.0/26"]);
});
