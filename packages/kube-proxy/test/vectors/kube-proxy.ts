import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type KubeObject, SeededRandom, VirtualClock } from "@cnilab/core";
import {
  Dummy,
  type HttpResponse,
  httpGet,
  Kernel,
  type NetNamespace,
  Network,
} from "@cnilab/linux";
import { parseIp } from "@cnilab/net";
import { loadAll } from "js-yaml";
import type { VectorCase } from "../../../../tools/vector-suite.ts";
import {
  canonicalAddrs,
  canonicalIpset,
  canonicalIptables,
  canonicalIpvs,
  canonicalIpvsIptables,
  canonicalNftables,
  type KubeProxyConfig,
  type KubeProxyMode,
  readConfig,
  StandAloneKubeProxy,
} from "../../src/index.ts";
import { replayPackets } from "./packets.ts";

/** What the kernel is left with, by the names of the files that have it. */
const DUMPS: Readonly<
  Record<KubeProxyMode, (netns: NetNamespace) => Readonly<Record<string, string>>>
> = {
  iptables: (netns) => ({
    "iptables.txt": canonicalIptables(netns.iptables(4).save()),
    "ip6tables.txt": canonicalIptables(netns.iptables(6).save()),
  }),
  nftables: (netns) => ({
    "nftables.json": canonicalNftables(netns.nftables.json()),
    "nftables.txt": netns.nftables.list(),
  }),
  ipvs: (netns) => ({
    "ipvs.txt": canonicalIpvs(netns.ipvs.save()),
    "ipset.txt": canonicalIpset(netns.ipsets.save()),
    "ipvs-iptables.txt": canonicalIpvsIptables(netns.iptables(4).save()),
    "ipvs-ip6tables.txt": canonicalIpvsIptables(netns.iptables(6).save()),
    "ipvs-addrs.txt": canonicalAddrs(netns),
  }),
};
const MODES: readonly KubeProxyMode[] = ["iptables", "nftables", "ipvs"];

/**
 * Cases of the real kube-proxy: what it leaves in the kernel after each input, in each mode, and what
 * became of connections where some were made.
 */
export async function* runSuite(folder: string): AsyncIterable<VectorCase> {
  for (const name of readdirSync(folder).sort()) {
    const config = join(folder, name, "config.json");
    if (existsSync(config)) yield runCase(name, join(folder, name));
  }
}

function runCase(name: string, folder: string): VectorCase {
  const settings = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
  const modes = MODES.filter((mode) => settings.mode.includes(mode));
  if (modes.length === 0) {
    return { name, outcome: "skipped", detail: "recorded in no mode that is modelled" };
  }
  const suffixes = settings.steps > 1 ? steps(settings.steps) : [""];
  const problems: string[] = [];
  for (const mode of modes) {
    const config = { ...readConfig(settings, join(folder, "config.json")), mode };
    problems.push(...compareDumps(folder, config, suffixes));
    for (const file of readdirSync(folder).filter((f) => /^packets.*\.json$/.test(f))) {
      const packets = JSON.parse(readFileSync(join(folder, file), "utf8"));
      const objects = readObjects(join(folder, `input${suffixes.at(-1)}.yaml`));
      const differing = replayPackets(packets, objects, config);
      problems.push(...differing.map((problem) => `${file}, ${mode}: ${problem}`));
    }
  }
  return problems.length === 0
    ? { name, outcome: "passed" }
    : { name, outcome: "failed", detail: problems.slice(0, 12).join("\n") };
}

/** Applies one input after the other to one proxy, and compares what it leaves each time. */
function* compareDumps(
  folder: string,
  config: KubeProxyConfig,
  suffixes: readonly string[],
): Iterable<string> {
  const { initNs } = machine();
  const proxy = new StandAloneKubeProxy(initNs, "node1", config);
  for (const suffix of suffixes) {
    proxy.apply(readObjects(join(folder, `input${suffix}.yaml`)));
    for (const [name, actual] of Object.entries(DUMPS[config.mode](initNs))) {
      const file = name.replace(".", `${suffix}.`);
      const expected = readFileSync(join(folder, file), "utf8");
      const [want, have] =
        name === "nftables.txt" ? [sortBlocks(expected), sortBlocks(actual)] : [expected, actual];
      yield* differences(file, want, have);
    }
    const health = join(folder, `healthcheck${suffix}.json`);
    if (existsSync(health)) yield* compareHealth(health, config.mode, initNs);
  }
}

/** What the real one answered to `GET /healthz` on a health check port. */
interface RecordedHealth {
  readonly status: number;
  readonly body: unknown;
  readonly weight: string;
}

/** Asks each health check port. (Recorded in iptables mode; the same code answers in all.) */
function* compareHealth(file: string, mode: string, node: NetNamespace): Iterable<string> {
  const recorded = JSON.parse(readFileSync(file, "utf8")) as Record<string, RecordedHealth>;
  for (const [port, { status, body, weight }] of Object.entries(recorded)) {
    let answer: HttpResponse | undefined;
    const dst = parseIp("192.168.100.11");
    const request = { dst, port: Number(port), path: "/healthz", owner: "curl", timeoutMs: 1000 };
    httpGet(node, request, (response) => {
      answer = response;
    });
    const want = JSON.stringify([status, body, weight]);
    const have =
      answer === undefined
        ? "no answer"
        : JSON.stringify([
            answer.status,
            JSON.parse(answer.body),
            answer.headers["X-Load-Balancing-Endpoint-Weight"],
          ]);
    if (want !== have) yield `healthcheck.json, ${mode}: port ${port}: ${have}; recorded: ${want}`;
  }
}

/** Chains, sets and maps of each table by name: the real kube-proxy makes them in a Go map's order. */
function sortBlocks(listing: string): string {
  const tables = listing.split(/^(?=table )/m);
  return tables
    .map((table) => {
      const blocks = table.replace(/}\n$/, "").split(/\n?(?=^\t(?:chain|set|map) )/m);
      return [blocks[0], ...blocks.slice(1).sort()].join("\n");
    })
    .join("");
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
