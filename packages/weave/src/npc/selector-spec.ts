import { type LabelSelector, type Labels, selects } from "@cnilab/core";
import type { SetType } from "./ipset-users.ts";
import { selectorText } from "./selector-text.ts";
import { ipsetName } from "./short-name.ts";

export type PolicyType = "ingress" | "egress";

/** One end of a rule: a set of pods, of namespaces, or a block of addresses. */
export interface RuleHost {
  ruleWords(direction: "src" | "dst"): readonly string[];
  readonly comment: string;
}

/** Pods or namespaces that a policy speaks of, and the set that has their addresses (npc/selector.go). */
export class SelectorSpec implements RuleHost {
  /** Equal for equal selectors of one namespace. */
  readonly key: string;
  readonly pods: LabelSelector | undefined;
  readonly namespaces: LabelSelector | undefined;
  /** Policies of these types apply to the pods that it selects; empty where it only tells peers. */
  readonly policyTypes: readonly PolicyType[];
  readonly setName: string;
  readonly setType: SetType;
  /** Empty where it is for all namespaces. */
  readonly namespace: string;

  constructor(given: {
    readonly pods?: LabelSelector;
    readonly namespaces?: LabelSelector;
    readonly namespace?: string;
    readonly policyTypes?: readonly PolicyType[];
  }) {
    const { pods, namespaces, namespace = "", policyTypes = [] } = given;
    this.pods = pods;
    this.namespaces = namespaces;
    this.namespace = namespace;
    this.policyTypes = policyTypes;
    this.key = [namespaces, pods]
      .map((selector) => (selector === undefined ? "" : selectorText(selector)))
      .join("");
    this.setName = ipsetName(`${namespace}:${this.key}`);
    this.setType = pods === undefined ? "list:set" : "hash:ip";
  }

  get comment(): string {
    return this.namespace === ""
      ? `namespaces: selector: ${this.key}`
      : `pods: namespace: ${this.namespace}, selector: ${this.key}`;
  }

  ruleWords(direction: "src" | "dst"): readonly string[] {
    return ["-m", "set", "--match-set", this.setName, direction];
  }

  selectsPod(labels: Labels): boolean {
    return selects(this.pods, labels);
  }

  selectsNamespace(labels: Labels): boolean {
    return selects(this.namespaces, labels);
  }
}
