import { outerBytes } from "@cnilab/inspect";
import { plural } from "../text-layout.ts";
import type { Comparison } from "./comparison.ts";
import type {
  ConnectionFigures,
  Finding,
  NodePortOutcome,
  StateFinding,
  WalkFigures,
} from "./finding.ts";

/** One line of the table: what is counted, and how much of it there is on each CNI. */
export interface ComparisonRow {
  readonly label: string;
  readonly cells: readonly string[];
}

/** Rows that belong together, under a heading. */
export interface RowGroup {
  readonly title: string;
  readonly rows: readonly ComparisonRow[];
}

/** What is not there, or did not get through. */
const NONE = "-";

/** The whole table; rows of what none of these CNIs has are left out. */
export function comparisonRows(comparison: Comparison): RowGroup[] {
  return [
    reachRows(comparison),
    wayRows(comparison),
    ruleRows(comparison),
    stateRows(comparison),
    sourceRows(comparison),
  ].filter(({ rows }) => rows.length > 0);
}

function reachRows({ findings, sample }: Comparison): RowGroup {
  const walked = sample.pairs.length;
  const which =
    walked === sample.of
      ? `${walked} pairs of workloads and ports`
      : `${walked} of ${sample.of} pairs, drawn by chance`;
  const count = (finding: Finding, fits: (verdict: string) => boolean) =>
    String(finding.reach.filter(({ verdict }) => fits(verdict)).length);
  const lost = (verdict: string) => verdict !== "allowed" && verdict !== "blocked";
  const row = (label: string, fits: (verdict: string) => boolean) =>
    rowOf(label, findings, (finding) => count(finding, fits));
  return {
    title: `Who reaches whom (${which}, each walked)`,
    rows: [
      rowOf(
        "policies in effect",
        findings,
        ({ policies: { inEffect, total } }) => `${inEffect} of ${total}`,
      ),
      row("pairs that get through", (verdict) => verdict === "allowed"),
      row("pairs that a policy blocks", (verdict) => verdict === "blocked"),
      ...(findings.every(({ size }) => size.runningPods === size.pods)
        ? []
        : [rowOf("pods that run", findings, ({ size }) => `${size.runningPods} of ${size.pods}`)]),
      ...unlessAllZero(row("pairs lost otherwise", lost)),
      ...unlessAllEqual(rowOf("Services by", findings, ({ size }) => size.servicesBy)),
    ],
  };
}

function wayRows({ sameNode, acrossNodes }: Comparison): RowGroup {
  const far = acrossNodes?.found.map((walk) => walk?.direct);
  const length = ({ first, answer }: ConnectionFigures) =>
    `${first.devices}, ${first.routed}, ${first.steps} + ${answer.steps}`;
  return {
    title: "The way of the first packet: devices, routers, steps there + back",
    rows: [
      ...figureRows(
        SAME,
        sameNode?.found.map((walk) => walk?.direct),
        length,
      ),
      ...figureRows(OTHER, far, length),
      ...figureRows(
        SERVICE,
        acrossNodes?.found.map((walk) => walk?.service),
        length,
      ),
      ...figureRows(
        "bytes of encapsulation, MTU of pods",
        far,
        ({ later, mtu }) => `${outerBytes(later.outer)}, ${mtu}`,
      ),
    ],
  };
}

const SAME = "same node";
const OTHER = "other node";
const SERVICE = "other node, by Service";

function ruleRows({ sameNode, acrossNodes }: Comparison): RowGroup {
  const both = ({ first, later }: ConnectionFigures) => `${lookUps(first)} / ${lookUps(later)}`;
  return {
    title: "Rules + look-ups in eBPF maps or OVS flows, for the first packet / for each later one",
    rows: [
      ...figureRows(
        SAME,
        sameNode?.found.map((walk) => walk?.direct),
        both,
      ),
      ...figureRows(
        OTHER,
        acrossNodes?.found.map((walk) => walk?.direct),
        both,
      ),
      ...figureRows(
        SERVICE,
        acrossNodes?.found.map((walk) => walk?.service),
        both,
      ),
    ],
  };
}

function lookUps({ rules, lookups, flowLookups }: WalkFigures): string {
  const others = [lookups, flowLookups].filter((count) => count > 0);
  return [rules, ...others].join("+");
}

