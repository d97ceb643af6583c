import { SeededRandom, VirtualClock } from "@cnilab/core";
import { Kernel, type NetNamespace, Network, Nic, Segment } from "@cnilab/linux";
import { formatIp, parseIp, parsePrefix } from "@cnilab/net";
import { expect, test } from "vitest";
import { PEER_DEFAULTS, type PeerConfig, type SpeakerConfig } from "./config.ts";
import { ACCEPT, type Filter } from "./filter.ts";
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
