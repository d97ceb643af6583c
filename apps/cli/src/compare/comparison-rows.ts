import { outerBytes } from "@cnilab/inspect";
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
    encapsulationRows(comparison),
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
      ...unlessAllZero(row("pairs lost otherwise", lost)),
    ],
  };
}

function wayRows({ sameNode, acrossNodes }: Comparison): RowGroup {
  const length = ({ first, answer }: ConnectionFigures) =>
    `${first.devices}, ${first.routed}, ${first.steps} + ${answer.steps}`;
  return {
    title: "The way of the first packet: devices, routers, steps there + back",
    rows: [
      ...figureRows(
        "same node",
        sameNode?.found.map((walk) => walk?.direct),
        length,
      ),
      ...figureRows(
        "other node",
        acrossNodes?.found.map((walk) => walk?.direct),
        length,
      ),
      ...figureRows(
        "other node, by Service",
        acrossNodes?.found.map((walk) => walk?.service),
        length,
      ),
    ],
  };
}

function ruleRows({ sameNode, acrossNodes }: Comparison): RowGroup {
  const near = sameNode?.found.map((walk) => walk?.direct);
  const far = acrossNodes?.found.map((walk) => walk?.direct);
  const service = acrossNodes?.found.map((walk) => walk?.service);
  const kinds: readonly (readonly [label: string, count: (walk: WalkFigures) => number])[] = [
    ["iptables/nft rules", ({ rules }) => rules],
    ["eBPF map look-ups", ({ lookups }) => lookups],
    ["OVS flow look-ups", ({ flowLookups }) => flowLookups],
  ];
  return {
    title: "Looked up for the first packet / for each later one",
    rows: kinds.flatMap(([label, count]) => {
      const both = ({ first, later }: ConnectionFigures) => `${count(first)} / ${count(later)}`;
      return [
        ...figureRows(`${label}: same node`, near, both),
        ...figureRows(`${" ".repeat(label.length)}  other node`, far, both),
        ...figureRows(`${" ".repeat(label.length)}  by Service`, service, both),
      ].filter((_, __, rows) => rows.some(({ cells }) => cells.some((cell) => /[1-9]/.test(cell))));
    }),
  };
}

function encapsulationRows({ acrossNodes }: Comparison): RowGroup {
  const far = acrossNodes?.found.map((walk) => walk?.direct);
  return {
    title: "Around a packet between nodes",
    rows: [
      ...figureRows("bytes of encapsulation", far, ({ later }) => String(outerBytes(later.outer))),
      ...figureRows("MTU that a pod has", far, ({ mtu }) => String(mtu)),
    ],
  };
}

function stateRows({ findings, acrossNodes }: Comparison): RowGroup {
  const states = findings.map(({ state }) => state);
  const nodes = new Set(
    states.flatMap((state) => (state === undefined ? [] : [`${state.node}, ${state.pods} pods`])),
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
      ...unlessAllZero(row("iptables rules", ({ iptablesRules }) => iptablesRules)),
      ...unlessAllZero(
        row("nftables rules and elements", ({ nftRules, nftElements }) => nftRules + nftElements),
      ),
      ...unlessAllZero(row("ipset members", ({ ipsetMembers }) => ipsetMembers)),
      ...unlessAllZero(row("IPVS servers", ({ ipvsServers }) => ipvsServers)),
      ...unlessAllZero(row("eBPF map entries", ({ bpfEntries }) => bpfEntries)),
      ...unlessAllZero(row("OVS flows", ({ ovsFlows }) => ovsFlows)),
      ...figureRows("left by one connection, both nodes", connection, ({ tracked }) =>
        String(tracked),
      ),
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
