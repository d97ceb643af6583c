import type { Cluster, Endpoint } from "@cnilab/cluster";
import { type CniModel, isAddOn, objectKey, type Pod, PROXY, selects } from "@cnilab/core";
import { doorProblems, plainWalk, podStatus } from "@cnilab/inspect";
import { KUBE_PROXY_RELEASE, MODE_STATUS } from "@cnilab/kube-proxy";
import { type Kernel, type NetNamespace, Trace } from "@cnilab/linux";
import { formatIp, type IpFamily } from "@cnilab/net";
import type { ClusterFlags } from "./cluster-flags.ts";
import type { ServiceCheck } from "./service-check.ts";
import { clip, columns, list, plural, WIDTH, wrap } from "./text-layout.ts";

/** Lines that a terminal shows at once. */
const SCREEN = 25;
const MOST_NODES = 4;
const MOST_SERVICE_LINES = 6;
const MOST_FAILURES = 3;
const MOST_WARNINGS = 2;

export interface SummaryInput {
  readonly cluster: Cluster;
  readonly flags: ClusterFlags;
  readonly model: CniModel | undefined;
  readonly checks: readonly ServiceCheck[];
  readonly client: Endpoint;
  readonly warnings: readonly string[];
  /** How a person starts another command on the same input: what stands before it, and behind it. */
  readonly command: { readonly before: string; readonly behind: string };
}

/** What `run` tells: at most a screen, whatever the size of the cluster. */
export function summary(input: SummaryInput): string {
  const head = [
    ...title(input),
    ...nodes(input),
    ...waiting(input),
    ...services(input),
    ...doors(input),
    ...programmed(input),
  ];
  const tail = [...warnings(input), ...nextSteps(input)];
  const room = SCREEN - head.length - tail.length;
  return [...head, ...walk(input, room), ...tail].join("\n");
}

function title({ cluster, model, flags }: SummaryInput): string[] {
  const pods = podsOfInput(cluster);
  const running = pods.filter(({ status }) => status?.phase === "Running").length;
  const count =
    running === pods.length ? plural(running, "pod") : `${running} of ${pods.length} pods run`;
  const options = flags.cniSet.length > 0 ? ` (${flags.cniSet.join(", ")})` : "";
  const network =
    model === undefined
      ? "with no network plugin (CNI) to join them"
      : `joined by ${[model.name, ...releaseOf(model)].join(" ")}${options} (the CNI)`;
  const proxy = cluster.container.isRegistered(PROXY)
    ? `Services by kube-proxy ${KUBE_PROXY_RELEASE} (${modeOf(flags)})`
    : `Services by ${model?.name ?? "nobody"}, without kube-proxy`;
  return wrap(`${count} on ${plural(cluster.nodes.size, "node")}, ${network}; ${proxy}`, "  ");
}

/** With a word of what becomes of it, where that is not the default. */
function modeOf({ proxyMode }: ClusterFlags): string {
  return proxyMode === "iptables" ? proxyMode : `${proxyMode}, ${MODE_STATUS[proxyMode]}`;
}

/** A network of one's own has none. */
function releaseOf({ release }: CniModel): string[] {
  return release === "-" ? [] : [release];
}

function nodes({ cluster }: SummaryInput): string[] {
  const all = [...cluster.nodes.values()];
  const shown = all.slice(0, all.length > MOST_NODES ? MOST_NODES - 1 : MOST_NODES);
  const podsOn = new Map<string | undefined, number>();
  for (const { spec } of podsOfInput(cluster)) {
    podsOn.set(spec.nodeName, (podsOn.get(spec.nodeName) ?? 0) + 1);
  }
  const rows = shown.map((node) => {
    const status = cluster.api.get("Node", node.name)?.status;
    const address = status?.addresses?.find((a) => a.type === "InternalIP")?.address ?? "";
    const range = node.podRanges().join(", ") || "no range left";
    const pods = plural(podsOn.get(node.name) ?? 0, "pod");
    return [`  ${node.name}`, address, `pods in ${range}`, node.ready ? pods : `${pods}, NotReady`];
  });
  const more = all.length - shown.length;
  return [
    "Nodes, the machines; each has a range of addresses for its own pods",
    ...columns(rows),
    ...(more > 0 ? [`  … and ${more} more: get nodes`] : []),
  ];
}

