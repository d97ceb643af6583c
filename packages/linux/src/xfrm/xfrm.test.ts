import {
  Data,
  IPPROTO_ESP,
  IPPROTO_UDP,
  type IpPacket,
  parseIp,
  parsePrefix,
  UdpDatagram,
} from "@cnilab/net";
import { beforeEach, describe, expect, test } from "vitest";
import { connect, Lab, outcome, ping, serve } from "../../test/lab.ts";
import type { NetNamespace } from "../net-namespace.ts";
import { RawSocket } from "../socket/raw-socket.ts";
import { Trace } from "../trace.ts";
import { xfrmPolicyText, xfrmStateText } from "./ip-xfrm.ts";
import type { XfrmPolicy } from "./xfrm-policy.ts";
import type { XfrmAead } from "./xfrm-state.ts";

const A = parseIp("10.0.0.1");
const B = parseIp("10.0.0.2");
const AEAD: XfrmAead = { name: "rfc4106(gcm(aes))", key: "0011", icvBits: 128 };
const UDP_TO_B: XfrmPolicy = {
  src: parsePrefix("10.0.0.1/32"),
  dst: parsePrefix("10.0.0.2/32"),
  protocol: IPPROTO_UDP,
  action: "allow",
  template: { src: A, dst: B, spi: 0x100 },
};

let lab: Lab;
let a: NetNamespace;
let b: NetNamespace;

beforeEach(() => {
  lab = new Lab();
  a = lab.host("a", "10.0.0.1/24");
  b = lab.host("b", "10.0.0.2/24");
  serve(b, 53, IPPROTO_UDP);
});

function encrypt(options: { readonly policy?: Partial<XfrmPolicy>; readonly key?: string } = {}) {
  const state = { src: A, dst: B, spi: 0x100 };
  a.xfrm.addState({ ...state, aead: AEAD });
  b.xfrm.addState({ ...state, aead: { ...AEAD, key: options.key ?? AEAD.key } });
  a.xfrm.updatePolicy({ ...UDP_TO_B, ...options.policy });
}

/** IP packets on the wire, by protocol and length. */
function onWire(trace: Trace): [protocol: number, length: number][] {
  return trace.steps.flatMap((step) => {
    if (step.kind !== "transmit" || step.frame.etherType !== 0x0800) return [];
    const { protocol, length } = step.frame.payload as IpPacket;
    return [[protocol, length] as [number, number]];
  });
}

function ask(length = 10): { outcome: string; trace: Trace } {
  const trace = new Trace();
  const result = connect(a, "10.0.0.2", 53, { protocol: IPPROTO_UDP, trace, length });
  return { outcome: outcome(result), trace };
}

test("what a policy is for leaves as ESP, and the answer, which has none, as it is", () => {
  encrypt();
  const { outcome: result, trace } = ask();
  expect(result).toBe("connected");
  const [there, back] = onWire(trace);
  // 20 + 8 + 8 + (8 + 10 + 2 = 20) + 16
  expect(there).toEqual([IPPROTO_ESP, 20 + 16 + 20 + 16]);
  expect(back?.[0]).toBe(IPPROTO_UDP);
  const kinds = ["encapsulate", "decapsulate"];
  expect(trace.steps.filter(({ kind }) => kinds.includes(kind))).toMatchObject([
    { kind: "encapsulate", netns: a, protocol: "ESP with SPI 0x100" },
    { kind: "decapsulate", netns: b, protocol: "ESP with SPI 0x100" },
  ]);
});

test.each([
  [0, 34 + 2],
  [1, 34 + 1],
  [2, 34],
  [3, 34 + 3],
])("is %i bytes of data: %i more on the wire", (length, more) => {
  encrypt();
  const [there] = onWire(ask(length).trace);
  expect(there?.[1]).toBe(20 + 8 + length + more);
});

test("hooks see it before and after: OUTPUT twice, and at the other end PREROUTING and INPUT twice", () => {
  encrypt();
  for (const [netns, chain] of [
    [a, "OUTPUT"],
    [a, "POSTROUTING"],
    [b, "PREROUTING"],
    [b, "INPUT"],
  ] as const) {
    for (const protocol of ["udp", "esp"]) {
      netns.iptables(4).append("mangle", chain, `-p ${protocol} -j MARK --or-mark 0x0`);
    }
  }
  const { trace } = ask();
  const seen = trace.steps.flatMap((step) =>
    step.kind === "rule" && step.packet === 0 && step.rule.text.includes("-p ")
      ? [`${step.rule.location.split(" ").at(-1)} ${step.rule.text.match(/-p (\w+)/)?.[1]}`]
      : [],
  );
  expect(seen).toEqual([
    "OUTPUT udp",
    "POSTROUTING udp",
    "OUTPUT esp",
    "POSTROUTING esp",
    "PREROUTING esp",
    "INPUT esp",
    "PREROUTING udp",
    "INPUT udp",
  ]);
});

