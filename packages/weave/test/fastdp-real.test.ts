import { readFileSync } from "node:fs";
import { dpctlDumpFlows, type NetNamespace } from "@cnilab/linux";
import { type Mac, tryParseMac } from "@cnilab/net";
import { beforeAll, describe, expect, test } from "vitest";
import { NetworkLab } from "./network-lab.ts";

/** What the real one made of the same network: fixtures/fastdp/README.md. */
const recorded = readFileSync(
  new URL("./fixtures/fastdp/chain-flows.txt", import.meta.url),
  "utf8",
);
const PEER = /^peer (\d) short id (\d+), container 10\.32\.0\.\d (.*)$/gm;
const HOSTS = [1, 2, 3] as const;

/** Flows of a host as recorded, in any order. */
function recordedFlows(host: number): string[] {
  const [, ...sections] = recorded.split(/^== host \d\n/m);
  return normalised(sections[host - 1] as string);
}

/**
 * Without counters but for whether it was used at all: pings and ARP fall otherwise. Go's maps have no order, so ports of a broadcast come in any.
 */
function normalised(text: string): string[] {
  return text
    .trim()
    .split("\n")
    .map((line) => {
      const [match = "", actions = ""] = line.split(", actions:");
      const used = match.includes("used:never") ? "never used" : "used";
      const what = match.replace(/, packets:.*/, "");
      const ways = actions.match(/set\(tunnel\([^)]*\)\)\),\d+|\d+/g) ?? [];
      return `${what}, ${used}, actions:${ways.sort().join(",")}`;
    })
    .sort();
}

describe("the chain of three that was recorded", () => {
  const lab = new NetworkLab();

  beforeAll(() => {
    const containers = new Map<number, NetNamespace>();
    const peers = [...recorded.matchAll(PEER)].map(([, host, shortId, mac]) => ({
      host: Number(host),
      shortId: Number(shortId),
      mac: tryParseMac(mac as string) as Mac,
    }));
    const links: Readonly<Record<number, readonly number[]>> = { 1: [2], 2: [1, 3], 3: [2] };
    for (const { host, shortId } of peers) {
      lab.start(host, links[host] ?? [], { discovery: false, shortId });
    }
    lab.clock.advance(40_000);
    for (const { host, mac } of peers) containers.set(host, lab.container(host, host, mac));
    const from = containers.get(1) as NetNamespace;
    for (const [to, times] of [
      [2, 5],
      [3, 20],
    ] as const) {
      for (let i = 0; i < times; i++) {
        expect(lab.ping(from, to).outcome).toBe("connected");
        lab.clock.advance(300);
      }
    }
  });

  test.each(HOSTS)("host %i has the same flows", (host) => {
    expect(normalised(dpctlDumpFlows(lab.node(host).netns))).toEqual(recordedFlows(host));
  });
});
