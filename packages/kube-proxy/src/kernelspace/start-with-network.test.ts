import { type NodeAgent, VirtualClock } from "@cnilab/core";
import type { HcnNetworkType, HostComputeNetwork } from "@cnilab/windows";
import { BehaviorSubject } from "rxjs";
import { expect, test } from "vitest";
import { StartWithNetwork } from "./start-with-network.ts";

function networkOf(type: HcnNetworkType): HostComputeNetwork {
  return { ID: "n", Name: "pods", Type: type, Ipams: [], Policies: [] };
}

class RecordedAgent implements NodeAgent {
  readonly name = "kube-proxy";
  readonly ready: BehaviorSubject<boolean> = new BehaviorSubject(false);
  readonly #clock: VirtualClock;
  readonly calls: string[] = [];

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  start(): void {
    this.calls.push(`start at ${this.#clock.now}`);
  }

  stop(): void {
    this.calls.push(`stop at ${this.#clock.now}`);
  }
}

test.each<[HcnNetworkType, number, string]>([
  ["L2Bridge", 0, "start at 0"],
  ["L2Bridge", 2500, "start at 3000"],
  ["Overlay", 0, "start at 10000"],
])("%s that is there at %i: %s", (type, from, expected) => {
  const clock = new VirtualClock();
  const agent = new RecordedAgent(clock);
  const find = () => (clock.now >= from ? networkOf(type) : undefined);
  new StartWithNetwork(agent, clock, find).start();
  clock.runUntil(20_000);
  expect(agent.calls).toEqual([expected]);
});

test("stops waiting, and stops what it started", () => {
  const clock = new VirtualClock();
  const agent = new RecordedAgent(clock);
  const waiting = new StartWithNetwork(agent, clock, () => undefined);
  waiting.start();
  clock.runUntil(1500);
  waiting.stop();
  clock.runUntil(20_000);
  expect(agent.calls).toEqual(["stop at 1500"]);
});

test("does not keep the cluster from being settled when no network comes", () => {
  const clock = new VirtualClock();
  new StartWithNetwork(new RecordedAgent(clock), clock, () => undefined).start();
  expect(clock.settle()).toBe(true);
});
