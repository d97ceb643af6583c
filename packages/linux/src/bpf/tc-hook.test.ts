import { IPPROTO_ICMP, parseIp } from "@cnilab/net";
import { expect, test } from "vitest";
import { cable, Lab, up } from "../../test/lab.ts";
import { exchange, Trace } from "../index.ts";
import { BpfArray, BpfProgArray } from "./array-map.ts";
import { BpfProgram } from "./bpf-program.ts";
import type { TcContext } from "./tc-context.ts";
import { attachTcx, replaceTcFilter } from "./tc-hook.ts";
import { TC_ACT_OK, TC_ACT_SHOT, TC_ACT_UNSPEC } from "./verdict.ts";

/** Two namespaces on one cable, and what programs on b's end write down. */
function world() {
  const [a, b] = new Lab().machine("a", "b");
  const [eth0, eth1] = cable(a, "eth0", b, "eth1");
  up(eth0, "10.0.0.1/24");
  up(eth1, "10.0.0.2/24");
  const order: string[] = [];
  const program = (name: string, verdict: number) =>
    new BpfProgram(b.kernel, {
      type: "sched_cls",
      name,
      run: (ctx: TcContext) => {
        if (!ctx.isIp) return TC_ACT_OK;
        order.push(name);
        return verdict;
      },
    });
  const ping = (trace?: Trace) =>
    exchange(a, { protocol: IPPROTO_ICMP, dst: parseIp("10.0.0.2"), port: 0, trace });
  return { a, b, eth0, eth1, order, program, ping };
}

test.each<
  [string, readonly [string, number][], readonly [string, number, number][], string, string]
>([
  ["tcx before filters", [["x", TC_ACT_UNSPEC]], [["f", 1, TC_ACT_OK]], "x f", "connected"],
  ["OK of tcx ends it", [["x", TC_ACT_OK]], [["f", 1, TC_ACT_SHOT]], "x", "connected"],
  [
    "filters by preference",
    [],
    [
      ["f2", 2, TC_ACT_OK],
      ["f1", 1, TC_ACT_UNSPEC],
    ],
    "f1 f2",
    "connected",
  ],
  ["SHOT drops", [["x", TC_ACT_SHOT]], [["f", 1, TC_ACT_OK]], "x", "timeout"],
  [
    "what tcx does not know is left to filters",
    [
      ["x", 4],
      ["y", TC_ACT_OK],
    ],
    [["f", 1, TC_ACT_OK]],
    "x f",
    "connected",
  ],
])("%s", (_name, links, filters, order, outcome) => {
  const w = world();
  for (const [name, verdict] of links) attachTcx(w.eth1, "ingress", w.program(name, verdict));
  for (const [name, preference, verdict] of filters) {
    replaceTcFilter(w.eth1, "ingress", w.program(name, verdict), { preference });
  }
  expect(w.ping().outcome).toBe(outcome);
  expect(w.order.join(" ")).toBe(order);
});

test("a trace says what a program looked up and decided", () => {
  const { b, eth1, ping } = world();
  const denied = new BpfArray(b.kernel, { name: "denied", maxEntries: 1 }, () => 1);
  const run = (ctx: TcContext) =>
    ctx.isIp && ctx.lookup(denied, 0) ? ctx.shot("Policy denied") : TC_ACT_OK;
  attachTcx(eth1, "ingress", new BpfProgram(b.kernel, { type: "sched_cls", name: "guard", run }));
  const trace = new Trace();
  const { drops } = ping(trace);
  expect(drops.map((d) => [d.reason, d.detail, d.rule?.location, d.rule?.text])).toEqual([
    ["TC_INGRESS", "Policy denied", "tc ingress eth1", "guard"],
  ]);
  const steps = trace.steps.filter((s) => s.kind === "bpf" || s.kind === "bpf-map").slice(-2);
  expect(steps).toMatchObject([
    { kind: "bpf-map", operation: "lookup", map: denied, key: "0", value: "1" },
    { kind: "bpf", hook: "tcx/ingress", program: "guard", verdict: "TC_ACT_SHOT", lookups: 1 },
  ]);
  expect(b.kernel.bpf.lookups).toBe(1);
  denied.update(0, 0);
  expect(ping().outcome).toBe("connected");
});

test("programs that call each other: 33 times, and no more", () => {
  const { b, eth1, ping } = world();
  const calls = new BpfProgArray(b.kernel, { name: "calls", maxEntries: 2 });
  let runs = 0;
  const run = (ctx: TcContext) => {
    if (!ctx.isIp) return TC_ACT_OK;
    runs++;
    return ctx.tailCall(calls, 0) ?? ctx.shot(`missed after ${runs} runs`);
  };
  const program = new BpfProgram(b.kernel, { type: "sched_cls", name: "again", run });
  calls.update(0, program);
  attachTcx(eth1, "ingress", program);
  // The first, and those that it called (MAX_TAIL_CALL_CNT).
  expect(ping().drops.map((d) => d.detail)).toEqual(["missed after 34 runs"]);
});
