import { BROADCAST_MAC, type Mac } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { cable, Lab, listenForFrames, outcome, ping, sendFrame, up } from "../../test/lab.ts";
import { Bridge } from "../bridge/bridge.ts";
import { Macvlan, type MacvlanMode } from "./macvlan.ts";

// kernel drivers/net/macvlan.c

/** Two macvlans m0 and m1 on eth0, whose cable leads to the station s0; all note the frames they hear. */
function stacked(mode: MacvlanMode) {
  const [host, pod0, pod1, outside] = new Lab().machine("host", "pod0", "pod1", "outside");
  const [eth0, station] = cable(host, "eth0", outside, "s0");
  const macvlans = [pod0, pod1].map((netns, i) =>
    up(new Macvlan(netns, { name: `m${i}`, mac: 0x020000000000 + i, lower: eth0, mode })),
  ) as [Macvlan, Macvlan];
  return { host, outside, eth0, station, macvlans, pods: [pod0, pod1] as const };
}

describe("whom a macvlan's frame reaches", () => {
  test.each<[MacvlanMode, string, string]>([
    ["bridge", "m1", "m1 s0"],
    ["vepa", "s0", "s0"],
    ["private", "s0", "s0"],
  ])("in mode %s: to the other %s, broadcast %s", (mode, unicast, broadcast) => {
    const { macvlans, station } = stacked(mode);
    const [m0, m1] = macvlans;
    const { heard } = listenForFrames(m1, station);
    sendFrame(m0, m0.mac, m1.mac);
    expect(heard().join(" ")).toBe(unicast);
    sendFrame(m0, m0.mac, BROADCAST_MAC);
    expect(heard().join(" ")).toBe(broadcast);
  });
});

describe("what comes from outside", () => {
  test("goes to the macvlan with the destination's MAC, or to all", () => {
    const { macvlans, station } = stacked("bridge");
    const { heard } = listenForFrames(...macvlans);
    sendFrame(station, station.mac, macvlans[1].mac);
    expect(heard()).toEqual(["m1"]);
    sendFrame(station, station.mac, BROADCAST_MAC);
    expect(heard()).toEqual(["m0", "m1"]);
  });

  test.each<[MacvlanMode, string[]]>([
    ["vepa", ["m1"]],
    ["private", ["m0"]],
    ["bridge", []],
  ])("reflected broadcasts of a macvlan in mode %s reach %j", (mode, expected) => {
    const { macvlans, station } = stacked(mode);
    const { heard } = listenForFrames(...macvlans);
    sendFrame(station, macvlans[0].mac, BROADCAST_MAC);
    expect(heard()).toEqual(expected);
  });

  test("stays with the lower device when it is for that", () => {
    const { host, station, eth0, macvlans, outside } = stacked("bridge");
    up(eth0, "10.0.0.1/24");
    up(station, "10.0.0.2/24");
    expect(outcome(ping(outside, "10.0.0.1"))).toBe("connected");
    expect(outcome(ping(host, "10.0.0.2"))).toBe("connected");
    expect(macvlans.map((m) => m.txPackets)).toEqual([0, 0]);
  });
});

test("a macvlan and its lower device do not reach each other", () => {
  const { host, eth0, station, macvlans, pods, outside } = stacked("bridge");
  up(eth0, "10.0.0.1/24");
  up(station, "10.0.0.2/24");
  up(macvlans[0], "10.0.0.10/24");
  up(macvlans[1], "10.0.0.11/24");
  expect(outcome(ping(pods[0], "10.0.0.11"))).toBe("connected");
  expect(outcome(ping(pods[0], "10.0.0.2"))).toBe("connected");
  expect(outcome(ping(outside, "10.0.0.11"))).toBe("connected");
  expect(outcome(ping(pods[0], "10.0.0.1", { waitMs: 5000 }))).toBe(
    "unreachable, EHOSTUNREACH, NEIGH_FAILED in pod0",
  );
  expect(outcome(ping(host, "10.0.0.10", { waitMs: 5000 }))).toBe(
    "unreachable, EHOSTUNREACH, NEIGH_FAILED in host",
  );
});

