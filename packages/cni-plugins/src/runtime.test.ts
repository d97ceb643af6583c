/// <reference types="node" />
import type { CniCall, CniError, CniPlugin, CniResult, NetworkConfigList } from "@cnilab/core";
import { expect, test } from "vitest";
import { failureOf, TestNode } from "../test/node.ts";
import { failure } from "./failure.ts";
import { CniRuntime, type PluginExecution } from "./runtime.ts";

/** Writes down what it is called with. */
class Recorder implements CniPlugin {
  readonly type: string;
  readonly #log: string[];
  fails: string | undefined;

  constructor(type: string, log: string[]) {
    this.type = type;
    this.#log = log;
  }

  #note(command: string, { config }: CniCall): void {
    const before = config.prevResult?.interfaces?.map((i) => i.name).join("+") ?? "none";
    this.#log.push(`${command} ${this.type} after ${before}`);
    if (this.fails === command) throw failure(`${this.type} is broken`);
  }

  add(call: CniCall): CniResult {
    this.#note("ADD", call);
    const interfaces = [...(call.config.prevResult?.interfaces ?? []), { name: this.type }];
    return { cniVersion: call.config.cniVersion, interfaces };
  }

  del(call: CniCall): void {
    this.#note("DEL", call);
  }

  check(call: CniCall): void {
    this.#note("CHECK", call);
  }

  gc(call: CniCall): void {
    this.#note("GC", call);
  }

  status(call: CniCall): void {
    this.#note("STATUS", call);
  }
}

function setup(version = "1.1.0", more: Partial<NetworkConfigList> = {}) {
  const log: string[] = [];
  const executions: PluginExecution[] = [];
  const a = new Recorder("a", log);
  const b = new Recorder("b", log);
  const node = new TestNode();
  const runtime = new CniRuntime({
    host: node.kernel,
    plugins: new Map([a, b].map((p) => [p.type, p])),
    observe: (execution) => executions.push(execution),
  });
  const list = {
    cniVersion: version,
    name: "net1",
    plugins: [{ type: "a" }, { type: "b" }],
    ...more,
  };
  return { log, executions, a, b, node, runtime, list, conf: (id: string) => node.conf(id) };
}

test("ADD goes forward, CHECK too, DEL backward with the last result", () => {
  const { runtime, list, conf, log } = setup();
  runtime.addNetworkList(list, conf("c1"));
  runtime.checkNetworkList(list, conf("c1"));
  runtime.delNetworkList(list, conf("c1"));
  runtime.delNetworkList(list, conf("c1"));
  expect(log).toEqual([
    "ADD a after none",
    "ADD b after a",
    "CHECK a after a+b",
    "CHECK b after a+b",
    "DEL b after a+b",
    "DEL a after a+b",
    "DEL b after none",
    "DEL a after none",
  ]);
});

test.each([
  ["0.3.1", "DEL b after none"],
  ["0.4.0", "DEL b after a+b"],
])("DEL of version %s: %s", (version, expected) => {
  const { runtime, list, conf, log } = setup(version);
  runtime.addNetworkList(list, conf("c1"));
  runtime.delNetworkList(list, conf("c1"));
  expect(log[2]).toBe(expected);
});

test("a plugin that fails ends the ADD, and nothing is kept of it", () => {
  const { runtime, list, conf, log, b, executions } = setup();
  b.fails = "ADD";
  expect(failureOf(() => runtime.addNetworkList(list, conf("c1")))).toBe(
    '999 plugin type="b" failed (add): b is broken',
  );
  expect(runtime.cachedResult(list, conf("c1"))).toBeUndefined();
  expect(
    executions.map(({ type, error }) => [type, (error as CniError | undefined)?.message]),
  ).toEqual([
    ["a", undefined],
    ["b", "b is broken"],
  ]);
  expect(log).toHaveLength(2);
});

