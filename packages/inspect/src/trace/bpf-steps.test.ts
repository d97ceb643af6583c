import {
  attachTcx,
  BpfHash,
  BpfProgram,
  exchange,
  TC_ACT_OK,
  type TcContext,
  Trace,
} from "@cnilab/linux";
import { IPPROTO_TCP, parseIp } from "@cnilab/net";
import { expect, test } from "vitest";
import { twoNodes } from "../../test/two-nodes.ts";
import { traceJson } from "./trace-json.ts";
import { traceText } from "./trace-text.ts";

function connect(pod: ReturnType<typeof twoNodes>["pods"][number] | undefined): Trace {
  const trace = new Trace();
  if (pod === undefined) throw new Error("no pod");
  exchange(pod, {
    protocol: IPPROTO_TCP,
    dst: parseIp("10.244.2.2"),
    port: 80,
    srcPort: 40000,
    trace,
  });
  return trace;
}

test("a program's look-ups and verdict, and the object that an entry is from", () => {
  const { pods } = twoNodes();
  const [pod] = pods;
  const dev = pod?.device("eth0");
  if (dev === undefined) throw new Error("no eth0");
  const { kernel } = dev.netns;
  const policy = new BpfHash<number, string>(kernel, {
    name: "policy",
    maxEntries: 9,
    pack: (key) => key,
    text: {
      key: (key) => `identity ${key}`,
      origin: () => ({ kind: "NetworkPolicy", namespace: "default", name: "deny-all" }),
    },
  });
  policy.update(7, "deny");
  const run = (ctx: TcContext) =>
    ctx.isIp && ctx.lookup(policy, 7) === "deny" ? ctx.shot("Policy denied") : TC_ACT_OK;
  attachTcx(dev, "egress", new BpfProgram(kernel, { type: "sched_cls", name: "guard", run }));
  const trace = connect(pod);
  const text = traceText(trace);
  expect(text).toContain("eth0 tcx/egress: guard says TC_ACT_SHOT, after 1 map look-up");
  expect(text).toContain("Policy denied");
  const steps = traceJson(trace).hops.flatMap((hop) => hop.steps);
  const found = steps.filter(({ kind }) => kind === "bpf-map" || kind === "bpf");
  expect(found.slice(-2)).toMatchObject([
    {
      operation: "lookup",
      map: "policy",
      key: "identity 7",
      value: "deny",
      origin: { kind: "NetworkPolicy" },
    },
    { dev: "eth0", hook: "tcx/egress", program: "guard", verdict: "TC_ACT_SHOT", lookups: 1 },
  ]);
});

test("a connect that a program refuses has no packet", () => {
  const { pods } = twoNodes();
  const [pod] = pods;
  const kernel = pod?.kernel;
  kernel?.bpf.cgroup.attach(
    "connect4",
    new BpfProgram(kernel, { type: "cgroup_sock_addr", name: "nobody", run: () => 0 }),
  );
  const trace = connect(pod);
  expect(traceText(trace)).toContain("cgroup/connect4: nobody says EPERM");
  expect(traceJson(trace).hops.flatMap((hop) => hop.steps)).toMatchObject([
    { kind: "bpf", hook: "cgroup/connect4", verdict: "EPERM" },
  ]);
});
