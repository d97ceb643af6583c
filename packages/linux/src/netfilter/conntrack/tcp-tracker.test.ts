import { parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { ends, Router, tcp } from "../../../test/router.ts";
import { IPS_ASSURED, IPS_SEEN_REPLY } from "../conntrack-entry.ts";
import { NF_DROP, NF_INET_FORWARD, NF_INET_PRE_ROUTING, NFPROTO_IPV4 } from "../hooks.ts";
import { dnat } from "../nat.ts";
import { sendReset } from "../tcp-reset.ts";
import { TCP_STATES } from "./tcp-tracker.ts";

const CLIENT = "10.0.1.2:40000";
const SERVER = "10.0.2.2:80";
/** From whom, flags, sequence number, acknowledgement, bytes. */
type Segment = readonly [
  from: "c" | "s",
  flags: string,
  seq: number,
  ack?: number,
  length?: number,
];

function send(router: Router, [from, flags, seq, ack = 0, length = 0]: Segment): string {
  const leaves =
    from === "c"
      ? router.pass(tcp(CLIENT, SERVER, flags, seq, ack, length), router.left)
      : router.pass(tcp(SERVER, CLIENT, flags, seq, ack, length), router.right);
  return ends(leaves);
}

const OPEN: Segment[] = [
  ["c", "S", 1000],
  ["s", "SA", 5000, 1001],
  ["c", "A", 1001, 5001],
];
const CLOSED_BY_CLIENT: Segment[] = [
  ...OPEN,
  ["c", "FA", 1001, 5001],
  ["s", "FA", 5001, 1002],
  ["c", "A", 1002, 5002],
];

// States and timeouts: net/netfilter/nf_conntrack_proto_tcp.c, tcp_conntracks and tcp_timeouts
test.each<[name: string, segments: Segment[], state: string, seconds: number, flags: string]>([
  ["a SYN", OPEN.slice(0, 1), "SYN_SENT", 120, "UNREPLIED"],
  ["a SYN and its answer", OPEN.slice(0, 2), "SYN_RECV", 60, ""],
  ["the handshake", OPEN, "ESTABLISHED", 432000, "ASSURED"],
  [
    "data nobody has acknowledged",
    [...OPEN, ["c", "PA", 1001, 5001, 100]],
    "ESTABLISHED",
    300,
    "ASSURED",
  ],
  [
    "data and its acknowledgement",
    [...OPEN, ["c", "PA", 1001, 5001, 100], ["s", "A", 5001, 1101]],
    "ESTABLISHED",
    432000,
    "ASSURED",
  ],
  ["the client's FIN", CLOSED_BY_CLIENT.slice(0, 4), "FIN_WAIT", 120, "ASSURED"],
  [
    "an ACK of the FIN",
    [...CLOSED_BY_CLIENT.slice(0, 4), ["s", "A", 5001, 1002]],
    "CLOSE_WAIT",
    60,
    "ASSURED",
  ],
  ["FINs from both sides", CLOSED_BY_CLIENT.slice(0, 5), "LAST_ACK", 30, "ASSURED"],
  ["the last ACK", CLOSED_BY_CLIENT, "TIME_WAIT", 120, "ASSURED"],
  [
    "a new SYN after the end",
    [...CLOSED_BY_CLIENT, ["c", "S", 9000]],
    "SYN_SENT",
    120,
    "UNREPLIED",
  ],
  ["a RST in the window", [...OPEN, ["s", "R", 5001]], "CLOSE", 10, "ASSURED"],
  ["a RST elsewhere in the window", [...OPEN, ["s", "R", 5100]], "ESTABLISHED", 10, "ASSURED"],
  [
    "a SYN from both sides",
    [
      ["c", "S", 1000],
      ["s", "S", 5000],
    ],
    "SYN_SENT2",
    120,
    "",
  ],
  [
    "a SYN from both sides, acknowledged",
    [
      ["c", "S", 1000],
      ["s", "S", 5000],
      ["c", "SA", 1000, 5001],
      ["s", "SA", 5000, 1001],
      ["c", "A", 1001, 5001],
    ],
    "ESTABLISHED",
    432000,
    "ASSURED",
  ],
  [
    "an ACK of a connection that began before",
    [["c", "A", 1001, 5001]],
    "ESTABLISHED",
    300,
    "UNREPLIED",
  ],
  [
    "its answer",
    [
      ["c", "PA", 1001, 5001, 5],
      ["s", "A", 5001, 1006],
    ],
    "ESTABLISHED",
    300,
    "",
  ],
  [
    "what follows the answer",
    [
      ["c", "PA", 1001, 5001, 5],
      ["s", "A", 5001, 1006],
      ["c", "A", 1006, 5001],
    ],
    "ESTABLISHED",
    432000,
    "ASSURED",
  ],
])("%s", (_, segments, state, seconds, flags) => {
  const router = new Router();
  for (const segment of segments) send(router, segment);
  const { entry } = router;
  const replied = (entry.status & IPS_SEEN_REPLY) !== 0;
  const shown = replied ? ((entry.status & IPS_ASSURED) !== 0 ? "ASSURED" : "") : "UNREPLIED";
  expect([TCP_STATES[entry.state], entry.remainingMs / 1000, shown]).toEqual([
    state,
    seconds,
    flags,
  ]);
});

describe("what is not valid passes without a connection", () => {
  test.each<[name: string, before: Segment[], segment: Segment, detail: string]>([
    ["flags that do not go together", [], ["c", "SF", 1000], "TCP flags do not go together"],
    ["no flags", [], ["c", "", 1000], "TCP flags do not go together"],
    ["an unexpected SYN ACK", [], ["s", "SA", 5000, 1001], "TCP segment begins no connection"],
    ["an unexpected RST", [], ["c", "R", 1000], "TCP segment begins no connection"],
    [
      "an ACK before the SYN's answer",
      OPEN.slice(0, 1),
      ["c", "A", 1001, 5001],
      "TCP ACK in SYN_SENT",
    ],
    [
      "data beyond the window",
      OPEN,
      ["c", "A", 1001 + 200_000, 5001, 1],
      "TCP SEQ is over the window of the receiver",
    ],
    [
      "an ACK of what was never sent",
      OPEN,
      ["c", "A", 1001, 6000],
      "TCP ACK is over what was sent",
    ],
    [
      "a blind RST",
      [...OPEN, ["c", "PA", 1001, 5001, 10], ["s", "A", 5001, 1011]],
      ["s", "R", 4000],
      "TCP RST before what was acknowledged",
    ],
  ])("%s", (_, before, segment, detail) => {
    const router = new Router();
    for (const earlier of before) send(router, earlier);
    expect(send(router, segment)).not.toBe("lost");
    const steps = router.trace.steps.filter((s) => s.kind === "conntrack");
    expect(steps).toMatchObject([{ event: "invalid", detail, entry: undefined }]);
    expect(router.conntrack.statistics.invalid).toBe(1);
  });
});

test("with be_liberal a segment beyond the window belongs to its connection", () => {
  const router = new Router();
  router.netns.sysctl.set("net/netfilter/nf_conntrack_tcp_be_liberal", 1);
  for (const segment of OPEN) send(router, segment);
  send(router, ["c", "A", 1001 + 200_000, 5001, 1]);
  expect(router.events).toEqual(["established"]);
});

test("without loose a connection that began before is not picked up", () => {
  const router = new Router();
  router.netns.sysctl.set("net/netfilter/nf_conntrack_tcp_loose", 0);
  send(router, ["c", "A", 1001, 5001]);
  expect(router.events).toEqual(["invalid"]);
  expect(router.conntrack.size).toBe(0);
});

test("a RST as the only answer ends the connection at once", () => {
  const router = new Router();
  send(router, ["c", "S", 1000]);
  send(router, ["s", "RA", 0, 1001]);
  expect(router.conntrack.size).toBe(0);
});

test("a repeated SYN does not keep a connection alive", () => {
  const router = new Router();
  send(router, ["c", "S", 1000]);
  router.advance(100);
  send(router, ["c", "S", 1000]);
  expect(router.entry.remainingMs).toBe(20_000);
});

test("data that is sent again and again shortens the life of a connection", () => {
  const router = new Router();
  for (const segment of OPEN) send(router, segment);
  send(router, ["c", "PA", 1001, 5001, 10]);
  send(router, ["s", "A", 5001, 1011]);
  for (let i = 0; i < 4; i++) send(router, ["c", "PA", 1001, 5001, 10]);
  expect(router.entry.remainingMs).toBe(300_000);
});

test("a SYN that conntrack ignored and the server answered puts both in step", () => {
  const router = new Router();
  for (const segment of OPEN) send(router, segment);
  send(router, ["c", "S", 900_000_000]);
  expect(TCP_STATES[router.entry.state]).toBe("ESTABLISHED");
  send(router, ["s", "SA", 70_000, 900_000_001]);
  expect(TCP_STATES[router.entry.state]).toBe("SYN_RECV");
  send(router, ["c", "A", 900_000_001, 70_001]);
  expect(TCP_STATES[router.entry.state]).toBe("ESTABLISHED");
});

test("a connection that a rule resets closes, and the reset goes to where its sender is known by", () => {
  const router = new Router();
  router.nat(NF_INET_PRE_ROUTING, (skb, state) =>
    dnat(skb, state, { minAddress: parseIp("10.0.2.9") }),
  );
  const vip = "10.96.0.10:80";
  router.pass(tcp(CLIENT, vip, "S", 1000), router.left);
  router.pass(tcp("10.0.2.9:80", CLIENT, "SA", 5000, 1001), router.right);
  router.netns.netfilter.register(NFPROTO_IPV4, NF_INET_FORWARD, {
    name: "REJECT",
    priority: 0,
    run(skb, state) {
      sendReset(skb, state.netns);
      return NF_DROP;
    },
  });
  const answer = router.pass(tcp(CLIENT, vip, "A", 1001, 5001), router.left);
  expect(ends(answer)).toBe(`${vip} > ${CLIENT}`);
  const { entry } = router;
  expect([TCP_STATES[entry.state], entry.remainingMs]).toEqual(["CLOSE", 10_000]);
});
