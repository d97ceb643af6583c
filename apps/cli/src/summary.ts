import type { Cluster, ClusterNode } from "@cnilab/cluster";
import { type CniModel, objectKey, type Pod } from "@cnilab/core";
import { plainWalk } from "@cnilab/inspect";
import { KUBE_PROXY_RELEASE } from "@cnilab/kube-proxy";
import { Trace } from "@cnilab/linux";
import type { ClusterFlags } from "./cluster-flags.ts";
import type { ServiceCheck } from "./service-check.ts";

/** Lines that a terminal shows at once. */
const SCREEN = 25;
const WIDTH = 100;

export interface SummaryInput {
  readonly cluster: Cluster;
  readonly flags: ClusterFlags;
  readonly model: CniModel | undefined;
  readonly checks: readonly ServiceCheck[];
  readonly client: Pod | undefined;
  readonly warnings: readonly string[];
}

/** What `run` tells: at most a screen, whatever the size of the cluster. */
export function summary(input: SummaryInput): string {
  const next = nextSteps(input);
  const head = [title(input), ...nodes(input), ...services(input), ...programmed(input)];
  const warnings = input.warnings.slice(0, 3).map((w) => clip(`Warning: ${w}`));
  const room = SCREEN - head.length - warnings.length - next.length;
  return [...head, ...walk(input, room), ...warnings, ...next].join("\n");
}

function title({ cluster, model, flags }: SummaryInput): string {
  const pods = cluster.api.list("Pod");
  const running = pods.filter((p) => p.status?.phase === "Running").length;
  const network =
    model === undefined ? "no network plugin" : `${model.name} ${model.release}${backend(flags)}`;
  const count = running === pods.length ? `${running} pods` : `${running} of ${pods.length} pods`;
  return `A cluster of ${plural(cluster.nodes.size, "node")} runs ${count} on ${network}, kube-proxy ${KUBE_PROXY_RELEASE} (${flags.proxyMode}).`;
}

function backend({ cniSet }: ClusterFlags): string {
  return cniSet.length > 0 ? ` (${cniSet.join(", ")})` : "";
}

function nodes({ cluster }: SummaryInput): string[] {
  const all = [...cluster.nodes.values()];
  const shown = all.slice(0, all.length > 4 ? 3 : 4);
  const podsOn = new Map<string, number>();
  for (const pod of cluster.api.list("Pod")) {
    const node = pod.spec.nodeName ?? "";
    podsOn.set(node, (podsOn.get(node) ?? 0) + 1);
  }
  const lines = shown.map((node) => {
    const range = node.podCidrs().join(", ") || "no pod range";
    const state = node.ready ? "" : "  NotReady";
    const pods = plural(podsOn.get(node.name) ?? 0, "pod");
    return `  ${node.name.padEnd(10)} ${addresses(node).padEnd(15)} pods in ${range}: ${pods}${state}`;
  });
  const more = all.length - shown.length;
  return [
    "Nodes, each with a range of its own for its pods' addresses",
    ...lines,
    ...(more > 0 ? [`  … and ${more} more (cnilab get nodes)`] : []),
  ];
}

function addresses(node: ClusterNode): string {
  const own = node.kernel.initNs.findDevice("eth0")?.addresses ?? [];
  return own.length === 0 ? "" : String(clusterAddress(node));
}

function clusterAddress(node: ClusterNode): string {
  const object = node.api.get("Node", node.name);
  return object?.status?.addresses?.find((a) => a.type === "InternalIP")?.address ?? "";
}

function services({ checks, client }: SummaryInput): string[] {
  const withEndpoints = checks.filter((c) => c.ready > 0);
  const good = withEndpoints.filter((c) => c.failures.length === 0);
  const bad = withEndpoints.filter((c) => c.failures.length > 0);
  const empty = checks.filter((c) => c.ready === 0 && c.service.spec.type !== "ExternalName");
  const from = client === undefined ? "no pod is there to ask" : `asked by ${objectKey(client)}`;
  const lines = [
    `Services, each one address for many pods: ${good.length} of ${withEndpoints.length} answer, ${from}`,
    ...list(
      good.map((c) => `${objectKey(c.service)} ${c.service.spec.clusterIP ?? ""}`),
      6,
    ),
  ];
  for (const { service, failures } of bad.slice(0, 3)) {
    const [first] = failures;
    lines.push(
      clip(`  ${objectKey(service)}:${first?.port} does not answer: ${first?.connection.reason}`),
    );
  }
  if (bad.length > 3) lines.push(`  … and ${bad.length - 3} more do not answer`);
  if (empty.length > 0) {
    lines.push(
      clip(`  without ready endpoints: ${empty.map((c) => objectKey(c.service)).join(", ")}`),
    );
  }
  return lines;
}

