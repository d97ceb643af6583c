import { Data, parseIp } from "@cnilab/net";
import { beforeEach, describe, expect, test } from "vitest";
import { cable, forwarding, Lab, routes, up } from "../../../test/lab.ts";
import type { NetNamespace } from "../../net-namespace.ts";
import { UdpSocket } from "../../socket/udp.ts";
import type { Conntrack } from "../conntrack.ts";
import { IPS_ASSURED } from "../conntrack-entry.ts";
import { NF_INET_PRE_ROUTING } from "../hooks.ts";
import { dnat, registerNat } from "../nat.ts";

// A client, a router that tracks and translates 10.96.0.10 to a server, and that server.
let lab: Lab;
let client: NetNamespace;
let server: NetNamespace;
let conntrack: Conntrack;
let socket: UdpSocket;
let listener: UdpSocket;
let received: number;
/** First packets that NAT was asked about. */
let asked: number;
/** Packets that were walked, as opposed to repeated. */
let walked: number;

const VIP = parseIp("10.96.0.10");
const PAYLOAD = new Data(32);

beforeEach(() => {
  lab = new Lab();
  let router: NetNamespace;
  [client, router, server] = lab.machine("client", "router", "server");
  const [left, atLeft] = cable(client, "eth0", router, "left");
  const [atRight, right] = cable(router, "right", server, "eth0");
  up(left, "10.0.1.2/24");
  up(atLeft, "10.0.1.1/24");
  up(atRight, "10.0.2.1/24");
  up(right, "10.0.2.2/24");
  routes(client, "0.0.0.0/0 via 10.0.1.1");
  routes(server, "0.0.0.0/0 via 10.0.2.1");
  forwarding(router);
  asked = 0;
  walked = 0;
  registerNat(router, 4, NF_INET_PRE_ROUTING, {
    name: "service",
    priority: 0,
    run(skb, state) {
      asked++;
      return dnat(skb, state, { minAddress: parseIp("10.0.2.2") });
    },
  });
  conntrack = router.requireConntrack(4);
  const track = conntrack.track.bind(conntrack);
  conntrack.track = (skb) => {
    walked++;
    return track(skb);
  };
  received = 0;
  listener = new UdpSocket(server, { localPort: 53, owner: "server", onReceive: () => received++ });
  socket = new UdpSocket(client, { owner: "client" });
});

/** Sends until the flow is cached, and looks that it is. */
function warmUp(): void {
  for (let i = 0; i < 4; i++) socket.sendTo(VIP, 53, PAYLOAD);
  walked = 0;
  received = 0;
  socket.sendTo(VIP, 53, PAYLOAD);
  expect([walked, received, asked]).toEqual([0, 1, 1]);
}

describe("a cached flow through conntrack and NAT", () => {
  test("arrives at the backend without being walked", () => {
    warmUp();
  });

  test("keeps its connection alive", () => {
    warmUp();
    for (let i = 0; i < 10; i++) {
      lab.clock.advance(20_000);
      socket.sendTo(VIP, 53, PAYLOAD);
      lab.network.settleFlows();
      const [entry] = conntrack.entries();
      expect(entry?.remainingMs).toBe(30_000);
    }
    expect(asked).toBe(1);
  });

  test("is walked again, and begins anew, when its connection has ended", () => {
    warmUp();
    lab.clock.advance(30_000);
    socket.sendTo(VIP, 53, PAYLOAD);
    expect([walked, asked, received]).toEqual([1, 2, 2]);
  });

  test.each<[name: string, change: () => void]>([
    ["its connection is deleted", () => conntrack.flush()],
    [
      "its connection gets a mark",
      () => {
        for (const entry of conntrack.entries()) entry.mark = 7;
      },
    ],
    [
      "the first answer comes",
      () => listener.sendTo(parseIp("10.0.1.2"), socket.localPort, PAYLOAD),
    ],
  ])("is walked again when %s", (_, change) => {
    warmUp();
    change();
    walked = 0;
    socket.sendTo(VIP, 53, PAYLOAD);
    expect([walked, received]).toEqual([1, 2]);
  });

  test("is not disturbed by new connections of others", () => {
    warmUp();
    const { epoch } = lab.network;
    const other = new UdpSocket(client, { owner: "other" });
    const { epoch: withSocket } = lab.network;
    other.sendTo(VIP, 53, PAYLOAD);
    expect(lab.network.epoch - withSocket).toBe(0);
    expect(withSocket).toBeGreaterThan(epoch); // a new socket is news, a new connection is not
    expect(conntrack.size).toBe(2);
  });

  test("becomes a stream after two seconds as packets that are walked do", () => {
    const answering = new UdpSocket(server, {
      localPort: 5353,
      owner: "server",
      onReceive: ({ src, srcPort }, own) => own.sendTo(src, srcPort, PAYLOAD),
    });
    const asking = new UdpSocket(client, { owner: "client" });
    for (let i = 0; i < 5; i++) asking.sendTo(VIP, answering.localPort, PAYLOAD);
    const stream = () =>
      [...conntrack.entries()].map((e) => [e.status & IPS_ASSURED, e.remainingMs]);
    expect(stream()).toEqual([[0, 30_000]]);
    lab.clock.advance(2001);
    asking.sendTo(VIP, answering.localPort, PAYLOAD);
    expect(stream()).toEqual([[IPS_ASSURED, 120_000]]);
  });

  test("is accounted packet by packet", () => {
    conntrack.netns.sysctl.set("net/netfilter/nf_conntrack_acct", 1);
    for (let i = 0; i < 100; i++) socket.sendTo(VIP, 53, PAYLOAD);
    const [entry] = conntrack.entries();
    expect(entry?.counter(0)).toEqual({ packets: 100, bytes: 6000 });
  });
});
