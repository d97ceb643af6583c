// `npm run bench`: what a packet, a pod and a byte cost. `--json` prints one flat object.
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { BringUp } from "./bench/bring-up.ts";
import type { CalicoBench } from "./bench/calico.ts";
import type { CiliumBench } from "./bench/cilium.ts";
import type { CiliumPath } from "./bench/cilium-path.ts";
import type { DnsBench } from "./bench/dns.ts";
import type { DnsPathBench } from "./bench/dns-path.ts";
import { perCpuSecond } from "./bench/measure.ts";
import { firstPacketResults, ipvsResults, PATHS, type Results } from "./bench/packets.ts";
import type { PolicyBench } from "./bench/policies.ts";
import { routeResults } from "./bench/routes.ts";
import { serviceResults } from "./bench/services.ts";
import type { WeaveBench } from "./bench/weave.ts";

/** Nodes, pods on each, Services. */
const SIZES = [
  [10, 10, 10],
  [100, 30, 100],
  [1000, 30, 1000],
] as const;

/** Services with a cluster IP that CoreDNS knows, and as many headless ones. */
const DNS_SERVICES = [100, 10_000] as const;

/** Services, and how kube-proxy leads questions to CoreDNS' pods. */
const DNS_PATHS = [
  [100, "iptables"],
  [10_000, "iptables"],
  [10_000, "nftables"],
  [10_000, "ipvs"],
] as const;

/** Pods and policies. */
const POLICY_SIZES = [
  [100, 50],
  [1000, 500],
  [10_000, 1000],
  [100_000, 1000],
] as const;

/** Nodes with 30 pods each, encapsulation, BGP and Felix's dataplane; growth is between the first and the last size of each kind. */
const CALICO = [
  [250, "VXLAN", "none", "Iptables"],
  [1000, "VXLAN", "none", "Iptables"],
  [250, "VXLAN", "none", "Nftables"],
  [1000, "VXLAN", "none", "Nftables"],
  [100, "IPIP", "mesh", "Iptables"],
  [250, "IPIP", "mesh", "Iptables"],
  [100, "IPIP", "reflectors", "Iptables"],
  [250, "IPIP", "reflectors", "Iptables"],
] as const;

/** Nodes with 30 pods each, Services, and how many identities their pods have. */
const CILIUM = [
  [250, 250, 250],
  [1000, 1000, 1000],
  [1000, 1000, 10_000],
] as const;

/** Services, and where Cilium translates them. */
const CILIUM_PATHS = [
  [10, "socket"],
  [10_000, "socket"],
  [10, "packet"],
  [10_000, "packet"],
] as const;

/** Peers of a mesh, and whom each is told of at its start: all others, as by weave-kube, or one. */
const WEAVE = [
  [10, "all"],
  [10, "one"],
  [100, "all"],
  [100, "one"],
] as const;

