import { describe, expect, test } from "vitest";
import type { GossipPayload } from "../mesh/gossiper.ts";
import type { FlowOp, ForwardPacketKey } from "./flow-op.ts";
import type {
  NetworkConnectionParams,
  NetworkOverlay,
  OverlayForwarder,
} from "./network-overlay.ts";
import { OverlaySwitch } from "./overlay-switch.ts";

const KEY: ForwardPacketKey = { srcMac: 1, dstMac: 2, srcPeer: "a", dstPeer: "b" };

/** What a connection says to one overlay, and that overlay to it. */
interface Part {
  readonly params: NetworkConnectionParams;
  readonly heard: [tag: number, message: GossipPayload][];
  confirmed: number;
  stopped: number;
}

/** An overlay that the test plays. */
class PlayedOverlay implements NetworkOverlay {
  readonly #name: string;
  readonly parts: Part[] = [];
  /** Why it prepares no connection. */
  refuses: Error | undefined;
  carries = true;
  op: FlowOp = { discards: false, process() {} };
  consuming = 0;
  stopped = 0;
  invalidated: string[] = [];

  constructor(name: string) {
    this.#name = name;
  }

  get part(): Part {
    return this.parts[0] as Part;
  }

  addFeaturesTo(): void {}

  prepareConnection(params: NetworkConnectionParams): OverlayForwarder {
    if (this.refuses !== undefined) throw this.refuses;
    const part: Part = { params, heard: [], confirmed: 0, stopped: 0 };
    this.parts.push(part);
    return {
      name: this.#name,
      mtu: this.#name.length,
      confirm: () => part.confirmed++,
      controlMessage: (tag, message) => part.heard.push([tag, message]),
      stop: () => part.stopped++,
      forward: () => (this.carries ? this.op : undefined),
    };
  }

  startConsumingPackets(): void {
    this.consuming++;
  }
  invalidateRoutes(): void {
    this.invalidated.push("routes");
  }
  invalidateShortIds(): void {
    this.invalidated.push("short ids");
  }
  diagnostics(): string {
    return `of ${this.#name}`;
  }
  stop(): void {
    this.stopped++;
  }
}

interface Played {
  readonly overlays: OverlaySwitch;
  readonly fastdp: PlayedOverlay;
  readonly sleeve: PlayedOverlay;
}

function played(): Played {
  const overlays = new OverlaySwitch();
  const [fastdp, sleeve] = [new PlayedOverlay("fastdp"), new PlayedOverlay("sleeve")];
  overlays.add("fastdp", fastdp);
  overlays.add("sleeve", sleeve);
  overlays.setCompatOverlay(sleeve);
  return { overlays, fastdp, sleeve };
}

interface Connected extends Played {
  readonly forwarder: OverlayForwarder;
  readonly said: [tag: number, message: GossipPayload][];
  readonly told: string[];
}

function connect(theirs: string | undefined, prepare?: (all: Played) => void): Connected {
  const all = played();
  prepare?.(all);
  const said: Connected["said"] = [];
  const told: string[] = [];
  const features = new Map(theirs === undefined ? [] : [["Overlays", theirs]]);
  const params = {
    remote: { name: "b", nickname: "node2", uid: 1, version: 1, connections: new Map() },
    localAddress: 1,
    remoteAddress: 2,
    remotePort: 6783,
    outbound: true,
    connectionUid: 1n,
    encrypted: false,
    features,
    sendControlMessage: (tag: number, message: GossipPayload) => said.push([tag, message]),
    established: () => told.push("established"),
    failed: ({ message }: Error) => told.push(message),
  };
  const forwarder = all.overlays.prepareConnection(params);
  return { ...all, forwarder, said, told };
}

test("tells which overlays there are, the best first", () => {
  const features = new Map<string, string>();
  const { overlays } = played();
  overlays.addFeaturesTo(features);
  expect([...features]).toEqual([["Overlays", "fastdp sleeve"]]);
  expect(() => overlays.add("sleeve", new PlayedOverlay("sleeve"))).toThrow("repeated");
});

test.each<[string, string | undefined, string[], string]>([
  ["both have both", "fastdp sleeve", ["fastdp", "sleeve"], "fastdp"],
  ["in another order", "sleeve fastdp", ["fastdp", "sleeve"], "fastdp"],
  ["the other has one", "sleeve", ["sleeve"], "sleeve"],
  ["the other has more", "awsvpc sleeve", ["sleeve"], "sleeve"],
  ["the other says nothing", undefined, ["sleeve"], "sleeve"],
])("uses what is common: %s", (_, theirs, prepared, best) => {
  const { fastdp, sleeve, forwarder } = connect(theirs);
  const used = Object.entries({ fastdp, sleeve }).filter(([, { parts }]) => parts.length > 0);
  expect(used.map(([name]) => name)).toEqual(prepared);
  expect(forwarder.name).toBe(best);
});