test("passthru has the lower device's MAC and all its frames", () => {
  const [host, pod, outside] = new Lab().machine("host", "pod", "outside");
  const [eth0, station] = cable(host, "eth0", outside, "s0");
  const macvlan = up(new Macvlan(pod, { name: "m0", lower: eth0, mode: "passthru" }));
  expect(macvlan.mac).toBe(eth0.mac);
  const { heard } = listenForFrames(macvlan);
  for (const dst of [eth0.mac, 0x0200000000ee as Mac, BROADCAST_MAC]) {
    sendFrame(station, station.mac, dst);
    expect(heard()).toEqual(["m0"]);
  }
  expect(() => new Macvlan(pod, { name: "m1", lower: eth0, mode: "bridge" })).toThrow("EINVAL");
});

describe("making one", () => {
  test("gives it the lower device's MTU, or a smaller one", () => {
    const { host, eth0 } = stacked("bridge");
    eth0.setMtu(1400);
    expect(new Macvlan(host, { name: "m2", lower: eth0 }).mtu).toBe(1400);
    expect(new Macvlan(host, { name: "m3", lower: eth0, mtu: 1300 }).mtu).toBe(1300);
    expect(() => new Macvlan(host, { name: "m4", lower: eth0, mtu: 1401 })).toThrow("EINVAL");
  });

  test("on a bridge port is refused, as is making a port of its lower device", () => {
    const { host, eth0 } = stacked("bridge");
    const bridge = new Bridge(host, { name: "br0" });
    expect(() => eth0.setMaster(bridge)).toThrow("EBUSY");
    const [port] = cable(host, "port", host, "peer");
    port.setMaster(bridge);
    expect(() => new Macvlan(host, { name: "m2", lower: port })).toThrow("EBUSY");
  });

  test("on a macvlan puts it beside that", () => {
    const { macvlans, eth0, pods } = stacked("bridge");
    const third = up(new Macvlan(pods[0], { name: "m2", lower: macvlans[0], mode: "bridge" }));
    expect(third.lower).toBe(eth0);
    const { heard } = listenForFrames(macvlans[1]);
    sendFrame(third, third.mac, macvlans[1].mac);
    expect(heard()).toEqual(["m1"]);
  });
});

test("a new MAC is the one that it hears on", () => {
  const { macvlans, station } = stacked("bridge");
  const [m0] = macvlans;
  const { heard } = listenForFrames(m0);
  const old = m0.mac;
  m0.setMac(0x0200000000cc);
  sendFrame(station, station.mac, old);
  expect(heard()).toEqual([]);
  sendFrame(station, station.mac, m0.mac);
  expect(heard()).toEqual(["m0"]);
});

test("macvlans go with their lower device", () => {
  const { eth0, pods } = stacked("bridge");
  eth0.remove();
  expect(pods.map((pod) => pod.devices.map((d) => d.name))).toEqual([["lo"], ["lo"]]);
});

test("the lower device is free again when the last macvlan has gone", () => {
  const { host, eth0, macvlans } = stacked("bridge");
  for (const macvlan of macvlans) macvlan.remove();
  const bridge = new Bridge(host, { name: "br0" });
  eth0.setMaster(bridge);
  expect(eth0.master).toBe(bridge);
});

test("a group's frames reach the macvlans that listen to it", () => {
  const { station, macvlans, outside } = stacked("bridge");
  up(station, "fd00::2/64");
  up(macvlans[0], "fd00::10/64");
  const before = macvlans.map((m) => m.rxPackets);
  expect(outcome(ping(outside, "fd00::10"))).toBe("connected");
  // A neighbour solicitation for the first, and the ping.
  expect(macvlans.map((m, i) => m.rxPackets - (before[i] ?? 0))).toEqual([2, 0]);
});
