import { goExpression } from "./go-expression.ts";
import type { Label } from "./label.ts";
import type { LabelSet } from "./label-set.ts";

/** One of the patterns of `labels`: keys that start with a match are kept, or, after `!`, left out. */
interface LabelPattern {
  readonly source: string;
  readonly ignore: boolean;
  readonly expression: RegExp;
}

/** What is kept without a setting (pkg/labelsfilter/filter.go defaultLabelPrefixCfg). */
const DEFAULT_PATTERNS = [
  "reserved:.*",
  "io\\.kubernetes\\.pod\\.namespace",
  "io\\.cilium\\.k8s\\.namespace\\.labels",
  "app\\.kubernetes\\.io",
  "io\\.cilium\\.k8s\\.policy\\.cluster",
  "io\\.cilium\\.k8s\\.policy\\.serviceaccount",
  "!io\\.kubernetes",
  "!kubernetes\\.io",
  "!statefulset\\.kubernetes\\.io/pod-name",
  "!apps\\.kubernetes\\.io/pod-index",
  "!batch\\.kubernetes\\.io/job-completion-index",
  "!batch\\.kubernetes\\.io/controller-uid",
  "!.*beta\\.kubernetes\\.io",
  "!k8s\\.io",
  "!pod-template-generation",
  "!pod-template-hash",
  "!controller-revision-hash",
  "!controller-uid",
  "!annotation.*",
  "!etcd_node",
  "!topology\\.kubernetes\\.io",
] as const;

/** Which labels make an identity. */
export interface FilteredLabels {
  readonly identity: LabelSet;
  /** What is left out. */
  readonly information: LabelSet;
}

/** Tells labels that make identities from others (pkg/labelsfilter/filter.go). */
export class LabelFilter {
  readonly #patterns: readonly LabelPattern[];
  /** One pattern of the user's that is not left out makes of all a list of what is kept. */
  readonly #isWhiteList: boolean;
  /** Of few keys that many pods have. */
  readonly #known = new Map<string, boolean>();

  /** @param patterns the setting `labels`, beside what always is there. @throws LabelPatternError */
  constructor(patterns: readonly string[] = []) {
    const given = patterns.filter((each) => each !== "").map(parsePattern);
    this.#patterns = [...DEFAULT_PATTERNS.map(parsePattern), ...given];
    this.#isWhiteList = given.some(({ ignore }) => !ignore);
  }

  filter(labels: LabelSet): FilteredLabels {
    const identity: Label[] = [];
    const information: Label[] = [];
    for (const each of labels) (this.isKept(each) ? identity : information).push(each);
    return { identity, information };
  }

  isKept(label: Label): boolean {
    const text = `${label.source}:${label.key}`;
    let kept = this.#known.get(text);
    if (kept === undefined) {
      kept = this.#judge(label);
      if (this.#known.size >= KNOWN_MAX) this.#known.clear();
      this.#known.set(text, kept);
    }
    return kept;
  }

  /** The longest match that keeps a label stands against the shortest that leaves it out. */
  #judge(label: Label): boolean {
    let included = 0;
    let ignored = 0;
    for (const { source, ignore, expression } of this.#patterns) {
      if (source !== "" && source !== label.source) continue;
      expression.lastIndex = 0;
      const length = expression.exec(label.key)?.[0].length;
      if (length === undefined) continue;
      if (!ignore) included = Math.max(included, length);
      else if (ignored === 0 || length < ignored) ignored = length;
    }
    return (!this.#isWhiteList && ignored === 0) || included > ignored;
  }
}

/** Keys of labels whose answer is kept. */
const KNOWN_MAX = 10_000;

export class LabelPatternError extends Error {
  override readonly name = "LabelPatternError";
}

function parsePattern(text: string): LabelPattern {
  const colon = text.indexOf(":");
  const source = colon < 0 ? "" : text.slice(0, colon);
  const given = text.slice(colon + 1);
  const ignore = given.startsWith("!");
  const pattern = ignore ? given.slice(1) : given;
  if (given === "") {
    throw new LabelPatternError(`${text} has no pattern; write SOURCE:PATTERN, or a pattern alone`);
  }
  try {
    // Sticky: a match that does not start with the key counts for nothing.
    return { source, ignore, expression: goExpression(pattern, "y") };
  } catch {
    throw new LabelPatternError(`${text} holds no regular expression: ${pattern}`);
  }
}
