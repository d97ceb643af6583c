import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type KubeObject, SeededRandom, VirtualClock } from "@cnilab/core";
import { Dummy, Kernel, Network } from "@cnilab/linux";
import { parseIp } from "@cnilab/net";
import { loadAll } from "js-yaml";
import type { VectorCase } from "../../../../tools/vector-suite.ts";
import {
  canonicalIptables,
  type KubeProxyConfig,
  readConfig,
  StandAloneKubeProxy,
} from "../../src/index.ts";
import { replayPackets } from "./packets.ts";

const TOOLS = [
  ["iptables", 4],
  ["ip6tables", 6],
] as const;

/**
 * Cases of the real kube-proxy: what it leaves in iptables after each input, and what became of
 * connections where some were made.
 */
export async function* runSuite(folder: string): AsyncIterable<VectorCase> {
  for (const name of readdirSync(folder).sort()) {
    const config = join(folder, name, "config.json");
    if (existsSync(config)) yield runCase(name, join(folder, name));
  }
}

function runCase(name: string, folder: string): VectorCase {
  const settings = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
  if (!settings.mode.includes("iptables")) {
    return { name, outcome: "skipped", detail: "recorded in no mode that is modelled" };
  }
  const config = readConfig(settings, join(folder, "config.json"));
  const suffixes = settings.steps > 1 ? steps(settings.steps) : [""];
  const problems = [...compareTables(folder, config, suffixes)];
  for (const file of readdirSync(folder).filter((f) => /^packets.*\.json$/.test(f))) {
    const packets = JSON.parse(readFileSync(join(folder, file), "utf8"));
    const objects = readObjects(join(folder, `input${suffixes.at(-1)}.yaml`));
    problems.push(...replayPackets(packets, objects, config).map((p) => `${file}: ${p}`));
  }
  return problems.length === 0
    ? { name, outcome: "passed" }
    : { name, outcome: "failed", detail: problems.slice(0, 12).join("\n") };
}

/** Applies one input after the other to one proxy, and compares what it leaves in iptables each time. */
function* compareTables(
  folder: string,
  config: KubeProxyConfig,
  suffixes: readonly string[],
): Iterable<string> {
  const { initNs } = machine();
  const proxy = new StandAloneKubeProxy(initNs, "node1", config);
  for (const suffix of suffixes) {
    proxy.apply(readObjects(join(folder, `input${suffix}.yaml`)));
    for (const [tool, family] of TOOLS) {
      const file = `${tool}${suffix}.txt`;
      const expected = readFileSync(join(folder, file), "utf8");
      yield* differences(file, expected, canonicalIptables(initNs.iptables(family).save()));
    }
  }
}

function readObjects(file: string): KubeObject[] {
  const documents = loadAll(readFileSync(file, "utf8")) as (KubeObject | null)[];
  return documents.filter((o) => o !== null);
}

function steps(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `-${i + 1}`);
}

/** The namespace in which the real one was recorded. */
function machine(): Kernel {
  const kernel = new Kernel(new Network(new VirtualClock(), new SeededRandom(1)), "node1");
  kernel.initNs.loopback.setUp();
  const eth0 = new Dummy(kernel.initNs, { name: "eth0" });
  eth0.setUp();
  eth0.addAddress(parseIp("192.168.100.11"), 24);
  eth0.addAddress(parseIp("fd00:100::11"), 64);
  return kernel;
}

function differences(file: string, expected: string, actual: string): string[] {
  const want = expected.trimEnd().split("\n");
  const have = actual.trimEnd().split("\n");
  const wanted = new Set(want);
  const had = new Set(have);
  const lines = [
    ...want.filter((l) => !had.has(l)).map((l) => `${file}: missing  ${l}`),
    ...have.filter((l) => !wanted.has(l)).map((l) => `${file}: too much ${l}`),
  ];
  if (lines.length > 0 || expected.trimEnd() === actual.trimEnd()) return lines;
  const at = want.findIndex((l, i) => l !== have[i]);
  return [`${file}: order differs at line ${at + 1}: ${want[at]} / ${have[at]}`];
}
