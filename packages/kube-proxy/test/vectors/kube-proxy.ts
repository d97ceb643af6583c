import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type KubeObject, SeededRandom, VirtualClock } from "@cnilab/core";
import { Dummy, Kernel, Network } from "@cnilab/linux";
import { parseIp } from "@cnilab/net";
import { loadAll } from "js-yaml";
import type { VectorCase } from "../../../../tools/vector-suite.ts";
import { canonicalIptables, readConfig, StandAloneKubeProxy } from "../../src/index.ts";

/** Cases of the real kube-proxy: what it leaves in iptables after each input. */
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
  const kernel = machine();
  const proxy = new StandAloneKubeProxy(
    kernel.initNs,
    "node1",
    readConfig(settings, join(folder, "config.json")),
  );
  const problems: string[] = [];
  for (const suffix of settings.steps > 1 ? steps(settings.steps) : [""]) {
    const input = readFileSync(join(folder, `input${suffix}.yaml`), "utf8");
    proxy.apply((loadAll(input) as (KubeObject | null)[]).filter((o) => o !== null));
    for (const [tool, family] of [
      ["iptables", 4],
      ["ip6tables", 6],
    ] as const) {
      const file = `${tool}${suffix}.txt`;
      const expected = readFileSync(join(folder, file), "utf8");
      const actual = canonicalIptables(kernel.initNs.iptables(family).save());
      problems.push(...differences(file, expected, actual));
    }
  }
  return problems.length === 0
    ? { name, outcome: "passed" }
    : { name, outcome: "failed", detail: problems.slice(0, 12).join("\n") };
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
