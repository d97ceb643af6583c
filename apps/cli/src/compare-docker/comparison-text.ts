import { clip, columns, plural, wrap } from "../text-layout.ts";
import { type BothPair, type Matched, OUTSIDE } from "./both-sides.ts";
import {
  CONFIGURED_KINDS,
  type Configured,
  type ConfiguredCounts,
  type ConfiguredKind,
  countConfigured,
} from "./configured.ts";
import type { Difference } from "./differences.ts";

/** The same application on Docker and on Kubernetes. */
export interface DockerComparison {
  readonly docker: { readonly project: string; readonly host: string };
  readonly kubernetes: { readonly cni: string; readonly nodes: number };
  readonly workloads: Matched;
  readonly pairs: readonly BothPair[];
  readonly differences: readonly Difference[];
  readonly configured: {
    readonly docker: readonly Configured[];
    readonly kubernetes: readonly Configured[];
  };
  readonly programmed: { readonly docker: ConfiguredCounts; readonly kubernetes: ConfiguredCounts };
}

/** Workloads of a square that a screen has room for, and lines of what differs. */
const MOST_WORKLOADS = 24;
const MOST_DIFFERENCES = 8;

const WHY: Readonly<Record<ConfiguredKind, string>> = {
  addresses: "both hand addresses out; by hand are those that somebody has to know beforehand",
  ports:
    "a host's ports are shared, so published ones must differ; a Service has an address of its own",
  routes: "a container in two networks has two ways out; a pod has one, and the CNI knows the rest",
  names: "Docker names services in each network; on Kubernetes a Service object is the name",
  rules: "Docker joins who is written into a network; Kubernetes joins all, and policies take away",
};

/** One screen; `wide` names each thing that was configured by hand. */
export function comparisonText(comparison: DockerComparison, wide: boolean): string {
  return [
    ...head(comparison),
    "",
    ...square(comparison),
    "",
    ...differencesText(comparison),
    "",
    ...configuredText(comparison),
    ...(wide
      ? [
          "",
          ...items("Docker", comparison.configured.docker),
          "",
          ...items("Kubernetes", comparison.configured.kubernetes),
        ]
      : []),
  ].join("\n");
}

function head({ docker, kubernetes, workloads }: DockerComparison): string[] {
  const named = (what: string, names: readonly string[]) =>
    names.length === 0 ? [] : wrap(`${what}: ${names.join(", ")}`, "  ");
  return [
    clip(
      `${plural(workloads.both.length, "workload")} on Docker (project ${docker.project}, one host) and on Kubernetes (${kubernetes.cni}, ${plural(kubernetes.nodes, "node")})`,
    ),
    ...named("On Docker alone", workloads.dockerOnly),
    ...named("On Kubernetes alone", workloads.kubernetesOnly),
    ...named(
      "Not compared, without a network of its own on a side, or not running",
      workloads.notCompared,
    ),
  ];
}

function square({ workloads, pairs }: DockerComparison): string[] {
  const names = workloads.both.map(({ name }) => name);
  const ways = plural(pairs.length, "way");
  const count = (is: (pair: BothPair) => boolean) => pairs.filter(is).length;
  const totals = [
    `${count(({ docker, kubernetes }) => docker.allowed && kubernetes.allowed)} = both`,
    `${count(({ docker, kubernetes }) => docker.allowed && !kubernetes.allowed)} D Docker alone`,
    `${count(({ docker, kubernetes }) => !docker.allowed && kubernetes.allowed)} K Kubernetes alone`,
    `${count(({ docker, kubernetes }) => !docker.allowed && !kubernetes.allowed)} . neither`,
  ].join(", ");
  const legend = clip(`Of ${ways}, rows to columns: ${totals}`);
  if (names.length > MOST_WORKLOADS) return [legend];
  const byEnds = Map.groupBy(pairs, ({ source, destination }) => `${source} ${destination}`);
  const digits = String(names.length).length;
  const sources = [...names, OUTSIDE];
  const width = Math.max(...sources.map((name) => name.length));
  const number = (i: number) => String(i + 1).padStart(digits);
  const rows = sources.map((source, i) => {
    const cells = names.map((destination) => {
      const between = byEnds.get(`${source} ${destination}`) ?? [];
      return (source === destination ? " " : cellOf(between)).padStart(digits);
    });
    const which = i < names.length ? number(i) : " ".repeat(digits);
    return `${which} ${source.padEnd(width)}  ${cells.join(" ")}`.trimEnd();
  });
  const top = `${" ".repeat(digits + width + 1)}  ${names.map((_, i) => number(i)).join(" ")}`;
  return [legend, top, ...rows];
}

function cellOf(pairs: readonly BothPair[]): string {
  const marks = new Set(
    pairs.map(({ docker, kubernetes }) => {
      if (docker.allowed) return kubernetes.allowed ? "=" : "D";
      return kubernetes.allowed ? "K" : ".";
    }),
  );
  return marks.size > 1 ? "*" : ([...marks][0] ?? "-");
}

function differencesText({ differences }: DockerComparison): string[] {
  if (differences.length === 0)
    return ["Both let the same ways through, by the same names and ports."];
  const shown = differences.slice(0, MOST_DIFFERENCES);
  const rest = differences.length - shown.length;
  return [
    "What differs",
    ...shown.flatMap(({ text }) => wrap(`- ${text}`, "  ")),
    ...(rest > 0 ? [`  … and ${rest} more: -o json has them`] : []),
  ];
}

function configuredText({ configured, programmed }: DockerComparison): string[] {
  const [docker, kubernetes] = [
    countConfigured(configured.docker),
    countConfigured(configured.kubernetes),
  ];
  const rows = CONFIGURED_KINDS.map((kind) => [
    kind,
    ...[docker, programmed.docker, kubernetes, programmed.kubernetes].map((counts) =>
      String(counts[kind]),
    ),
  ]);
  const sum = (counts: ConfiguredCounts) =>
    String(CONFIGURED_KINDS.reduce((n, kind) => n + counts[kind], 0));
  const total = [
    "in all",
    ...[docker, programmed.docker, kubernetes, programmed.kubernetes].map(sum),
  ];
  return [
    ...columns([
      ["configured", "Docker by hand", "by itself", "Kubernetes by hand", "by itself"],
      ...rows,
      total,
    ]),
    ...CONFIGURED_KINDS.map((kind) => clip(`${kind}: ${WHY[kind]}`)),
  ];
}

/** By kind and reason, what was written where. */
function items(side: string, all: readonly Configured[]): string[] {
  const groups = Map.groupBy(all, ({ kind, why }) => `${kind}: ${why}`);
  const order = [...groups].sort(([, x], [, y]) => rank(x) - rank(y));
  return [
    `${side}, by hand: ${all.length}`,
    ...order.flatMap(([title, group]) => [
      clip(`  ${group.length} ${title}`),
      ...wrap(`    ${group.map(({ where, what }) => `${where}: ${what}`).join("; ")}`, "    "),
    ]),
  ];
}

function rank([first]: readonly Configured[]): number {
  return first === undefined ? 0 : CONFIGURED_KINDS.indexOf(first.kind);
}