const json = process.argv.includes("--json");
const results: Results = { "reference.perCpuSecond": reference() };
for (const path of PATHS) {
  note(`packets: ${path}`);
  Object.assign(results, alone("bench/path.ts", [path]));
}
note("first packets");
Object.assign(results, firstPacketResults());
note("packets through IPVS");
Object.assign(results, ipvsResults());
note("syncs of kube-proxy");
Object.assign(results, serviceResults());
note("HTTPRoutes and Ingresses");
Object.assign(results, routeResults());
for (const count of DNS_SERVICES) {
  note(`DNS answers with ${count} Services`);
  const found = alone<DnsBench>("bench/dns.ts", [count]);
  const name = `dns.alone.${count}`;
  for (const [what, value] of Object.entries(found.answers)) {
    results[`${name}.${what}.perCpuSecond`] = value;
  }
  results[`${name}.bringUp.cpuMs`] = found.bringUpCpuSeconds * 1000;
  results[`${name}.bytesPerService`] = found.bytesPerService;
}
for (const [count, mode] of DNS_PATHS) {
  note(`DNS through the datapath: ${count} Services, ${mode}`);
  const { answers } = alone<DnsPathBench>("bench/dns-path.ts", [count, mode]);
  for (const [what, value] of Object.entries(answers)) {
    results[`dns.path.${mode}.${count}.${what}.perCpuSecond`] = value;
  }
}
for (const size of POLICY_SIZES) {
  note(`${size[0]} pods under ${size[1]} policies`);
  const found = alone<PolicyBench>("bench/policies.ts", size);
  const name = `policies.${found.pods}x${found.policies}`;
  results[`${name}.classes`] = found.classes;
  results[`${name}.portClasses`] = found.portClasses;
  results[`${name}.sort.cpuMs`] = found.sortCpuSeconds * 1000;
  results[`${name}.portClass.cpuMs`] = (found.pairsCpuSeconds / found.measuredPortClasses) * 1000;
  results[`${name}.pairsPerCpuSecond`] =
    (found.pods * (found.pods - 1) * found.measuredPortClasses) / found.pairsCpuSeconds;
  results[`${name}.bytes`] = found.bytes;
}
const bringUps = SIZES.map((size) => {
  note(`${size[0]} nodes × ${size[1]} pods`);
  return alone<BringUp>("bench/bring-up.ts", size);
});
for (const up of bringUps) {
  const size = `${up.nodes}x${up.pods / up.nodes}`;
  results[`setup.${size}.podsPerCpuSecond`] = up.pods / up.cpuSeconds;
  results[`setup.${size}.first.podsPerCpuSecond`] = up.pods / up.firstCpuSeconds;
  results[`memory.${size}.bytesPerPod`] = up.bytes / up.pods;
}
const [, middle, large] = bringUps as [BringUp, BringUp, BringUp];
// The largest: what does not grow with pods, such as the compiler's warming up, counts least.
results["setup.podsPerCpuSecond"] = large.pods / large.cpuSeconds;
results["memory.bytesPerPod"] = large.bytes / large.pods;
// 1 is linear: ten times the pods for ten times the cost.
results["setup.growth"] = large.cpuSeconds / large.pods / (middle.cpuSeconds / middle.pods);
results["memory.growth"] = large.bytes / large.pods / (middle.bytes / middle.pods);
for (const [kind, runs] of calicoRuns()) {
  for (const run of runs) {
    const name = `calico.${kind}.${run.nodes}x${run.pods / run.nodes}`;
    for (const [what, seconds] of costs(run)) results[`${name}.${what}.cpuMs`] = seconds * 1000;
    results[`${name}.bytesPerPod`] = run.bytes / run.pods;
  }
  const [small, large] = runs as [CalicoBench, CalicoBench];
  const before = new Map(costs(small));
  for (const [what, seconds] of costs(large)) {
    const growth = seconds / (before.get(what) as number);
    // A policy for pods of three nodes is no more work in a larger cluster; 1 means that.
    results[`calico.${kind}.${what}.growth`] =
      what === "few" ? growth : growth / (large.nodes / small.nodes);
  }
}
for (const [services, at] of CILIUM_PATHS) {
  note(`Cilium: first packets, ${services} Services, translated by ${at}`);
  const found = alone<CiliumPath>("bench/cilium-path.ts", [services, at]);
  const name = `cilium.firstPacket.${at}.${services}`;
  results[`${name}.lookups`] = found.lookups;
  results[`${name}.cpuMs`] = found.cpuSeconds * 1000;
}
for (const [nodes, services, identities] of CILIUM) {
  note(`Cilium: ${nodes} nodes × 30 pods, ${identities} identities`);
  const run = alone<CiliumBench>("bench/cilium.ts", [nodes, 30, services, identities]);
  const name = `cilium.${nodes}x30.${identities}`;
  for (const [what, seconds] of [["setup", run.bringUp], ...Object.entries(run.changes)]) {
    results[`${name}.${what}.cpuMs`] = (seconds as number) * 1000;
  }
  results[`${name}.bytesPerPod`] = run.bytes / run.pods;
}
for (const [peers, start] of WEAVE) {
  note(`Weave: a mesh of ${peers} peers that are told of ${start}`);
  const found = alone<WeaveBench>("bench/weave.ts", [peers, start]);
  const name = `weave.${peers}.${start}`;
  for (const what of ["bringUp", "join"] as const) {
    for (const key of ["messages", "bytes", "ms"] as const) {
      results[`${name}.${what}.${key}`] = found[what][key];
    }
  }
  results[`${name}.bringUp.topology.messages`] = found.bringUp.topology.messages;
  results[`${name}.bringUp.cpuMs`] = found.cpuSeconds * 1000;
  results[`${name}.bytesPerPeer`] = found.bytesPerPeer;
  results[`${name}.idleMinute.messages`] = found.idleMinute.messages;
  results[`${name}.idleMinute.bytes`] = found.idleMinute.bytes;
}

if (json) console.log(JSON.stringify(results));
else printTable();

/** A fixed piece of work, to compare machines and moments by: look-ups in a Map of 10,000 numbers. */
function reference(): number {
  const map = new Map(Array.from({ length: 10_000 }, (_, i) => [Math.imul(i, 2654435761), i]));
  const keys = [...map.keys()];
  return perCpuSecond((times) => {
    let sum = 0;
    for (let i = 0; i < times; i++) sum += map.get(keys[i % keys.length] as number) as number;
    if (sum < 0) throw new Error("impossible");
  });
}

function calicoRuns(): Map<string, CalicoBench[]> {
  const runs = new Map<string, CalicoBench[]>();
  for (const [nodes, ...kind] of CALICO) {
    note(`Calico: ${nodes} nodes × 30 pods, ${kind.join(", ")}`);
    const found = alone<CalicoBench>("bench/calico.ts", [nodes, 30, ...kind]);
    const name = kind.join(".");
    runs.set(name, [...(runs.get(name) ?? []), found]);
  }
  return runs;
}

function costs({ bringUp, programAll, changes }: CalicoBench): [string, number][] {
  return [["setup", bringUp], ["program", programAll], ...Object.entries(changes)];
}

/** What a program prints as JSON that runs in a process of its own: what ran before it changes how code is compiled. */
function alone<T>(program: string, args: readonly (string | number)[]): T {
  const file = fileURLToPath(new URL(program, import.meta.url));
  const command = ["--expose-gc", "--max-old-space-size=12000", file, ...args.map(String)];
  return JSON.parse(execFileSync(process.execPath, command, { encoding: "utf8" })) as T;
}

function printTable(): void {
  const reference = results["reference.perCpuSecond"] as number;
  console.log(`${"".padEnd(48)}${"value".padStart(14)}   reference look-ups each`);
  for (const [name, value] of Object.entries(results)) {
    const ratio = name.endsWith("PerCpuSecond") || name.endsWith("perCpuSecond");
    const cost = ratio ? (reference / value).toFixed(1).padStart(12) : "";
    const text = value < 100 ? value.toFixed(2) : Math.round(value).toLocaleString("en");
    console.log(`${name.padEnd(48)}${text.padStart(14)}${cost}`);
  }
}

function note(text: string): void {
  if (!json) process.stderr.write(`measuring ${text}…\n`);
}
