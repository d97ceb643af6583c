import { outerBytes } from "@cnilab/inspect";
import type { Comparison, ReachDifference } from "./comparison.ts";
import { type Explanation, explanations } from "./explanations.ts";
import type {
  ClusterSize,
  ConnectionFigures,
  Finding,
  NodePortFinding,
  StateFinding,
  WalkFigures,
} from "./finding.ts";
import { pairName } from "./pair-sample.ts";

/** A comparison as data. Fields are only ever added; `version` grows when one changes its meaning. */
export interface ComparisonData {
  readonly version: 1;
  readonly pairs: { readonly walked: number; readonly of: number };
  /** Which of all pairs and Services the figures are of; absent where nothing got through. */
  readonly measured: {
    readonly sameNode?: string;
    readonly acrossNodes?: string;
    readonly nodePort?: string;
  };
  readonly cnis: readonly CniData[];
  readonly differences: readonly DifferenceData[];
  readonly why: readonly Explanation[];
}

/** What was found on one CNI. */
export interface CniData {
  readonly name: string;
  readonly release: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly cluster: ClusterSize;
  readonly policies: Finding["policies"];
  /** How many pairs fared how. */
  readonly reach: Readonly<Record<string, number>>;
  readonly sameNode?: ConnectionData;
  readonly acrossNodes?: ConnectionData;
  readonly service?: ConnectionData & { readonly name: string };
  readonly nodePort?: NodePortFinding;
  readonly state?: StateFinding;
  readonly warnings: readonly string[];
}

export type ConnectionData = Omit<ConnectionFigures, "first" | "answer" | "later"> & {
  readonly [packet in "first" | "answer" | "later"]: WalkFigures & {
    readonly encapsulationBytes: number;
  };
};

export interface DifferenceData {
  /** By CNI. */
  readonly verdicts: Readonly<Record<string, string>>;
  /** By CNI, how many of the pairs an object blocks. */
  readonly blockedBy: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly pairs: readonly string[];
}

export function comparisonData(comparison: Comparison): ComparisonData {
  const { findings, sample, sameNode, acrossNodes, nodePort, differences } = comparison;
  return {
    version: 1,
    pairs: { walked: sample.pairs.length, of: sample.of },
    measured: {
      ...(sameNode === undefined ? {} : { sameNode: sameNode.name }),
      ...(acrossNodes === undefined ? {} : { acrossNodes: acrossNodes.name }),
      ...(nodePort === undefined ? {} : { nodePort: nodePort.name }),
    },
    cnis: findings.map((finding, i) => cniData(comparison, finding, i)),
    differences: differences.map((each) => differenceData(each, findings)),
    why: explanations(comparison, (text) => text),
  };
}

function cniData(comparison: Comparison, finding: Finding, i: number): CniData {
  const { cni, size, policies, state, warnings } = finding;
  const near = comparison.sameNode?.found[i]?.direct;
  const { direct: far, service } = comparison.acrossNodes?.found[i] ?? {};
  const nodePort = comparison.nodePort?.found[i];
  return {
    name: cni.label,
    release: cni.release,
    options: cni.options,
    cluster: size,
    policies,
    reach: countVerdicts(finding),
    ...(near === undefined ? {} : { sameNode: connectionData(near) }),
    ...(far === undefined ? {} : { acrossNodes: connectionData(far) }),
    ...(service === undefined
      ? {}
      : { service: { name: service.name, ...connectionData(service) } }),
    ...(nodePort === undefined ? {} : { nodePort }),
    ...(state === undefined ? {} : { state }),
    warnings,
  };
}

function countVerdicts({ reach }: Finding): Record<string, number> {
  const counts: Record<string, number> = { allowed: 0, blocked: 0 };
  for (const { verdict } of reach) counts[verdict] = (counts[verdict] ?? 0) + 1;
  return counts;
}

function connectionData({ first, answer, later, ...rest }: ConnectionFigures): ConnectionData {
  const walk = (figures: WalkFigures) => ({
    ...figures,
    encapsulationBytes: outerBytes(figures.outer),
  });
  return { ...rest, first: walk(first), answer: walk(answer), later: walk(later) };
}

function differenceData(
  { verdicts, blockers, pairs }: ReachDifference,
  findings: readonly Finding[],
): DifferenceData {
  const byCni = <T>(values: readonly T[]): Record<string, T> =>
    Object.fromEntries(findings.map(({ cni }, i) => [cni.label, values[i] as T]));
  return {
    verdicts: byCni(verdicts),
    blockedBy: byCni(blockers.map((of) => Object.fromEntries(of))),
    pairs: pairs.map(pairName),
  };
}
