import {
  Data,
  FragmentPayload,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IpPacket,
  NO_IP_OPTIONS,
  parseIp,
  TCP_SYN,
  TcpSegment,
  UdpDatagram,
} from "@cnilab/net";
import { expect, test } from "vitest";
import { Lab } from "../../test/lab.ts";
import { exchange, startEchoServer } from "../index.ts";
import { fragmentPacket } from "../ip/fragment.ts";
import { BpfProgram } from "./bpf-program.ts";
import type { TcContext } from "./tc-context.ts";
import { attachTcx } from "./tc-hook.ts";
import { TC_ACT_OK } from "./verdict.ts";

const OPTION = { type: 0x9a, data: Uint8Array.of(0, 80, 10, 96, 0, 1) };

test.each([
  ["IPv4", "10.0.0.2", 8],
  ["IPv6", "fd00::2", 16],
])(
  "a program adds options to %s; machines that do not know them take the packet",
  (_, to, more) => {
    const lab = new Lab();
    const a = lab.host("a", "10.0.0.1/24", "fd00::1/64");
    const b = lab.host("b", "10.0.0.2/24", "fd00::2/64");
    startEchoServer(b, { protocol: IPPROTO_TCP, port: 80, owner: "server" });
    const program = (netns: typeof a, run: (ctx: TcContext) => void) =>
      new BpfProgram(netns.kernel, {
        type: "sched_cls",
        name: "p",
        run: (ctx: TcContext) => {
          // Full segments have no room for more.
          if (ctx.isIp && ctx.ip.payload instanceof TcpSegment && ctx.ip.payload.flags & TCP_SYN) {
            run(ctx);
          }
          return TC_ACT_OK;
        },
      });
    const lengths: number[] = [];
    attachTcx(
      a.device("eth0"),
      "egress",
      program(a, (ctx) => {
        lengths.push(ctx.length);
        ctx.setOptions([OPTION]);
        lengths.push(ctx.length);
      }),
    );
    const seen: unknown[] = [];
    attachTcx(
      b.device("eth0"),
      "ingress",
      program(b, ({ ip }) => seen.push(ip.options)),
    );
    const sent = exchange(a, { protocol: IPPROTO_TCP, dst: parseIp(to), port: 80 });
    expect(sent.outcome).toBe("connected");
    expect(seen[0]).toEqual([OPTION]);
    expect((lengths[1] as number) - (lengths[0] as number)).toBe(more);
  },
);

test("fragments: the header that all have counts, options without the copied flag go with the first", () => {
  const plain = { type: 7, data: Uint8Array.of(0, 0) };
  const src = parseIp("10.0.0.1");
  const packet = new IpPacket(src, src, IPPROTO_UDP, new UdpDatagram(1, 2, new Data(100)));
  packet.options = [plain, OPTION];
  const fragments = fragmentPacket(packet, 80);
  expect(fragments.map(({ options }) => options)).toEqual([[plain, OPTION], [OPTION], [OPTION]]);
  expect(fragments.map(({ length }) => length <= 80)).toEqual([true, true, true]);
  expect(fragments.every(({ payload }) => payload instanceof FragmentPayload)).toBe(true);
  packet.options = NO_IP_OPTIONS;
  expect(fragmentPacket(packet, 80)).toHaveLength(2);
});
