import { describe, expect, test } from "vitest";
import { peerNumber } from "../../test/golden/rings.ts";
import { MeshLab, numberOf } from "../../test/mesh-lab.ts";
import { DISCARD, type FlowOp, flattenFlowOp, type PacketKey } from "./flow-op.ts";
import type { Consumer, InjectorConsumer } from "./injector-consumer.ts";
import type { NetworkOverlay, OverlayConsumer } from "./network-overlay.ts";
import { NetworkRouter } from "./network-router.ts";

/** Says what would be done. */
class Said implements FlowOp {
  readonly discards = false;
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  process(): void {}
}

/** What an op comes to, as `to 3: 1>2` for what is sent to neighbour 3. */
function said(op: FlowOp): string[] {
  return flattenFlowOp(op).flatMap((each) => (each instanceof Said ? [each.text] : []));
}

/** Peer 2 in the middle of 1 - 2 - 3, and 2 - 4, with an overlay and a bridge that say what they are asked for. */
function middle() {
  const lab = new MeshLab();
  let captured: Consumer = () => DISCARD;
  let forwarded: OverlayConsumer = () => DISCARD;
  let invalidations = 0;
  const overlay: NetworkOverlay = {
    addFeaturesTo() {},
    prepareConnection: ({ remote, established }) => ({
      name: "said",
      confirm: established,
      controlMessage() {},
      stop() {},
      forward: ({ srcPeer, dstPeer }) =>
        new Said(`to ${numberOf(remote.name)}: ${numberOf(srcPeer)}>${numberOf(dstPeer)}`),
    }),
    startConsumingPackets: (_peer, _peers, consumer) => {
      forwarded = consumer;
    },
    invalidateRoutes: () => invalidations++,
    invalidateShortIds() {},
    diagnostics() {},
    stop() {},
  };
  const injectorConsumer: InjectorConsumer = {
    deviceName: "test",
    injectPacket: () => new Said("inject"),
    startConsumingPackets: (consumer) => {
      captured = consumer;
    },
    stats: () => ({}),
    stop() {},
  };
  const { clock } = lab;
  const mesh = lab.make(2, { overlay, discovery: false });
  const router = new NetworkRouter({ clock, mesh, overlay, injectorConsumer });
  router.start();
  mesh.start([]);
  for (const host of [1, 3, 4]) lab.start(host, [2], { discovery: false });
  clock.advance(5000);
  return {
    lab,
    router,
    invalidations: () => invalidations,
    capture: (srcMac: number, dstMac: number) => said(captured({ srcMac, dstMac })),
    take: (src: number, dst: number, key: PacketKey) =>
      said(forwarded({ ...key, srcPeer: peerNumber(src), dstPeer: peerNumber(dst) })),
  };
}

const BROADCAST = 0xffffffffffff;
const [OURS, ALSO_OURS, AT_1, UNKNOWN] = [0x21, 0x22, 0x11, 0x99];

describe("a frame of our own containers", () => {
  test.each([
    [
      "for nobody that is known goes to all",
      OURS,
      UNKNOWN,
      ["to 1: 2>1", "to 3: 2>3", "to 4: 2>4"],
    ],
    ["for all goes to all", OURS, BROADCAST, ["to 1: 2>1", "to 3: 2>3", "to 4: 2>4"]],
    ["for a peer's container goes there", OURS, AT_1, ["to 1: 2>1"]],
    ["for another of ours goes nowhere: the bridge has it", OURS, ALSO_OURS, []],
    ["of the spanning tree goes nowhere", OURS, 0x0180c2000000, []],
    ["that another peer has sent goes nowhere", AT_1, UNKNOWN, []],
  ])("%s", (_, src, dst, want) => {
    const { capture, take } = middle();
    capture(ALSO_OURS, BROADCAST);
    take(1, 2, { srcMac: AT_1, dstMac: ALSO_OURS });
    expect(capture(src, dst).sort()).toEqual(want);
  });
});

describe("a frame from a peer", () => {
  test.each([
    ["for another peer is relayed, and nothing learnt", 1, 3, AT_1, OURS, ["to 3: 1>3"], false],
    ["for ours is injected", 1, 2, AT_1, OURS, ["inject"], true],
    [
      "for all is injected, and passed on to those that it has not reached",
      1,
      2,
      AT_1,
      BROADCAST,
      ["inject", "to 3: 1>3", "to 4: 1>4"],
      true,
    ],
    [
      "for nobody that is known is treated as one for all",
      3,
      2,
      AT_1,
      UNKNOWN,
      ["inject", "to 1: 3>1", "to 4: 3>4"],
      true,
    ],
    ["for a peer out of reach is lost", 1, 9, AT_1, OURS, [], false],
  ])("%s", (_, src, dst, srcMac, dstMac, want, isLearnt) => {
    const { capture, take, router } = middle();
    capture(OURS, BROADCAST);
    expect(take(src, dst, { srcMac, dstMac }).sort()).toEqual(want);
    expect(router.macs.lookup(srcMac)).toBe(isLearnt ? peerNumber(src) : undefined);
  });
});

test("a peer that is gone takes its MACs along, and routes that change are told", () => {
  const { lab, take, router, invalidations } = middle();
  take(1, 2, { srcMac: AT_1, dstMac: OURS });
  take(3, 2, { srcMac: 0x31, dstMac: OURS });
  const before = invalidations();
  lab.routers.get(1)?.stop();
  lab.clock.advance(5000);
  expect([...router.macs.entries().keys()]).toEqual([0x31]);
  expect(invalidations()).toBeGreaterThan(before);
});
