import type { LabelSelector, LabelSelectorRequirement } from "@cnilab/core";
import {
  extendedKey,
  extendKey,
  hasKey,
  type Label,
  parseExtendedKey,
  policyKey,
} from "./label.ts";
import type { LabelSet } from "./label-set.ts";

/** One of what a selector asks for; `label` is its key, read. */
interface Requirement {
  readonly key: string;
  readonly operator: LabelSelectorRequirement["operator"] | "Equals";
  readonly values: readonly string[];
  readonly label: Label;
}

/**
 * A label selector with sources in its keys, `any.app` and `k8s.io.kubernetes.pod.namespace` (pkg/policy/api/selector.go). Immutable.
 */
export class EndpointSelector {
  readonly matchLabels: ReadonlyMap<string, string>;
  readonly matchExpressions: readonly LabelSelectorRequirement[];
  readonly #requirements: readonly Requirement[];
  #text: string | undefined;
  #structure: string | undefined;

  /** @param matchLabels with keys that have their sources */
  constructor(
    matchLabels: Iterable<readonly [key: string, value: string]> = [],
    matchExpressions: readonly LabelSelectorRequirement[] = [],
  ) {
    this.matchLabels = new Map(matchLabels);
    this.matchExpressions = matchExpressions;
    const all: Requirement[] = [];
    for (const [key, value] of this.matchLabels) {
      all.push({ key, operator: "Equals", values: [value], label: parseExtendedKey(key) });
    }
    for (const { key, operator, values = [] } of matchExpressions) {
      all.push({ key, operator, values, label: parseExtendedKey(key) });
    }
    this.#requirements = all.sort((x, y) => (x.key < y.key ? -1 : x.key > y.key ? 1 : 0));
  }

  /** As a policy has it: `k8s:app`, and `app` for one of any source. */
  static fromPolicy(selector: LabelSelector): EndpointSelector {
    return EndpointSelector.#extended(selector, extendKey);
  }

  /** Of keys without sources, all of one: `k8s.` */
  static withPrefix(selector: LabelSelector, prefix: string): EndpointSelector {
    return EndpointSelector.#extended(selector, (key) => `${prefix}${key}`);
  }

  static #extended(
    { matchLabels, matchExpressions = [] }: LabelSelector,
    extend: (key: string) => string,
  ): EndpointSelector {
    return new EndpointSelector(
      Object.entries(matchLabels ?? {}).map(([key, value]) => [extend(key), value] as const),
      matchExpressions.map((each) => ({ ...each, key: extend(each.key) })),
    );
  }

  /** What has exactly these labels, and perhaps others. */
  static ofLabels(...labels: readonly Label[]): EndpointSelector {
    return new EndpointSelector(labels.map((each) => [extendedKey(each), each.value] as const));
  }

  /** The one that selects everything has no requirement. */
  get isWildcard(): boolean {
    return this.#requirements.length === 0;
  }

  matches(labels: LabelSet): boolean {
    for (const { label, operator, values } of this.#requirements) {
      const found = labels.find((each) => hasKey(each, label));
      switch (operator) {
        case "Equals":
        case "In":
          if (found === undefined || !values.includes(found.value)) return false;
          break;
        case "NotIn":
          if (found !== undefined && values.includes(found.value)) return false;
          break;
        case "Exists":
          if (found === undefined) return false;
          break;
        case "DoesNotExist":
          if (found !== undefined) return false;
          break;
      }
    }
    return true;
  }

  hasKey(key: string): boolean {
    return this.#requirements.some((each) => each.key === key);
  }

  hasKeyPrefix(prefix: string): boolean {
    return this.#requirements.some((each) => each.key.startsWith(prefix));
  }

  /** Values of which a key must have one. */
  valuesOf(key: string): readonly string[] | undefined {
    return this.#requirements.find(
      (each) => each.key === key && (each.operator === "Equals" || each.operator === "In"),
    )?.values;
  }

  withMatch(key: string, value: string): EndpointSelector {
    return new EndpointSelector([...this.matchLabels, [key, value]], this.matchExpressions);
  }

  withExpressions(more: readonly LabelSelectorRequirement[]): EndpointSelector {
    return more.length === 0
      ? this
      : new EndpointSelector(this.matchLabels, [...this.matchExpressions, ...more]);
  }

  /** The labels as expressions, too (ConvertToLabelSelectorRequirementSlice). */
  toExpressions(): readonly LabelSelectorRequirement[] {
    return [
      ...this.matchExpressions,
      ...[...this.matchLabels].map(
        ([key, value]) => ({ key, operator: "In", values: [value] }) as const,
      ),
    ];
  }

  /** As policies have it: with sources and a colon. */
  toPolicy(): LabelSelector {
    const { matchLabels, matchExpressions } = this;
    return {
      ...(matchLabels.size > 0 && {
        matchLabels: Object.fromEntries(
          [...matchLabels].map(([key, value]) => [policyKey(key), value] as const),
        ),
      }),
      ...(matchExpressions.length > 0 && {
        matchExpressions: matchExpressions.map(({ key, operator, values = [] }) => ({
          key: policyKey(key),
          operator,
          ...(values.length > 0 && { values }),
        })),
      }),
    };
  }

  /** What two selectors share that were written the same way; the order of labels does not count, that of expressions does. */
  get structure(): string {
    this.#structure ??= JSON.stringify([[...this.matchLabels].sort(), this.matchExpressions]);
    return this.#structure;
  }

  /** As Kubernetes writes selectors; two of one text select the same. */
  toString(): string {
    this.#text ??= this.#requirements.map(formatRequirement).join(",") || "<none>";
    return this.#text;
  }
}

function formatRequirement({ key, operator, values }: Requirement): string {
  switch (operator) {
    case "Equals":
      return `${key}=${values[0]}`;
    case "Exists":
      return key;
    case "DoesNotExist":
      return `!${key}`;
    default:
      return `${key} ${operator === "In" ? "in" : "notin"} (${[...values].sort().join(",")})`;
  }
}