function stateRows({ findings, acrossNodes }: Comparison): RowGroup {
  const states = findings.map(({ state }) => state);
  const nodes = new Set(
    states.flatMap((state) =>
      state === undefined ? [] : [`${state.node}, ${plural(state.pods, "pod")}`],
    ),
  );
  if (nodes.size === 0) return { title: "", rows: [] };
  const row = (label: string, count: (counts: StateFinding["counts"]) => number) => ({
    label,
    cells: states.map((state) => (state === undefined ? NONE : String(count(state.counts)))),
  });
  const connection = acrossNodes?.found.map((walk) => walk?.service ?? walk?.direct);
  return {
    title: `State of a node (${[...nodes].join("; ")})`,
    rows: [
      {
        label: "routes, neighbours, FDB entries",
        cells: states.map((state) =>
          state === undefined
            ? NONE
            : `${state.counts.routes}, ${state.counts.neighbours}, ${state.counts.fdb}`,
        ),
      },
      ...unlessAllZero({
        label: "iptables rules: KUBE-* chains + others",
        cells: states.map((state) => (state === undefined ? NONE : rulesByOwner(state.counts))),
      }),
      ...unlessAllZero(
        row("nftables rules and elements", ({ nftRules, nftElements }) => nftRules + nftElements),
      ),
      ...unlessAllZero(row("ipset members", ({ ipsetMembers }) => ipsetMembers)),
      ...unlessAllZero(row("IPVS servers", ({ ipvsServers }) => ipvsServers)),
      ...unlessAllZero(row("eBPF map entries", ({ bpfEntries }) => bpfEntries)),
      ...unlessAllZero(row("OVS flows", ({ ovsFlows }) => ovsFlows)),
      ...figureRows("a connection leaves: own, tunnel, eBPF", connection, leftBy),
    ],
  };
}

function sourceRows({ acrossNodes, nodePort }: Comparison): RowGroup {
  const seen = ({ seenAs }: ConnectionFigures) => seenAs.who;
  const far = acrossNodes?.found.map((walk) => walk?.direct);
  const service = acrossNodes?.found.map((walk) => walk?.service);
  const ask = (label: string, key: "cluster" | "local"): ComparisonRow[] =>
    nodePort === undefined
      ? []
      : [
          {
            label,
            cells: nodePort.found.map((each) => (each === undefined ? NONE : seenBy(each[key]))),
          },
        ];
  return {
    title: "Whom the server sees",
    rows: [
      ...joined(figureRows("pod to pod", far, seen), figureRows("pod to Service", service, seen)),
      ...ask("outside to NodePort, policy Cluster", "cluster"),
      ...ask("outside to NodePort, policy Local", "local"),
    ],
  };
}

function rulesByOwner({ iptablesRules, iptablesOwners }: StateFinding["counts"]): string {
  const kube = iptablesOwners["KUBE"] ?? 0;
  return iptablesRules === 0 ? "0" : `${kube} + ${iptablesRules - kube}`;
}

function leftBy({ left: { own, tunnel, bpf } }: ConnectionFigures): string {
  return `${own}, ${tunnel}, ${bpf}`;
}

/** One row for both where they are equal. */
function joined([pod]: ComparisonRow[], [service]: ComparisonRow[]): ComparisonRow[] {
  if (pod === undefined || service === undefined)
    return [pod ?? service].filter((r) => r !== undefined);
  const isSame = pod.cells.every((cell, i) => cell === service.cells[i]);
  return isSame ? [{ label: "pod to pod, pod to Service", cells: pod.cells }] : [pod, service];
}

function seenBy({ verdict, seenAs }: NodePortOutcome): string {
  return seenAs?.who ?? verdict;
}

function rowOf(
  label: string,
  findings: readonly Finding[],
  cell: (finding: Finding) => string,
): ComparisonRow {
  return { label, cells: findings.map(cell) };
}

/** Nothing where no CNI has what would be counted. */
function figureRows(
  label: string,
  found: readonly (ConnectionFigures | undefined)[] | undefined,
  cell: (figures: ConnectionFigures) => string,
): ComparisonRow[] {
  if (found === undefined || found.every((figures) => figures === undefined)) return [];
  return [{ label, cells: found.map((figures) => (figures === undefined ? NONE : cell(figures))) }];
}

function unlessAllZero(row: ComparisonRow): ComparisonRow[] {
  return row.cells.every((cell) => cell === "0" || cell === NONE) ? [] : [row];
}

function unlessAllEqual(row: ComparisonRow): ComparisonRow[] {
  return new Set(row.cells).size < 2 ? [] : [row];
}
