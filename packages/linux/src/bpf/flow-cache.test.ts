import { Data, type IpAddress, parseIp } from "@cnilab/net";
import fc from "fast-check";
import { expect, test } from "vitest";
import { cable, Lab, up } from "../../test/lab.ts";
import { UdpSocket } from "../index.ts";
import { BpfArray } from "./array-map.ts";
import { BpfProgram } from "./bpf-program.ts";
import { BpfHash } from "./hash-map.ts";
import { BpfLpmTrie } from "./lpm-map.ts";
import { BpfLruHash } from "./lru-hash.ts";
import type { TcContext } from "./tc-context.ts";
import { attachTcx } from "./tc-hook.ts";
import { TC_ACT_OK } from "./verdict.ts";

/** A network whose program looks at four maps, and counts in one of them. */
function world(repeatable: boolean) {
  const [a, b] = new Lab().machine("a", "b");
  const [eth0, eth1] = cable(a, "eth0", b, "eth1");
  up(eth0, "10.0.0.1/24");
  up(eth1, "10.0.0.2/24");
  const { kernel } = b;
  const pack = (key: number) => key;
  const denied = new BpfHash<number, boolean>(kernel, { name: "denied", maxEntries: 9, pack });
  const flows = new BpfLruHash<number, { until: number }>(kernel, {
    name: "flows",
    maxEntries: 2,
    pack,
  });
  const counts = new BpfArray(kernel, { name: "counts", maxEntries: 3 }, () => ({
    packets: 0,
    last: 0,
  }));
  const zones = new BpfLpmTrie<{ ip: number; bits: number }, number>(kernel, {
    name: "zones",
    maxEntries: 9,
    bits: 32,
    encode: ({ ip, bits }) => ({ prefixLength: bits, words: [ip] }),
  });
  const run = (ctx: TcContext) => {
    if (!ctx.isIp) return TC_ACT_OK;
    const src = ctx.ip.src as number;
    if (ctx.lookup(denied, src)) return ctx.shot("denied");
    const zone = ctx.lookup(zones, { ip: src, bits: 32 }) ?? 0;
    const flow = ctx.lookup(flows, src);
    if (flow === undefined || flow.until < ctx.now) {
      ctx.update(flows, src, { until: ctx.now + 1000 });
    } else ctx.expires(flow.until);
    const count = ctx.lookup(counts, zone);
    if (count === undefined) return ctx.shot("no such zone");
    count.packets++;
    count.last = ctx.now;
    ctx.effect({
      repeat(packets, time) {
        count.packets += packets;
        count.last = time;
      },
    });
    return TC_ACT_OK;
  };
  const program = new BpfProgram(kernel, { type: "sched_cls", name: "p", run, repeatable });
  attachTcx(eth1, "ingress", program);
  let got = 0;
  new UdpSocket(b, { localPort: 53, owner: "server", onReceive: () => got++ });
  const client = new UdpSocket(a, { owner: "client" });
  return { a, b, denied, flows, counts, zones, program, client, got: () => got };
}

const SRC: IpAddress = parseIp("10.0.0.1");
const change = fc.oneof(
  {
    arbitrary: fc.record({ kind: fc.constant("send"), times: fc.integer({ min: 1, max: 4 }) }),
    weight: 5,
  },
  fc.record({ kind: fc.constant("wait"), times: fc.constantFrom(1, 400, 2000) }),
  fc.record({ kind: fc.constantFrom("deny", "allow"), times: fc.constant(1) }),
  fc.record({ kind: fc.constantFrom("zone", "unzone"), times: fc.integer({ min: 0, max: 3 }) }),
  fc.record({ kind: fc.constantFrom("crowd", "forget"), times: fc.integer({ min: 1, max: 3 }) }),
);

test("what the flow cache repeats is what a walk would do, whatever changes in maps", () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 30 }), (changes) => {
      const seen = [false, true].map((repeatable) => {
        const w = world(repeatable);
        const states: unknown[] = [];
        for (const { kind, times } of changes) {
          const zone = { ip: SRC as number, bits: 24 + times };
          if (kind === "send") {
            for (let i = 0; i < times; i++) w.client.sendTo(parseIp("10.0.0.2"), 53, new Data(8));
          } else if (kind === "wait") w.a.network.clock.runUntil(w.a.network.clock.now + times);
          else if (kind === "deny") w.denied.update(SRC as number, true);
          else if (kind === "allow" && w.denied.get(SRC as number)) w.denied.delete(SRC as number);
          else if (kind === "zone") w.zones.update(zone, times);
          else if (kind === "unzone" && w.zones.exact(zone) !== undefined) w.zones.delete(zone);
          else if (kind === "crowd") w.flows.update(times, { until: 0 });
          else if (kind === "forget" && w.flows.get(SRC as number)) w.flows.delete(SRC as number);
          states.push([
            w.got(),
            w.counts.entries().map(([i, c]) => [i, { ...c }]),
            w.flows
              .entries()
              .map(([key, { until }]) => [key, until])
              .sort(),
            w.program.runCount,
            w.program.lookups,
            w.b.kernel.bpf.lookups,
          ]);
        }
        return states;
      });
      expect(seen[1]).toEqual(seen[0]);
    }),
    { numRuns: 150 },
  );
});

test("a repeatable program is not run for each packet", () => {
  const w = world(true);
  let runs = 0;
  const { run } = w.program;
  const counted = (ctx: TcContext) => {
    runs++;
    return run(ctx);
  };
  Object.assign(w.program, { run: counted });
  for (let i = 0; i < 10; i++) w.client.sendTo(parseIp("10.0.0.2"), 53, new Data(8));
  const packets = w.counts.get(0)?.packets;
  // A question of ARP is one run more.
  expect([w.got(), packets, w.program.runCount]).toEqual([10, 10, 11]);
  expect(runs).toBeLessThan(6);
});

test("what walks rely on is not remembered without end, and a cached flow is right all the same", () => {
  const w = world(true);
  const send = () => w.client.sendTo(parseIp("10.0.0.2"), 53, new Data(8));
  for (let i = 0; i < 3; i++) send();
  const first = w.denied.condition(SRC as number);
  for (let key = 1; key < 5000; key++) w.denied.condition(key);
  expect(first.holds).toBe(false);
  send();
  w.denied.update(SRC as number, true);
  send();
  expect([w.got(), w.counts.get(0)?.packets]).toEqual([4, 4]);
});
