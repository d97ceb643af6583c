import { BROADCAST_MAC, formatMac, type Mac } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { cable, Lab, listenForFrames, mac, sendFrame, up } from "../../test/lab.ts";
import type { Veth } from "../device/veth.ts";
import type { KernelError } from "../kernel-error.ts";
import { Bridge } from "./bridge.ts";
import type { BridgePort } from "./bridge-port.ts";

// What a bridge of Linux does with frames (kernel net/bridge, br_input.c, br_forward.c, br_fdb.c).

/** A bridge with ports p0, p1 …, and the stations s0, s1 … at the other ends, which note every frame. */
function switched(stations: number) {
  const lab = new Lab();
  const [netns, outside] = lab.machine("bridge", "outside");
  const bridge = up(new Bridge(netns, { name: "br0", mac: 0x0200000000bb }));
  const ends: Veth[] = [];
  const ports: BridgePort[] = [];
  for (let i = 0; i < stations; i++) {
    const [station, port] = cable(outside, `s${i}`, netns, `p${i}`);
    station.setMac(MACS[i] as Mac);
    port.setMaster(bridge);
    ends.push(station);
    ports.push(port.bridgePort as BridgePort);
  }
  const { heard } = listenForFrames(...ends);
  /** Station `from` sends; which stations hear it. */
  const send = (from: number, dst: Mac, src: Mac = MACS[from] as Mac) => {
    sendFrame(ends[from] as Veth, src, dst);
    return heard().join(" ");
  };
  const port = (i: number) => ports[i] as BridgePort;
  return { lab, netns, bridge, ends, port, send, heard };
}

const MACS = [0x020000000010, 0x020000000011, 0x020000000012, 0x020000000013];
const [A, B] = MACS as [Mac, Mac];
const UNKNOWN = 0x0200000000ff;
const GROUP = mac("01:00:5e:01:02:03");

describe("a frame goes", () => {
  test("everywhere while nobody knows where its destination is, then only there", () => {
    const { send } = switched(3);
    expect(send(0, B)).toBe("s1 s2");
    expect(send(1, A)).toBe("s0");
    expect(send(0, B)).toBe("s1");
  });

  test.each([
    ["broadcast", BROADCAST_MAC],
    ["a group that nobody asked for", GROUP],
    ["an unknown address", UNKNOWN],
  ])("everywhere but back: %s", (_, dst) => {
    expect(switched(3).send(1, dst)).toBe("s0 s2");
  });

  test("nowhere when its destination is behind the port that it came by", () => {
    const { send, lab } = switched(3);
    send(0, BROADCAST_MAC, UNKNOWN);
    expect(send(0, UNKNOWN)).toBe("");
    expect(lab.network.takeDrops().at(-1)?.reason).toBe("BRIDGE_SAME_PORT");
  });

  test("back where it came from by a hairpin port", () => {
    const { send, port } = switched(3);
    port(0).hairpin = true;
    send(0, BROADCAST_MAC, UNKNOWN);
    expect(send(0, UNKNOWN)).toBe("s0");
    expect(send(0, BROADCAST_MAC)).toBe("s0 s1 s2");
  });

  test("after a station that moved", () => {
    const { send } = switched(3);
    send(0, BROADCAST_MAC);
    expect(send(1, A)).toBe("s0");
    send(2, BROADCAST_MAC, A);
    expect(send(1, A)).toBe("s2");
  });
});

// br_private.h br_skb_isolated
test.each([
  ["neither", [], "s1 s2"],
  ["the sender's", [0], "s1 s2"],
  ["the sender's and another", [0, 1], "s2"],
  ["all", [0, 1, 2], ""],
])("isolated ports: %s", (_, isolated, expected) => {
  const { send, port } = switched(3);
  for (const i of isolated) port(i).isolated = true;
  expect(send(0, BROADCAST_MAC)).toBe(expected);
});

test("an isolated port does not get a frame for a known address from another", () => {
  const { send, port, lab } = switched(2);
  port(0).isolated = port(1).isolated = true;
  send(1, BROADCAST_MAC);
  expect(send(0, B)).toBe("");
  expect(lab.network.takeDrops().at(-1)?.reason).toBe("BRIDGE_ISOLATED");
});

test.each([
  ["flood", UNKNOWN, BROADCAST_MAC],
  ["bcastFlood", BROADCAST_MAC, UNKNOWN],
  ["mcastFlood", GROUP, BROADCAST_MAC],
] as const)("%s off keeps just such frames away from a port", (flag, off, on) => {
  const { send, port } = switched(3);
  port(1)[flag] = false;
  expect(send(0, off)).toBe("s2");
  expect(send(0, on)).toBe("s1 s2");
});

test("a port that is down gets nothing", () => {
  const { send, port } = switched(3);
  send(1, BROADCAST_MAC);
  port(1).dev.setDown();
  expect(send(0, B)).toBe("");
  expect(send(0, BROADCAST_MAC)).toBe("s2");
});