/** How the kubelet begins to tell of any plugin's error. */
const SANDBOX_FAILURE = /^Failed to create pod sandbox: failed to setup network for sandbox: /;

/** Pods that do not run, and why the first of them does not. */
function waiting({ cluster }: SummaryInput): string[] {
  const pods = podsOfInput(cluster).filter((p) => !isSettled(p));
  const [first] = pods;
  if (first === undefined) return [];
  const told = cluster.api
    .list("Event")
    .findLast((e) => e.type === "Warning" && e.involvedObject.uid === first.metadata.uid);
  const message = told?.message.replace(SANDBOX_FAILURE, "");
  const why = [podStatus(first), message].filter(Boolean).join(", ");
  const line = `Waiting: ${plural(pods.length, "pod")}, as ${objectKey(first)}: ${why}`;
  const clipped = clip(line);
  return clipped === line ? [line] : [clipped, "  all of it: get events -A"];
}

/** Without what the cluster brings along itself. */
function podsOfInput({ api }: Cluster): Pod[] {
  return api.list("Pod").filter((pod) => !isAddOn(pod));
}

function isSettled({ status }: Pod): boolean {
  return status?.phase === "Running" || status?.phase === "Succeeded";
}

/** Hosts by which the world comes in, and the first thing that is wrong with a door. */
function doors({ cluster }: SummaryInput): string[] {
  const byHolder = new Map<string, string[]>();
  for (const { name, addresses, holder } of cluster.publicNames.all) {
    const known = byHolder.get(holder);
    const text = `${name} ${addresses.map(formatIp).join(", ")}`;
    if (known === undefined) byHolder.set(holder, [text]);
    else known.push(text);
  }
  const open = [...byHolder].map(([holder, hosts]) => `${hosts.join(", ")} (${holder})`);
  const problems = doorProblems(cluster.api);
  if (open.length === 0 && problems.length === 0) return [];
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : "";
  return [
    clip(`Doors for the world outside: ${open.join("; ") || "none is open"}`),
    ...(problems[0] === undefined ? [] : [clip(`  amiss${more}: ${problems[0]}`)]),
  ];
}

function services({ checks, client }: SummaryInput): string[] {
  const asked = checks.filter((c) => c.ready > 0);
  const good = asked.filter((c) => c.failures.length === 0 && c.guarded.length === 0);
  const bad = asked.filter((c) => c.failures.length > 0);
  const empty = checks.filter((c) => c.ready === 0 && c.service.spec.type !== "ExternalName");
  const byNamespace = new Map<string, string[]>();
  for (const { service } of good) {
    const { namespace = "", name } = service.metadata;
    const names = byNamespace.get(namespace) ?? [];
    byNamespace.set(namespace, [...names, `${name} ${service.spec.clusterIP}`]);
  }
  const lines = [...byNamespace].flatMap(([namespace, names]) =>
    wrap(`  ${namespace}: ${names.join(", ")}`, "    ", /(?<=,) /),
  );
  return [
    clip(
      `Services (one lasting address each for many pods): ${good.length} of ${asked.length} answer ${client.text}`,
    ),
    ...list(lines, MOST_SERVICE_LINES, "  … and more: get services -A"),
    ...fromOutside(checks),
    ...guarded(asked),
    ...bad.slice(0, MOST_FAILURES).map(({ service, failures }) => {
      const [first] = failures;
      return clip(`  ${objectKey(service)}:${first?.port} does not: ${first?.connection.reason}`);
    }),
    ...(bad.length > MOST_FAILURES ? [`  … and ${bad.length - MOST_FAILURES} more do not`] : []),
    ...(empty.length > 0
      ? [clip(`  no pod is ready behind ${empty.map((c) => objectKey(c.service)).join(", ")}`)]
      : []),
  ];
}