test("GC takes off what is not valid, goes on after failures and tells every plugin", () => {
  const { runtime, list, conf, log, b } = setup();
  for (const id of ["c1", "c2", "c3"]) runtime.addNetworkList(list, conf(id));
  runtime.addNetworkList({ ...list, name: "other" }, conf("c4"));
  log.length = 0;
  b.fails = "GC";
  expect(
    failureOf(() => runtime.gcNetworkList(list, [{ containerID: "c2", ifname: "eth0" }])),
  ).toBe("999 failed to GC plugin b: b is broken");
  expect(log).toEqual([
    ...["DEL b after a+b", "DEL a after a+b", "DEL b after a+b", "DEL a after a+b"],
    ...["GC a after none", "GC b after none"],
  ]);
  expect(runtime.cachedResult(list, conf("c2"))).toBeDefined();
});

test.each([
  ["disableGC", { disableGC: true }, 0],
  ["an old version", { cniVersion: "1.0.0" }, 2],
])("GC with %s", (_, more, calls) => {
  const { runtime, list, conf, log } = setup("1.1.0", more);
  runtime.addNetworkList(list, conf("c1"));
  log.length = 0;
  runtime.gcNetworkList(list, []);
  expect(log).toHaveLength(calls);
});

test.each([
  [
    "CHECK before 0.4.0",
    "0.3.1",
    {},
    '999 configuration version "0.3.1" does not support the CHECK command',
  ],
  ["CHECK", "1.0.0", {}, "999 a is broken"],
  ["CHECK switched off", "1.0.0", { disableCheck: true }, "no failure"],
])("%s", (_, version, more, expected) => {
  const { runtime, list, conf, a } = setup(version, more);
  a.fails = "CHECK";
  expect(failureOf(() => runtime.checkNetworkList(list, conf("c1")))).toBe(expected);
});

test("STATUS is asked from 1.1.0 on, and the first failure counts", () => {
  const { runtime, list, a } = setup();
  a.fails = "STATUS";
  expect(failureOf(() => runtime.statusNetworkList(list))).toBe("999 a is broken");
  runtime.statusNetworkList({ ...list, cniVersion: "1.0.0" });
});

test("capabilities that a plugin does not ask for are kept from it", () => {
  const { runtime, node, executions } = setup();
  const seen: unknown[] = [];
  const plugin: CniPlugin = {
    type: "x",
    add: ({ config }) => {
      seen.push(config.runtimeConfig);
      return { cniVersion: config.cniVersion };
    },
    del: () => {},
    check: () => {},
  };
  const own = new CniRuntime({ host: node.kernel, plugins: new Map([["x", plugin]]) });
  const list = {
    cniVersion: "1.0.0",
    name: "net1",
    plugins: [{ type: "x", capabilities: { mac: true, ips: false } }, { type: "x" }],
  };
  const capabilityArgs = { mac: "02:00:00:00:00:01", ips: ["10.0.0.1"], other: 1 };
  own.addNetworkList(list, { ...node.conf("c1"), capabilityArgs });
  expect(seen).toEqual([{ mac: "02:00:00:00:00:01" }, undefined]);
  expect(executions).toEqual([]);
  expect(runtime.cachedResult(list, node.conf("c1"))).toEqual({ cniVersion: "1.0.0" });
});

test("the cache has libcni's files", () => {
  const { runtime, list, conf, node } = setup();
  runtime.addNetworkList(list, { ...conf("c1"), args: "A=b;IgnoreUnknown=1" });
  const file = JSON.parse(node.kernel.files.read("/var/lib/cni/results/net1-c1-eth0") ?? "");
  expect(file).toEqual({
    kind: "cniCacheV1",
    containerId: "c1",
    config: Buffer.from(JSON.stringify(list)).toString("base64"),
    ifName: "eth0",
    networkName: "net1",
    netns: "/run/netns/c1",
    cniArgs: [
      ["A", "b"],
      ["IgnoreUnknown", "1"],
    ],
    result: { cniVersion: "1.1.0", interfaces: [{ name: "a" }, { name: "b" }] },
  });
});
