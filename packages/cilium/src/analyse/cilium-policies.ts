import type { KubeObject, LabelSelectorRequirement } from "@cnilab/core";
import type { Direction, PeerTerm, Policy, Rule, Tier } from "@cnilab/network-policy";
import type { EndpointSelector } from "../labels/endpoint-selector.ts";
import { LABEL_SOURCE, parseExtendedKey } from "../labels/label.ts";
import { requirementsOf } from "../policy/peer-selectors.ts";
import type { PolicyRule } from "../policy/policy-rule.ts";
import type { AnalysisSettings } from "./analysis-settings.ts";
import { allOf, anyOf, EVERYBODY, fits, isEverybody, not } from "./combined-terms.ts";
import type { GivenRule, IgnoredPolicy, Section } from "./given-rules.ts";
import { ENDPOINT, HOST, INIT, NODE, type PeerTerms } from "./peer-terms.ts";
import type { RuleTerms } from "./rule-terms.ts";

/** All policies are asked together: what denies first, then what allows, and at the end what closes. */
const CILIUM: Tier = { name: "Cilium", order: 1, otherwise: "Deny", isUnordered: true };

const SECTIONS: Readonly<Record<Direction, readonly Section[]>> = {
  ingress: ["ingressDeny", "ingress"],
  egress: ["egressDeny", "egress"],
};

/** Behind all that policies say. */
const LOCALHOST_RANK = 1;

/** Sets of other rules that may be about the same endpoint are gone through one by one: of so many rules at most. */
const MOST_REQUIRING = 6;

/** What agents do whatever policies say is set in their ConfigMap. */
const CONFIG: KubeObject = {
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name: "cilium-config", namespace: "kube-system" },
};

/** Rules of agents as policies in the one form of all of them. */
export class CiliumPolicies {
  readonly #settings: AnalysisSettings;
  readonly #peers: PeerTerms;
  readonly #rules: RuleTerms;
  /** Whether policies for nodes can ask for a label of theirs. */
  readonly #isKeptOfNode: (key: string) => boolean;

  constructor(
    settings: AnalysisSettings,
    peers: PeerTerms,
    rules: RuleTerms,
    isKeptOfNode: (key: string) => boolean,
  ) {
    this.#settings = settings;
    this.#peers = peers;
    this.#rules = rules;
    this.#isKeptOfNode = isKeptOfNode;
  }