describe("the mark", () => {
  const MARK = { value: 0x20000, mask: 0x20000 };

  test.each([
    ["without it the policy does not count", [], IPPROTO_UDP],
    [
      "a rule of mangle OUTPUT gives it",
      ["-p udp --dport 53 -j MARK --set-xmark 0x20000/0x20000"],
      IPPROTO_ESP,
    ],
    [
      "others are other marks",
      ["-p udp --dport 53 -j MARK --set-xmark 0x40000/0x40000"],
      IPPROTO_UDP,
    ],
  ])("%s", (_, rules, protocol) => {
    encrypt({ policy: { mark: MARK } });
    for (const rule of rules) a.iptables(4).append("mangle", "OUTPUT", rule);
    const { outcome: result, trace } = ask();
    expect([result, onWire(trace)[0]?.[0]]).toEqual(["connected", protocol]);
  });

  test("that INPUT gives to ESP stays with what was in it", () => {
    encrypt();
    b.iptables(4).append(
      "mangle",
      "INPUT",
      "-p esp -m esp --espspi 0x100 -j MARK --set-xmark 0x20000/0x20000",
    );
    b.iptables(4).append(
      "filter",
      "INPUT",
      "-p udp --dport 53 -m mark ! --mark 0x20000/0x20000 -j DROP",
    );
    expect(ask().outcome).toBe("connected");
    a.xfrm.deletePolicy(UDP_TO_B);
    expect(ask().outcome).toBe("timeout, NETFILTER_DROP in b");
  });
});

describe("is refused", () => {
  test.each<[string, () => void, string]>([
    [
      "by a policy that blocks",
      () => encrypt({ policy: { action: "block" } }),
      "unreachable, EPERM, XFRM_POLICY in a",
    ],
    [
      "for want of an association here",
      () => a.xfrm.updatePolicy(UDP_TO_B),
      "unreachable, EREMOTE, XFRM_NO_STATE in a",
    ],
    [
      "for want of one there",
      () => {
        encrypt();
        b.xfrm.deleteState(B, 0x100);
      },
      "timeout, XFRM_NO_STATE in b",
    ],
    ["with another key", () => encrypt({ key: "ffff" }), "timeout, XFRM_BAD_PACKET in b"],
    [
      "where nobody speaks ESP",
      () => {
        a.xfrm.addState({ src: A, dst: B, spi: 0x100, aead: AEAD });
        a.xfrm.updatePolicy(UDP_TO_B);
      },
      "timeout, IP_NOPROTO in b",
    ],
  ])("%s", (_, arrange, expected) => {
    arrange();
    expect(ask().outcome).toBe(expected);
    expect(outcome(ping(a, "10.0.0.2"))).toBe("connected");
  });
});

test("the policy of the lower priority counts, of two equal ones the earlier", () => {
  encrypt({ policy: { priority: 5 } });
  const all: XfrmPolicy = {
    src: parsePrefix("0.0.0.0/0"),
    dst: parsePrefix("10.0.0.0/8"),
    priority: 5,
    action: "block",
  };
  a.xfrm.updatePolicy(all);
  expect(ask().outcome).toBe("connected");
  expect(outcome(ping(a, "10.0.0.2"))).toMatch("XFRM_POLICY");
  a.xfrm.updatePolicy({ ...UDP_TO_B, priority: 6 });
  expect(ask().outcome).toMatch("XFRM_POLICY");
});

test("a policy's own rule: what it is to encrypt must not leave plain", () => {
  encrypt({ policy: { mark: { value: 0x20000, mask: 0x20000 } } });
  const iptables = a.iptables(4);
  iptables.append("mangle", "OUTPUT", "-p udp -j MARK --set-xmark 0x20000/0x20000");
  const guard = "! -p esp -m policy --dir out --pol none -m mark --mark 0x20000/0x20000 -j DROP";
  iptables.append("filter", "OUTPUT", guard);
  expect(iptables.save("filter")).toContain(`-A OUTPUT ${guard}`);
  expect(ask().outcome).toBe("connected");
  a.xfrm.deletePolicy({ ...UDP_TO_B, mark: { value: 0x20000, mask: 0x20000 } });
  expect(ask().outcome).toBe("unreachable, EPERM, NETFILTER_DROP in a");
});

