// The mesh of Weave's peers by itself: `node weave.ts PEERS all|one`. Prints JSON.
import { SeededRandom, VirtualClock } from "@cnilab/core";
import { Kernel, Network, Nic, Segment } from "@cnilab/linux";
import { formatIp, formatMac, type Ipv4Address, parseIp } from "@cnilab/net";
import { type Count, MeshRouter, NULL_OVERLAY } from "@cnilab/weave";
import { cpuSeconds, liveBytes } from "./measure.ts";

/** What peers say to each other, as messages and their bytes, without TCP and IP. */
interface Said extends Count {
  /** Virtual milliseconds until all are connected and know the same. */
  readonly ms: number;
}

export interface WeaveBench {
  /** From nothing to a full mesh. */
  readonly bringUp: Said & { readonly topology: Count };
  readonly cpuSeconds: number;
  readonly bytesPerPeer: number;
  /** A minute in which nothing happens, for each peer. */
  readonly idleMinute: Count;
  /** One more peer, who is told of one. */
  readonly join: Said;
}

/** Before this nobody gives up: the longest that a peer waits before it tries again is six minutes. */
const LONGEST_MS = 900_000;
const STEP_MS = 50;
const MINUTE_MS = 60_000;
const FIRST = parseIp("10.0.0.1") as Ipv4Address;

function measure(count: number, knowAll: boolean): WeaveBench {
  const before = liveBytes();
  const mesh = new Mesh();
  let ms = 0;
  const seconds = cpuSeconds(() => {
    const all = Array.from({ length: count }, (_, i) => i);
    for (const i of all) mesh.add(knowAll ? all.filter((other) => other !== i) : i > 0 ? [0] : []);
    ms = mesh.converge();
  });
  const bringUp = { ...mesh.said(), ms, topology: mesh.said("gossip topology") };
  const bytesPerPeer = (liveBytes() - before) / count;
  mesh.clock.advance(MINUTE_MS);
  const rested = mesh.said();
  mesh.clock.advance(MINUTE_MS);
  const idle = difference(mesh.said(), rested);
  const beforeJoin = mesh.said();
  mesh.add([0]);
  const joined = mesh.converge();
  return {
    bringUp,
    cpuSeconds: seconds,
    bytesPerPeer,
    idleMinute: { messages: idle.messages / count, bytes: idle.bytes / count },
    join: { ...difference(mesh.said(), beforeJoin), ms: joined },
  };
}

function difference(now: Count, then: Count): Count {
  return { messages: now.messages - then.messages, bytes: now.bytes - then.bytes };
}

/** Peers on one Ethernet, whose frames may be as long as they can be: how TCP cuts messages is not what is measured. */
class Mesh {
  readonly clock = new VirtualClock();
  readonly #random = new SeededRandom(1);
  readonly #network = new Network(this.clock, this.#random);
  readonly #segment = new Segment(this.#network, "lan");
  readonly #routers: MeshRouter[] = [];

  add(known: readonly number[]): void {
    const number = this.#routers.length;
    const { initNs } = new Kernel(this.#network, `node${number}`);
    initNs.loopback.setUp();
    const nic = new Nic(initNs, { name: "eth0", segment: this.#segment });
    nic.setMtu(this.#segment.mtu);
    nic.setUp();
    nic.addAddress(FIRST + number, 16);
    const router = new MeshRouter({
      netns: initNs,
      clock: this.clock,
      random: this.#random.fork(`peer${number}`),
      name: formatMac(0x020000000000 + number),
      nickname: `node${number}`,
      overlay: NULL_OVERLAY,
    });
    this.#routers.push(router);
    router.start(known.map((other) => formatIp(FIRST + other)));
  }

  /** @returns virtual milliseconds */
  converge(): number {
    const { now } = this.clock;
    while (!this.#hasConverged()) {
      if (this.clock.now > now + LONGEST_MS) throw new Error("the mesh does not come together");
      this.clock.advance(STEP_MS);
    }
    return this.clock.now - now;
  }

  said(kind?: string): Count {
    let messages = 0;
    let bytes = 0;
    for (const { counters } of this.#routers) {
      const count = kind === undefined ? counters.total : counters.byKind.get(kind);
      messages += count?.messages ?? 0;
      bytes += count?.bytes ?? 0;
    }
    return { messages, bytes };
  }

  #hasConverged(): boolean {
    const others = this.#routers.length - 1;
    const isComplete = this.#routers.every(
      ({ connections }) =>
        connections.size === others &&
        [...connections.values()].every(({ isEstablished }) => isEstablished),
    );
    if (!isComplete) return false;
    const versions = this.#routers.map(({ peers: { ourself } }) => ourself);
    return this.#routers.every(({ peers: known }) =>
      versions.every(({ name, version }) => known.get(name)?.version === version),
    );
  }
}

const [peers = "100", start = "all"] = process.argv.slice(2);
console.log(JSON.stringify(measure(Number(peers), start === "all")));