/** What CNI and proxy left in the first node's kernel, with the words explained. */
function programmed({ cluster }: SummaryInput): string[] {
  const [node] = cluster.nodes.values();
  if (node === undefined) return [];
  const { initNs } = node.kernel;
  const has = (kind: string) => initNs.devices.filter((d) => d.kind === kind).map((d) => d.name);
  const devices = [
    ...has("bridge").map((name) => `bridge ${name} (a switch for its pods)`),
    ...has("vxlan").map((name) => `tunnel ${name} (VXLAN: wraps packets for other nodes)`),
  ];
  const counts = `${plural(initNs.fib4.table(254).size, "route")}, ${plural(countRules(initNs.findIptables(4)?.save() ?? ""), "iptables rule")}`;
  return wrap([`Programmed on ${node.name}: ${[...devices, counts].join(", ")}`], "  ");
}

function countRules(saved: string): number {
  return saved.split("\n").filter((line) => line.startsWith("-A ")).length;
}

/** A packet between two nodes, in plain steps. */
function walk({ cluster, client }: SummaryInput, room: number): string[] {
  if (client === undefined || room < 4) return [];
  const far = cluster.api
    .list("Pod")
    .find(
      (p) =>
        p.spec.nodeName !== client.spec.nodeName &&
        p.spec.hostNetwork !== true &&
        p.status?.podIP !== undefined &&
        p.status.phase === "Running",
    );
  if (far === undefined) return [];
  const trace = new Trace();
  cluster.connect({
    from: cluster.endpoint(objectKey(client)),
    to: cluster.endpoint(objectKey(far)),
    protocol: "ICMP",
    trace,
  });
  const title = `A ping from ${objectKey(client)} (${client.spec.nodeName}) to ${objectKey(far)} (${far.spec.nodeName}) on its way`;
  return [clip(title), ...wrap(plainWalk(trace, room - 1), "    ")].slice(0, room);
}

function nextSteps({ client, checks }: SummaryInput): string[] {
  const service = checks.find(
    (c) => c.ready > 0 && c.service.metadata.namespace !== "default",
  )?.service;
  const port = service?.spec.ports?.[0]?.port;
  const name = service && `${service.metadata.name}.${service.metadata.namespace}:${port}`;
  return [
    "Next: " +
      [
        ...(client && name ? [`trace ${objectKey(client)} ${name}`] : []),
        "show iptables --node node1",
        "explain VTEP",
      ].join(" | "),
  ];
}

/** Names, as many as fit on `lines` lines, and how many more there are. */
function list(words: readonly string[], lines: number): string[] {
  const out: string[] = [];
  let line = "";
  for (const [i, word] of words.entries()) {
    const next = line === "" ? `  ${word}` : `${line}, ${word}`;
    if (next.length <= WIDTH) {
      line = next;
      continue;
    }
    out.push(`${line},`);
    line = `  ${word}`;
    if (out.length === lines - 1 && i < words.length - 1) {
      return [...out, `  … and ${words.length - i} more (cnilab get services -A)`];
    }
  }
  return line === "" ? out : [...out, line];
}

/** Breaks lines between words; what is broken off is indented. */
function wrap(lines: readonly string[], indent: string): string[] {
  return lines.flatMap((text) => {
    const out: string[] = [];
    let line = "";
    for (const word of text.split(" ")) {
      const next = line === "" ? word : `${line} ${word}`;
      if (next.length > WIDTH) {
        out.push(line);
        line = indent + word;
      } else line = next;
    }
    return [...out, line];
  });
}

function clip(line: string): string {
  return line.length <= WIDTH ? line : `${line.slice(0, WIDTH - 1)}…`;
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
