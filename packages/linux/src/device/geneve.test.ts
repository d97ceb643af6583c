import { formatIp, parseIp, type UdpDatagram } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { connect, Lab, outcome, ping, routes, serve, up } from "../../test/lab.ts";
import { Trace } from "../trace.ts";
import { Geneve, type GeneveOptions } from "./geneve.ts";

// RFC 8926; kernel drivers/net/geneve.c

const end = (n: number, family: 4 | 6 = 4) => parseIp(family === 4 ? `10.0.0.${n}` : `fd00::${n}`);

/** Machines h1 and h2 (10.0.0.N, fd00::N) with a geneve device to each other (10.1.0.N, fd01::N). */
function paired(family: 4 | 6 = 4, change: (n: number) => Partial<GeneveOptions> = () => ({})) {
  const lab = new Lab();
  const [one, two] = [1, 2].map((n) => {
    const host = lab.host(`h${n}`, `10.0.0.${n}/24`, `fd00::${n}/64`);
    const options = { name: "gnv0", vni: 7, remote: end(3 - n, family), ...change(n) };
    return { host, dev: up(new Geneve(host, options), `10.1.0.${n}/24`, `fd01::${n}/64`) };
  }) as [
    { host: ReturnType<Lab["host"]>; dev: Geneve },
    { host: ReturnType<Lab["host"]>; dev: Geneve },
  ];
  return { lab, h1: one.host, h2: two.host, g1: one.dev, g2: two.dev };
}

test.each([
  [4, "10.1.0.2"],
  [4, "fd01::2"],
  [6, "10.1.0.2"],
  [6, "fd01::2"],
] as const)("over IPv%i to %s", (family, to) => {
  const { h1, h2 } = paired(family);
  expect(outcome(ping(h1, to))).toBe("connected");
  serve(h2, 80);
  expect(outcome(connect(h1, to, 80))).toBe("connected");
});

test.each([
  // 84 bytes of ping; 14 Ethernet, 8 Geneve, 8 UDP, 20 or 40 IP. No checksum over IPv4 unless asked for.
  [4, {}, 134, 64, true],
  [6, {}, 154, 64, false],
  [4, { ttl: 9, udpChecksum: true }, 134, 9, false],
] as const)("the outer packet over IPv%i with %o", (family, options, length, ttl, noChecksum) => {
  const { h1 } = paired(family, () => options);
  ping(h1, "10.1.0.2");
  const trace = new Trace();
  ping(h1, "10.1.0.2", { trace, length: 56 });
  const sent = trace.steps.find((s) => s.kind === "encapsulate");
  if (sent?.kind !== "encapsulate") throw new Error("nothing was encapsulated");
  const { outer } = sent;
  const datagram = outer.payload as UdpDatagram;
  expect([formatIp(outer.dst), outer.length, outer.ttl]).toEqual([
    formatIp(end(2, family)),
    length,
    ttl,
  ]);
  expect([datagram.dstPort, datagram.noChecksum]).toEqual([6081, noChecksum]);
});

describe("a frame is for the device with its VNI and its sender at the other end", () => {
  test.each<[string, (n: number) => Partial<GeneveOptions>, string]>([
    ["another VNI", (n) => ({ vni: n }), "GENEVE_NO_DEVICE in h2"],
    ["another remote", (n) => (n === 2 ? { remote: end(3) } : {}), "GENEVE_NO_DEVICE in h2"],
    ["another port", (n) => ({ port: 6080 + n }), "NO_SOCKET in h2"],
    ["the sender's own MAC", () => ({ mac: 0x020000000009 }), "LOCAL_MAC in h2"],
  ])("%s", (_, change, where) => {
    const { h1, h2, g1 } = paired(4, change);
    h1.neighboursOf(g1).replace(parseIp("10.1.0.2"), 0x020000000009);
    routes(h2, "10.9.0.0/16 dev gnv0");
    expect(outcome(ping(h1, "10.1.0.2"))).toBe(`timeout, ${where}`);
  });

  test("a device that is down takes nothing, one on its port still does", () => {
    const { h1, h2, g2 } = paired();
    up(new Geneve(h2, { name: "gnv1", vni: 8, remote: end(1) }));
    ping(h1, "10.1.0.2");
    g2.setDown();
    expect(outcome(ping(h1, "10.1.0.2"))).toBe("timeout, GENEVE_NO_DEVICE in h2");
    h2.device("gnv1").setDown();
    expect(outcome(ping(h1, "10.1.0.2"))).toBe("timeout, NO_SOCKET in h2");
  });
});

test.each([
  [1500, 1500],
  [1480, 1480],
])("its MTU is that of the way less 50 or 70: link %i", (_, mtu) => {
  const lab = new Lab();
  const host = lab.host("h1", "10.0.0.1/24", "fd00::1/64");
  host.device("eth0").setMtu(mtu);
  const mtus = [4, 6].map(
    (family) =>
      new Geneve(host, { name: `g${family}`, vni: 1, remote: end(2, family as 4 | 6) }).mtu,
  );
  expect(mtus).toEqual([mtu - 50, mtu - 70]);
});

// Asked of a 6.1 kernel: packages/realize, npm run fuzz:vm.
test.each([
  [4, "connected"],
  [6, "timeout, PKT_TOO_BIG in h1"],
] as const)(
  "what is too long for the way is cut over IPv4, and lost over IPv6: %i",
  (family, then) => {
    const { h1 } = paired(family, () => ({ mtu: 1500 }));
    expect(outcome(ping(h1, "10.1.0.2", { length: 2000 }))).toBe(then);
  },
);

test("a route to the other end that leads into the tunnel is not taken", () => {
  const { h1 } = paired();
  ping(h1, "10.1.0.2");
  routes(h1, "10.0.0.2 dev gnv0");
  expect(outcome(ping(h1, "10.1.0.2"))).toBe("timeout, IP_OUTNOROUTES in h1");
});

test.each<[Partial<GeneveOptions>, string]>([
  [{ vni: 0x1000000 }, "ERANGE"],
  [{ remote: parseIp("224.0.0.1") }, "EINVAL"],
  [{}, "EBUSY"],
])("%o is refused", (options, errno) => {
  const { h1 } = paired();
  const make = () => new Geneve(h1, { name: "gnv1", vni: 7, remote: end(2), ...options });
  expect(make).toThrow(expect.objectContaining({ errno }));
});

test("another port, VNI or remote makes it another tunnel, and so does its removal", () => {
  const { h1, g1 } = paired();
  for (const options of [{ port: 99 }, { vni: 8 }, { remote: end(3) }]) {
    const other = { name: "other", vni: 7, remote: end(2), ...options };
    new Geneve(h1, other).remove();
  }
  g1.remove();
  expect(new Geneve(h1, { name: "again", vni: 7, remote: end(2) }).mtu).toBe(1450);
});