test("a port that does not learn leaves its stations unknown", () => {
  const { send, port, bridge } = switched(3);
  port(0).learning = false;
  send(0, BROADCAST_MAC);
  expect(bridge.fdb.find(A)).toBeUndefined();
  expect(send(1, A)).toBe("s0 s2");
});

describe("the forwarding database", () => {
  test("forgets what it learned when that was not seen for the ageing time", () => {
    const { send, bridge, lab } = switched(3);
    send(1, BROADCAST_MAC);
    lab.clock.advance(299_000);
    expect(send(0, B)).toBe("s1");
    send(1, BROADCAST_MAC);
    lab.clock.advance(299_999);
    expect(send(0, B)).toBe("s1");
    lab.clock.advance(1);
    expect(send(0, B)).toBe("s1 s2");
    bridge.fdb.ageingTime = 1000;
    send(1, BROADCAST_MAC);
    lab.clock.advance(1000);
    expect([...bridge.fdb.entries()].filter((e) => !e.isStatic)).toEqual([]);
  });

  test("keeps a static entry, whatever is heard from elsewhere", () => {
    const { send, bridge, port, lab } = switched(3);
    bridge.fdb.add(UNKNOWN, port(2), false);
    lab.clock.advance(1_000_000);
    expect(send(0, UNKNOWN)).toBe("s2");
    send(1, BROADCAST_MAC, UNKNOWN);
    expect(send(0, UNKNOWN)).toBe("s2");
  });

  test("does not learn its own addresses from others", () => {
    const { send, bridge, port } = switched(3);
    const own = port(1).dev.mac;
    send(0, BROADCAST_MAC, own);
    expect(bridge.fdb.find(own)).toMatchObject({ local: true, port: port(1) });
  });

  test("forgets the stations of a port that leaves", () => {
    const { send, bridge, port } = switched(3);
    send(0, BROADCAST_MAC);
    send(1, BROADCAST_MAC);
    port(0).dev.clearMaster();
    expect([...bridge.fdb.entries()].map((e) => [formatMac(e.mac), e.local])).toEqual([
      ["02:00:00:00:00:bb", true],
      [formatMac(port(1).dev.mac), true],
      [formatMac(port(2).dev.mac), true],
      [formatMac(B), false],
    ]);
  });

  test("is asked for an entry to delete that it has not", () => {
    const { bridge } = switched(1);
    expect(() => bridge.fdb.delete(UNKNOWN)).toThrow("fdb entry 02:00:00:00:00:ff: ENOENT");
  });
});

describe("frames for the bridge itself", () => {
  test.each([
    ["its own MAC", 0x0200000000bb, true],
    ["broadcast", BROADCAST_MAC, true],
    ["another station", B, false],
  ])("%s: %s", (_, dst, expected) => {
    const { send, bridge } = switched(2);
    send(1, BROADCAST_MAC, B);
    const before = bridge.rxPackets;
    send(0, dst);
    expect(bridge.rxPackets > before).toBe(expected);
  });

  test("a port's own MAC counts as the bridge's", () => {
    const { send, bridge, port } = switched(2);
    const before = bridge.rxPackets;
    expect(send(0, port(1).dev.mac)).toBe("");
    expect(bridge.rxPackets).toBe(before + 1);
  });

  test("in promiscuous mode it sees the others' too", () => {
    const { send, bridge } = switched(2);
    send(1, BROADCAST_MAC);
    bridge.setPromiscuous(true);
    const before = bridge.rxPackets;
    expect(send(0, B)).toBe("s1");
    expect(bridge.rxPackets).toBe(before + 1);
  });

  test("are lost while it is down, as all others", () => {
    const { send, bridge, lab } = switched(2);
    bridge.setDown();
    expect(send(0, B)).toBe("");
    expect(lab.network.takeDrops().at(-1)?.reason).toBe("DEV_READY");
  });
});

describe("its MAC", () => {
  const bridgeOf = (options: { mac?: Mac }) => {
    const [netns, outside] = new Lab().machine("bridge", "outside");
    const bridge = up(new Bridge(netns, { name: "br0", ...options }));
    const add = (name: string, address: string) => {
      const [, port] = cable(outside, `s${name}`, netns, name);
      port.setMac(mac(address));
      port.setMaster(bridge);
      return port;
    };
    return { bridge, add };
  };

  // br_stp_if.c br_stp_recalculate_bridge_id; seen on 6.18 as well
  test("is the lowest of its ports', and zero once the last has left", () => {
    const { bridge, add } = bridgeOf({});
    const five = add("p5", "02:00:00:00:00:05");
    expect(formatMac(bridge.mac)).toBe("02:00:00:00:00:05");
    const three = add("p3", "02:00:00:00:00:03");
    expect(formatMac(bridge.mac)).toBe("02:00:00:00:00:03");
    add("p9", "02:00:00:00:00:09").clearMaster();
    expect(formatMac(bridge.mac)).toBe("02:00:00:00:00:03");
    three.clearMaster();
    expect(formatMac(bridge.mac)).toBe("02:00:00:00:00:05");
    five.clearMaster();
    expect(formatMac(bridge.mac)).toBe("00:00:00:00:00:00");
  });

  test("follows a port's that changes", () => {
    const { bridge, add } = bridgeOf({});
    add("p5", "02:00:00:00:00:05").setMac(mac("02:00:00:00:00:04"));
    expect(formatMac(bridge.mac)).toBe("02:00:00:00:00:04");
    expect(bridge.fdb.find(mac("02:00:00:00:00:05"))).toBeUndefined();
    expect(bridge.fdb.find(mac("02:00:00:00:00:04"))?.local).toBe(true);
  });

  test.each(["when it was made", "later"])("stays once it was set by hand: %s", (when) => {
    const pinned = 0x0200000000aa;
    const { bridge, add } = bridgeOf(when === "later" ? {} : { mac: pinned });
    if (when === "later") bridge.setMac(pinned);
    add("p3", "02:00:00:00:00:03").clearMaster();
    expect(bridge.mac).toBe(pinned);
    expect(bridge.fdb.find(pinned)?.local).toBe(true);
  });
});