test("an SPI that is taken has no keys until it is updated", () => {
  const { xfrm } = a;
  const spi = xfrm.allocSpi({ src: B, dst: A });
  expect(spi).toBeGreaterThanOrEqual(0x100);
  expect(xfrm.stateFor(A, spi, 0)).toBeUndefined();
  xfrm.updateState({ src: B, dst: A, spi, aead: AEAD });
  expect(xfrm.stateFor(A, spi, 7)?.isValid).toBe(true);
  expect(() => xfrm.addState({ src: B, dst: A, spi, aead: AEAD })).toThrow("EEXIST");
  expect(() => xfrm.addState({ src: B, dst: A, spi: 1 })).toThrow("EINVAL");
  expect(() => xfrm.updateState({ src: B, dst: A, spi: 1, aead: AEAD })).toThrow("ESRCH");
  xfrm.deleteState(A, spi);
  expect(() => xfrm.deleteState(A, spi)).toThrow("ESRCH");
  expect(() => xfrm.deletePolicy(UDP_TO_B)).toThrow("ENOENT");
});

test.each([
  [false, "fragment"],
  [true, "drop"],
])("an ESP packet that is too long for the link: DF %s, %s", (dontFragment, expected) => {
  encrypt();
  a.device("eth0").setMtu(1499);
  const socket = new RawSocket(a, {
    protocol: IPPROTO_UDP,
    localAddress: A,
    remoteAddress: B,
    owner: "test",
    dontFragment,
  });
  const trace = new Trace();
  const datagram = new UdpDatagram(1000, 53, new Data(1500 - 34 - 28));
  expect(socket.send(datagram, { trace })).toBeUndefined();
  const steps = trace.steps.filter(({ kind }) => kind === "drop" || kind === "fragment");
  expect(steps[0]?.kind).toBe(expected);
});

// Texts, sizes, the order of hooks and error numbers are those of Linux 6.1 with iproute2 6.1, asked in a virtual machine.
test("as `ip xfrm policy` prints it", () => {
  a.xfrm.updatePolicy({ ...UDP_TO_B, mark: { value: 0x20000, mask: 0x20000 } });
  const { template, ...plain } = UDP_TO_B;
  expect(template?.spi).toBe(0x100);
  a.xfrm.updatePolicy({
    ...plain,
    dstPort: 6784,
    action: "block",
    priority: 7,
    mark: { value: 0x20000, mask: 0xffffffff },
  });
  expect(xfrmPolicyText(a)).toBe(`src 10.0.0.1/32 dst 10.0.0.2/32 proto udp dport 6784 
\tdir out action block priority 7 ptype main 
\tmark 0x20000/0xffffffff 
src 10.0.0.1/32 dst 10.0.0.2/32 proto udp 
\tdir out priority 0 ptype main 
\tmark 0x20000/0x20000 
\ttmpl src 10.0.0.1 dst 10.0.0.2
\t\tproto esp spi 0x00000100 reqid 0 mode transport
`);
});

test("as `ip xfrm state` prints it behind two packets, at both ends", () => {
  const state = { src: A, dst: B, spi: 0xc8dd5d0a, aead: AEAD, replayWindow: 256, esn: true };
  for (const netns of [a, b]) netns.xfrm.addState(state);
  a.xfrm.updatePolicy({ ...UDP_TO_B, template: { src: A, dst: B, spi: 0xc8dd5d0a } });
  for (let i = 0; i < 2; i++) ask();
  const lines = [a, b].map((netns) => xfrmStateText(netns).split("\n").slice(5, 8));
  expect(lines).toEqual([
    [
      "\t seq-hi 0x0, seq 0x0, oseq-hi 0x0, oseq 0x2",
      "\t replay_window 256, bitmap-length 8",
      `\t ${"00000000 ".repeat(8)}`,
    ],
    [
      "\t seq-hi 0x0, seq 0x2, oseq-hi 0x0, oseq 0x0",
      "\t replay_window 256, bitmap-length 8",
      `\t ${"00000000 ".repeat(7)}00000003 `,
    ],
  ]);
});

test("as `ip xfrm state` prints it", () => {
  a.xfrm.addState({ src: A, dst: B, spi: 0xc8dd5d0a, aead: AEAD, replayWindow: 256, esn: true });
  const spi = a.xfrm.allocSpi({ src: B, dst: A });
  const text = spi.toString(16).padStart(8, "0");
  expect(xfrmStateText(a)).toBe(`src 10.0.0.2 dst 10.0.0.1
\tproto esp spi 0x${text} reqid 0 mode transport
\treplay-window 0 
\tanti-replay context: seq 0x0, oseq 0x0, bitmap 0x00000000
\tsel src 10.0.0.2/32 dst 10.0.0.1/32 
src 10.0.0.1 dst 10.0.0.2
\tproto esp spi 0xc8dd5d0a reqid 0 mode transport
\treplay-window 0 flag esn
\taead rfc4106(gcm(aes)) 0x0011 128
\tanti-replay esn context:
\t seq-hi 0x0, seq 0x0, oseq-hi 0x0, oseq 0x0
\t replay_window 256, bitmap-length 8
\t 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 
\tsel src 0.0.0.0/0 dst 0.0.0.0/0 
`);
});