/** Services that policies keep from the pod that asks. */
function guarded(checks: readonly ServiceCheck[]): string[] {
  const of = (openToOthers: boolean) =>
    checks.flatMap(({ service, guarded: ports }) =>
      ports
        .filter((each) => each.openToOthers === openToOthers)
        .map(({ port }) => `${objectKey(service)}:${port}`),
    );
  const [some, none] = [of(true), of(false)];
  return [
    ...(some.length > 0 ? [clip(`  policies open ${some.join(", ")} to others only`)] : []),
    ...(none.length > 0 ? [clip(`  policies let no pod reach ${none.join(", ")}`)] : []),
  ];
}

/** Load balancers' addresses, as far as there are any, and who waits for one. */
function fromOutside(checks: readonly ServiceCheck[]): string[] {
  const open = checks.flatMap(({ service, outside }) =>
    outside.map((ip) => `${objectKey(service)} ${ip}`),
  );
  const pending = checks
    .filter(({ service: { spec, status } }) => {
      return spec.type === "LoadBalancer" && !status?.loadBalancer?.ingress?.length;
    })
    .map(({ service }) => objectKey(service));
  return [
    ...(open.length > 0 ? [clip(`  also from outside the cluster: ${open.join(", ")}`)] : []),
    ...(pending.length > 0 ? [clip(`  no load balancer serves ${pending.join(", ")}`)] : []),
  ];
}

/** What CNI and proxy left in the first node's kernel, with the words explained. */
function programmed({ cluster, flags }: SummaryInput): string[] {
  const [node] = cluster.nodes.values();
  if (node === undefined) return [];
  const { initNs } = node.kernel;
  const ofKind = (kind: string) => initNs.devices.filter((d) => d.kind === kind);
  const routes = cluster.config.ipFamilies.reduce((n, f) => n + initNs.fib(f).main.size, 0);
  const { proxyMode } = flags;
  const [table, count] =
    proxyMode === "nftables" ? ["nftables", countNftRules] : ["iptables", countIptablesRules];
  const rules = cluster.config.ipFamilies.reduce((n, family) => n + count(initNs, family), 0);
  const parts = [
    ...ofKind("bridge").map((d) => `bridge ${d.name} (a switch for its pods)`),
    ...TUNNELS.flatMap((kind) =>
      ofKind(kind).map((d) => `${kind} tunnel ${d.name} (to other nodes)`),
    ),
    plural(routes, "route"),
    ...(proxyMode === "ipvs" ? [plural(initNs.ipvs.serviceCount, "virtual server")] : []),
    ...servicesBy(plural(rules, `${table} rule`), cluster, node.kernel),
  ];
  return wrap(`Programmed on ${node.name}: ${parts.join(", ")}`, "  ");
}

/** Rules, and what turns a Service's address into a pod's: they, or entries of eBPF maps where there is no kube-proxy. */
function servicesBy(rules: string, { container }: Cluster, { bpf }: Kernel): string[] {
  const why = "(they turn a Service's address into a pod's)";
  if (container.isRegistered(PROXY)) return [`${rules} ${why}`];
  const entries = [...bpf.maps.values()].filter(({ name }) => /services/.test(name));
  const count = entries.reduce((n, { size }) => n + size, 0);
  if (count === 0) return [`${rules} ${why}`];
  return [rules, `${count} ${count === 1 ? "entry" : "entries"} of eBPF maps ${why}`];
}

/** Kinds of devices that carry packets to other nodes, as `ip -d link` names them. */
const TUNNELS = ["vxlan", "geneve", "ipip", "wireguard", "tun"];