describe("its MTU", () => {
  // br_if.c br_mtu_auto_adjust
  test("is its smallest port's until it is set", () => {
    const { bridge, port } = switched(2);
    port(1).dev.setMtu(1400);
    expect(bridge.mtu).toBe(1400);
    port(1).dev.setMtu(1500);
    expect(bridge.mtu).toBe(1500);
    bridge.setMtu(1450);
    port(1).dev.setMtu(1300);
    expect(bridge.mtu).toBe(1450);
  });

  // br_forward.c br_dev_queue_push_xmit: is_skb_forwardable
  test("keeps frames away from a port that they do not fit", () => {
    const { bridge, port, ends, heard, lab } = switched(2);
    port(1).dev.setMtu(1400);
    (ends[1] as Veth).setMtu(1400);
    sendFrame(ends[0] as Veth, A, BROADCAST_MAC, 1401);
    expect(heard()).toEqual([]);
    expect(lab.network.takeDrops().map((d) => [d.reason, d.dev?.name])).toContainEqual([
      "PKT_TOO_BIG",
      "p1",
    ]);
    sendFrame(ends[0] as Veth, A, BROADCAST_MAC, 1400);
    expect(heard()).toEqual(["s1"]);
    expect(bridge.mtu).toBe(1400);
  });
});

// br_stp.c br_port_state_selection; new and without ports it has one too, seen on 6.18
test("it has a carrier while a port that is up has one", () => {
  const { bridge, port, ends } = switched(2);
  expect(bridge.carrier).toBe(true);
  port(0).dev.setDown();
  expect(bridge.carrier).toBe(true);
  ends[1]?.setDown();
  expect(bridge.carrier).toBe(false);
  ends[1]?.setUp();
  expect(bridge.carrier).toBe(true);
  port(1).dev.clearMaster();
  expect(bridge.carrier).toBe(false);
});

// br_if.c br_add_if
describe("cannot be a port:", () => {
  const [netns, other] = new Lab().machine("bridge", "other");
  const bridge = new Bridge(netns, { name: "br0" });
  const [here, there] = cable(netns, "veth0", other, "veth1");
  const second = new Bridge(netns, { name: "br1" });
  here.setMaster(second);

  test.each([
    ["a bridge", second, "ELOOP"],
    ["the loopback device", netns.loopback, "EINVAL"],
    ["a device of another namespace", there, "EINVAL"],
  ])("%s", (_, dev, errno) => {
    expect(() => dev.setMaster(bridge)).toThrow(
      expect.objectContaining({ errno } as Partial<KernelError>),
    );
    expect(bridge.ports).toEqual([]);
  });

  test("but one of another bridge moves", () => {
    here.setMaster(bridge);
    expect(second.ports).toEqual([]);
    expect(here.master).toBe(bridge);
    here.clearMaster();
  });
});

test("a deleted bridge lets its ports go", () => {
  const { bridge, port, send, lab } = switched(2);
  bridge.remove();
  expect(port(0).dev.master).toBeUndefined();
  expect(send(0, BROADCAST_MAC)).toBe("");
  expect(lab.network.takeDrops().at(-1)?.reason).toBe("UNHANDLED_PROTO");
});

test("two cables between two bridges are a storm", () => {
  const [netns, outside] = new Lab().machine("bridges", "outside");
  const bridges = ["br0", "br1"].map((name) => up(new Bridge(netns, { name })));
  for (const i of [0, 1]) {
    const [x, y] = cable(netns, `x${i}`, netns, `y${i}`);
    x.setMaster(bridges[0] as Bridge);
    y.setMaster(bridges[1] as Bridge);
  }
  const [station, port] = cable(outside, "s0", netns, "p0");
  port.setMaster(bridges[0] as Bridge);
  sendFrame(station, A, BROADCAST_MAC);
  expect(netns.network.takeDrops()[0]?.reason).toBe("PACKET_STORM");
});