  read(all: readonly GivenRule[]): {
    readonly policies: readonly Policy[];
    readonly ignored: readonly IgnoredPolicy[];
  } {
    const off = this.#whyOff();
    if (off !== undefined) {
      const objects = [...new Set(all.map(({ object }) => object))];
      return { policies: [], ignored: objects.map((object) => ({ object, reason: off })) };
    }
    const ignored: IgnoredPolicy[] = [];
    const given = all.filter(({ object, rule }) => {
      if (!rule.selectsNodes || this.#settings.hostFirewall) return true;
      const reason = "it is for nodes, which have policies with hostFirewall.enabled=true alone";
      ignored.push({ object, reason });
      return false;
    });
    const policies: Policy[] = [];
    for (const each of given) {
      try {
        policies.push(this.#policy(each, given));
      } catch (error) {
        if (!(error instanceof TooManyRequirements)) throw error;
        ignored.push({ object: each.object, reason: error.message });
      }
    }
    return { policies: [...policies, ...this.#builtIn(policies)], ignored };
  }

  #whyOff(): string | undefined {
    if (this.#settings.enforcement === "never") return "policyEnforcementMode is never";
    if (this.#settings.audit) {
      return "policyAuditMode is true: what it denies is told of, and passes";
    }
    return undefined;
  }

  #policy(given: GivenRule, all: readonly GivenRule[]): Policy {
    const { object, rule } = given;
    const of = (direction: Direction) => {
      const sections = SECTIONS[direction];
      if (sections.every((section) => rule[section].length === 0)) return undefined;
      return sections.flatMap((section) => this.#section(given, section, direction, all));
    };
    const [ingress, egress] = [of("ingress"), of("egress")];
    const leavesOpen = (["ingress", "egress"] as const).filter((each) => !rule.defaultDeny[each]);
    return {
      object,
      tier: CILIUM,
      priority: 0,
      subject: this.#subject(rule),
      ...(ingress !== undefined && { ingress }),
      ...(egress !== undefined && { egress }),
      ...(leavesOpen.length > 0 && { leavesOpen }),
    };
  }

  #subject({ subject, selectsNodes }: PolicyRule): PeerTerm {
    return selectsNodes ? this.#nodes(subject) : allOf([ENDPOINT, this.#peers.of(subject)]);
  }

  /** Nodes by the labels of their objects, as far as these are kept, and by being hosts. */
  #nodes(selector: EndpointSelector): PeerTerm {
    const expressions: LabelSelectorRequirement[] = [];
    const others: PeerTerm[] = [];
    for (const requirement of selector.toExpressions()) {
      const { source, key } = parseExtendedKey(requirement.key);
      const isOfNode = source === LABEL_SOURCE.k8s || source === LABEL_SOURCE.any;
      if (isOfNode && this.#isKeptOfNode(key)) expressions.push({ ...requirement, key });
      else others.push(fits(requirement, requirement.key === "reserved.host" ? "" : undefined));
    }
    const nodes: PeerTerm = { kind: "nodes", nodeSelector: { matchExpressions: expressions } };
    return allOf([nodes, ...others]);
  }

  #section(
    { rule, paths }: GivenRule,
    section: Section,
    direction: Direction,
    all: readonly GivenRule[],
  ): readonly Rule[] {
    const deny = section.endsWith("Deny");
    const own = requirementsOf(rule[section]);
    return rule[section].flatMap((each, i) => {
      const place = { path: paths[section][i] as string, direction, deny };
      // Requirements are about endpoints alone.
      if (each.endpoints === undefined) return this.#rules.of(each, place, []);
      return this.#cases(rule, section, all).flatMap(({ selected, requirements }) =>
        this.#rules
          .of(each, place, [...own, ...requirements])
          .map((form) => (isEverybody(selected) ? form : { ...form, selected: [selected] })),
      );
    });
  }

  /**
   * What other rules require of a rule's endpoints depends on whom these rules select (pkg/policy/rules.go): a case for each set of
   * them that can select an endpoint together.
   */
  #cases(rule: PolicyRule, section: Section, all: readonly GivenRule[]): readonly Case[] {
    const others = all
      .map((each) => each.rule)
      .filter(
        (other) =>
          other !== rule &&
          other.selectsNodes === rule.selectsNodes &&
          (other.namespace === "" || rule.namespace === "" || other.namespace === rule.namespace) &&
          requirementsOf(other[section]).length > 0,
      );
    if (others.length > MOST_REQUIRING) throw new TooManyRequirements(section);
    let cases: readonly Case[] = [{ selected: EVERYBODY, requirements: [] }];
    for (const other of others) {
      const subject = this.#subject(other);
      const more = requirementsOf(other[section]);
      cases = cases.flatMap(({ selected, requirements }) => [
        { selected: allOf([selected, subject]), requirements: [...requirements, ...more] },
        { selected: allOf([selected, not(subject)]), requirements },
      ]);
    }
    return cases;
  }

  #builtIn(policies: readonly Policy[]): readonly Policy[] {
    const { enforcement, allowLocalhost, hostFirewall } = this.#settings;
    const form = { object: CONFIG, tier: CILIUM, priority: 0, isBuiltIn: true } as const;
    const isForced = enforcement === "always";
    // Endpoints without labels have only what policies give them, even so.
    const forced = isForced ? anyOf([ENDPOINT, ...(hostFirewall ? [NODE] : [])]) : INIT;
    const found: Policy[] = [{ ...form, subject: forced, ingress: [], egress: [] }];
    if (allowLocalhost === "policy") return found;
    const subjects = policies.filter((each) => each.ingress).map(({ subject }) => subject);
    const rule: Rule = {
      path: "data.allow-localhost",
      action: "Allow",
      rank: LOCALHOST_RANK,
      peers: [HOST],
    };
    found.push({
      ...form,
      // Everybody else lets everybody in.
      subject: allOf([ENDPOINT, anyOf([forced, ...subjects])]),
      ingress: [rule],
      leavesOpen: ["ingress"],
    });
    return found;
  }
}

interface Case {
  readonly selected: PeerTerm;
  readonly requirements: readonly LabelSelectorRequirement[];
}

class TooManyRequirements extends Error {
  constructor(section: Section) {
    const field = section.startsWith("ingress") ? "fromRequires" : "toRequires";
    super(
      `more than ${MOST_REQUIRING} other policies could add to its endpoints what their ${field} demand, which is more than is analysed; put what they demand into fromEndpoints or toEndpoints`,
    );
  }
}
