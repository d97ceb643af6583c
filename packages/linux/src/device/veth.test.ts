import { describe, expect, test } from "vitest";
import { cable, Lab, outcome, ping, showRoutes, up } from "../../test/lab.ts";
import { Bridge } from "../bridge/bridge.ts";
import type { KernelError } from "../kernel-error.ts";
import { Veth } from "./veth.ts";

// kernel drivers/net/veth.c

test("a veth has a carrier while both ends are up", () => {
  const [a, b] = new Lab().machine("a", "b");
  const [x, y] = Veth.pair(a, { name: "x" }, b, { name: "y" });
  const carriers = () => [x.carrier, y.carrier];
  expect(carriers()).toEqual([false, false]);
  x.setUp();
  expect(carriers()).toEqual([false, false]);
  y.setUp();
  expect(carriers()).toEqual([true, true]);
  y.setDown();
  expect(carriers()).toEqual([false, false]);
});

test("each end has a random local MAC of its own, the same in each run", () => {
  const macs = () => {
    const [a, b] = new Lab().machine("a", "b");
    return Veth.pair(a, { name: "x" }, b, { name: "y" }).map((end) => end.mac);
  };
  const [x, y] = macs();
  expect(x).not.toBe(y);
  expect(macs()).toEqual([x, y]);
});

describe("its other end goes with it", () => {
  test("when it is deleted", () => {
    const [a, b] = new Lab().machine("a", "b");
    const [x] = cable(a, "x", b, "y");
    x.remove();
    expect(a.findDevice("x")).toBeUndefined();
    expect(b.findDevice("y")).toBeUndefined();
  });

  test("when its namespace is deleted, with addresses and routes", () => {
    const [a, b] = new Lab().machine("a", "b");
    const [, y] = cable(a, "x", b, "y");
    up(y, "10.0.0.2/24", "fd00::2/64");
    a.kernel.deleteNamespace(a);
    expect(b.devices.map((d) => d.name)).toEqual(["lo"]);
    expect([...showRoutes(b, 4), ...showRoutes(b, 6)]).toEqual(["::1/128 dev lo metric 256"]);
    expect(b.hasAddress(0x0a000002)).toBe(false);
    expect(outcome(ping(b, "10.0.0.1"))).toBe("unreachable, ENETUNREACH");
  });
});

test.each([
  ["x", "x", "EEXIST"],
  ["x", "lo", "EEXIST"],
  ["x", "0123456789abcdef", "EINVAL"],
  ["x", "a/b", "EINVAL"],
  ["x", "a b", "EINVAL"],
  ["", "y", "EINVAL"],
  ["x", "..", "EINVAL"],
])("a pair of %j and %j in one namespace is %s, and neither is left", (x, y, errno) => {
  const [a] = new Lab().machine("a");
  expect(() => Veth.pair(a, { name: x }, a, { name: y })).toThrow(
    expect.objectContaining({ errno } as Partial<KernelError>),
  );
  expect(a.devices.map((d) => d.name)).toEqual(["lo"]);
});

test.each(["lo", "br0"])("%s stays in its namespace", (name) => {
  const [a, b] = new Lab().machine("a", "b");
  new Bridge(a, { name: "br0" });
  expect(() => a.device(name).moveTo(b, "new")).toThrow("EINVAL");
  expect(a.findDevice(name)).toBeDefined();
});

describe("a device that moves to another namespace", () => {
  test("is down there, without addresses and routes, with the same MAC and peer", () => {
    const [a, b, c] = new Lab().machine("a", "b", "c");
    const [x, y] = cable(a, "x", b, "y");
    up(x, "10.0.0.1/24");
    const { mac } = x;
    x.moveTo(c, "eth0");
    expect(a.findDevice("x")).toBeUndefined();
    expect([x.up, x.addresses, x.mac, x.peer, c.device("eth0")]).toEqual([false, [], mac, y, x]);
    up(x, "10.0.0.1/24");
    up(y, "10.0.0.2/24");
    expect(outcome(ping(c, "10.0.0.2"))).toBe("connected");
  });

  test("stays where it is when its name is taken there", () => {
    const [a, b] = new Lab().machine("a", "b");
    const [x] = cable(a, "x", b, "y");
    expect(() => x.moveTo(b, "y")).toThrow("EEXIST");
    expect([x.netns, x.name, x.up]).toEqual([a, "x", true]);
    expect(a.findDevice("x")).toBe(x);
  });
});

test.each([
  // veth_xmit, __dev_forward_skb: MTU, Ethernet header and a VLAN tag
  [1504, "connected"],
  [1505, "timeout, PKT_TOO_BIG in b"],
])("a packet of %i bytes to an end with MTU 1500: %s", (length, expected) => {
  const [a, b] = new Lab().machine("a", "b");
  const [x, y] = cable(a, "x", b, "y");
  up(x, "10.0.0.1/24").setMtu(9000);
  up(y, "10.0.0.2/24");
  expect(outcome(ping(a, "10.0.0.2", { length: length - 28 }))).toBe(expected);
});

test("counts what it sends and receives, with the Ethernet header", () => {
  const [a, b] = new Lab().machine("a", "b");
  const [x, y] = cable(a, "x", b, "y");
  up(x, "10.0.0.1/24");
  up(y, "10.0.0.2/24");
  ping(a, "10.0.0.2", { length: 56 });
  // ARP question and answer, echo request and reply
  const counters = { packets: 2, bytes: 42 + 98 };
  for (const end of [x, y]) {
    expect([end.rxPackets, end.rxBytes, end.txPackets, end.txBytes]).toEqual([
      counters.packets,
      counters.bytes,
      counters.packets,
      counters.bytes,
    ]);
  }
});