function countIptablesRules(netns: NetNamespace, family: IpFamily): number {
  const saved = netns.findIptables(family)?.save() ?? "";
  return saved.split("\n").filter((line) => line.startsWith("-A ")).length;
}

function countNftRules(netns: NetNamespace, family: IpFamily): number {
  const listing = netns.findNftables()?.json() as
    | { nftables: { rule?: { family: string } }[] }
    | undefined;
  const name = family === 4 ? "ip" : "ip6";
  return (listing?.nftables ?? []).filter(({ rule }) => rule?.family === name).length;
}

/** A packet between two nodes, in plain steps. */
function walk({ cluster, client }: SummaryInput, room: number): string[] {
  const from = podOf(cluster, client);
  const far = podsOfInput(cluster).find(
    ({ spec, status }) =>
      from !== undefined &&
      spec.nodeName !== from.spec.nodeName &&
      spec.hostNetwork !== true &&
      status?.podIP !== undefined &&
      status.phase === "Running",
  );
  if (from === undefined || far === undefined) return [];
  const trace = new Trace();
  const to = cluster.endpoint(objectKey(far));
  cluster.connect({ from: client, to, protocol: "ICMP", trace });
  const title = `A ping from ${objectKey(from)} on ${from.spec.nodeName} to ${objectKey(far)} on ${far.spec.nodeName}:`;
  const steps = plainWalk(trace, room).flatMap((step) => wrap(`  ${step}`, "    "));
  return room < 3 ? [] : [clip(title), ...list(steps, room - 1, "  …")];
}

function warnings({ warnings }: SummaryInput): string[] {
  const more = warnings.length - MOST_WARNINGS;
  return [
    ...warnings.slice(0, MOST_WARNINGS).map((w) => clip(`Warning: ${w}`)),
    ...(more > 0 ? [`  … and ${plural(more, "more warning")}: run -o json`] : []),
  ];
}

function nextSteps({ cluster, client, checks, command }: SummaryInput): string[] {
  const { before, behind } = command;
  const [node] = cluster.nodes.keys();
  const own = podOf(cluster, client);
  const other = checks.find(
    ({ ready, failures, service: { metadata, spec } }) =>
      ready > 0 &&
      failures.length === 0 &&
      metadata.name !== "kubernetes" &&
      !selects({ matchLabels: spec.selector ?? {} }, own?.metadata.labels),
  )?.service;
  const vxlan = [...cluster.nodes.values()].some(({ kernel }) =>
    kernel.initNs.devices.some((d) => d.kind === "vxlan"),
  );
  const steps = [`show routes --node ${node}`, `explain ${vxlan ? "VTEP" : "CNI"}`];
  if (other !== undefined) {
    const { metadata, spec } = other;
    const port = spec.clusterIP === "None" ? "" : `:${spec.ports?.[0]?.port}`;
    steps.unshift(
      `trace ${workload(cluster, client)} ${metadata.name}.${metadata.namespace}${port}`,
    );
  }
  const whole = steps.map((step) => `  ${before} ${step}${behind}`);
  if (whole.every((line) => line.length <= WIDTH)) return ["Next:", ...whole];
  return ["Next, with the same flags as now:", ...steps.map((s) => `  ${before} ${s}`)];
}

function podOf(cluster: Cluster, end: Endpoint): Pod | undefined {
  const key =
    end.kind === "name" ? `${end.namespace}/${end.name}` : end.kind === "pod" ? end.key : "";
  return cluster.api.get("Pod", key);
}

/** A pod by its Deployment, whose name is the shorter one. */
function workload(cluster: Cluster, client: Endpoint): string {
  const pod = podOf(cluster, client);
  const owner = cluster.api
    .list("Deployment", pod?.metadata.namespace)
    .find(({ spec }) => pod !== undefined && selects(spec.selector, pod.metadata.labels));
  return owner === undefined
    ? client.text
    : `${owner.metadata.namespace}/deploy/${owner.metadata.name}`;
}