test.each([
  ["awsvpc", "no overlays in common with peer"],
  ["", "no overlays in common with peer"],
])("nothing is common with %j", (theirs, error) => {
  expect(() => connect(theirs)).toThrow(error);
});

test("an overlay that cannot prepare a connection is left out", () => {
  const refuse = (overlay: PlayedOverlay) => {
    overlay.refuses = new Error("no IPv4");
  };
  expect(connect("fastdp sleeve", ({ fastdp }) => refuse(fastdp)).forwarder.name).toBe("sleeve");
  expect(() =>
    connect("fastdp sleeve", ({ fastdp, sleeve }) => {
      refuse(fastdp);
      refuse(sleeve);
    }),
  ).toThrow("no working forwarders to b(node2)");
});

describe("which one carries frames", () => {
  type Event = (connected: Connected) => void;
  const established =
    (name: "fastdp" | "sleeve"): Event =>
    (connected) =>
      connected[name].part.params.established();
  const failed =
    (name: "fastdp" | "sleeve"): Event =>
    (connected) =>
      connected[name].part.params.failed(new Error("heartbeat"));
  const health =
    (name: "fastdp" | "sleeve", healthy: boolean): Event =>
    (connected) =>
      connected[name].part.params.healthChanged?.(healthy);

  test.each<[string, Event[], string, string[]]>([
    ["at first the preferred one", [], "fastdp", []],
    ["the only one established", [established("sleeve")], "sleeve", ["established"]],
    [
      "the preferred one once it is established too",
      [established("sleeve"), established("fastdp")],
      "fastdp",
      ["established"],
    ],
    [
      "the other one while it misses heartbeats",
      [established("sleeve"), established("fastdp"), health("fastdp", false)],
      "sleeve",
      ["established"],
    ],
    [
      "and the preferred one again when they come",
      [
        established("sleeve"),
        established("fastdp"),
        health("fastdp", false),
        health("fastdp", false),
        health("fastdp", true),
      ],
      "fastdp",
      ["established"],
    ],
    [
      "the other one when it has failed",
      [established("fastdp"), failed("fastdp")],
      "sleeve",
      ["established"],
    ],
    [
      "none when all have failed",
      [failed("fastdp"), failed("sleeve")],
      "none",
      ["no working forwarders to b(node2)"],
    ],
    [
      "none when one has failed and the other misses heartbeats",
      [established("fastdp"), failed("sleeve"), health("fastdp", false)],
      "fastdp",
      ["established", "no working forwarders to b(node2)"],
    ],
  ])("%s", (_, events, best, told) => {
    const connected = connect("fastdp sleeve");
    for (const event of events) event(connected);
    expect(connected.forwarder.name).toBe(best);
    expect(connected.told).toEqual(told);
  });

  test("and the next one that can where it cannot carry a frame", () => {
    const { fastdp, sleeve, forwarder } = connect("fastdp sleeve");
    expect(forwarder.forward(KEY)).toBe(fastdp.op);
    expect(forwarder.mtu).toBe(6);
    fastdp.carries = false;
    expect(forwarder.forward(KEY)).toBe(sleeve.op);
    sleeve.carries = false;
    expect(forwarder.forward(KEY)?.discards).toBe(true);
  });
});

test("what an overlay says goes to its own kind, two bytes longer", () => {
  const here = connect("fastdp sleeve");
  const there = connect("fastdp sleeve");
  const message = { wireLength: 5 };
  here.sleeve.part.params.sendControlMessage(3, message);
  expect(here.said.map(([tag, { wireLength }]) => [tag, wireLength])).toEqual([[7, 7]]);
  for (const [tag, said] of here.said) there.forwarder.controlMessage(tag, said);
  expect([there.fastdp.part.heard, there.sleeve.part.heard]).toEqual([[], [[3, message]]]);
  // One that has failed meanwhile hears nothing.
  there.sleeve.part.params.failed(new Error("gone"));
  for (const [tag, said] of here.said) there.forwarder.controlMessage(tag, said);
  expect(there.sleeve.part.heard.length).toBe(1);
});

test("what is said to the connection is said to each overlay", () => {
  const { overlays, fastdp, sleeve, forwarder } = connect("fastdp sleeve");
  forwarder.confirm();
  overlays.startConsumingPackets("a", {} as never, () => fastdp.op);
  overlays.invalidateRoutes();
  overlays.invalidateShortIds();
  expect(overlays.diagnostics()).toEqual({ fastdp: "of fastdp", sleeve: "of sleeve" });
  sleeve.part.params.failed(new Error("gone"));
  forwarder.stop();
  overlays.stop();
  for (const overlay of [fastdp, sleeve]) {
    expect(overlay).toMatchObject({
      consuming: 1,
      stopped: 1,
      invalidated: ["routes", "short ids"],
      part: { confirmed: 1, stopped: 1 },
    });
  }
});
