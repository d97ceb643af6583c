import { type NumericIdentity, RESERVED_IDENTITY } from "../identity/numeric-identity.ts";
import { EndpointSelector } from "../labels/endpoint-selector.ts";
import { POD_NAMESPACE_LABEL } from "../labels/kubernetes-labels.ts";
import type { LabelSet } from "../labels/label-set.ts";
import { isReserved } from "../labels/reserved-labels.ts";
import { type L4DirectionPolicy, resolveL4Policy } from "./l4-policy.ts";
import type { PolicyRule } from "./policy-rule.ts";
import type { PolicySettings } from "./policy-settings.ts";

/** What holds for all endpoints of one identity; a direction that nothing restricts has no policy (pkg/policy/resolve.go selectorPolicy). */
export interface ResolvedPolicy {
  readonly revision: number;
  readonly ingress?: L4DirectionPolicy;
  readonly egress?: L4DirectionPolicy;
  /** The first rule that has what nothing allows denied; none where a setting does. */
  readonly ingressDeniedBy?: PolicyRule;
  readonly egressDeniedBy?: PolicyRule;
}

/** Whose policy is asked for. */
export interface PolicySubject {
  readonly identity: NumericIdentity;
  readonly labels: LabelSet;
}

/** All rules that a node knows of (pkg/policy/repository.go). */
export class PolicyRepository {
  readonly #settings: PolicySettings;
  /** What has been resolved, by the rules that it comes from: most identities of a cluster are under the same. */
  readonly #resolved = new Map<
    string,
    { readonly rules: readonly PolicyRule[]; readonly policy: ResolvedPolicy }
  >();
  readonly #numbers = new WeakMap<PolicyRule, number>();
  #rulesSeen = 0;
  /** Rules by the object that they are of: `CiliumNetworkPolicy/shop/web`. */
  readonly #byResource = new Map<string, readonly PolicyRule[]>();
  readonly #byNamespace = new Map<string, Set<PolicyRule>>();
  #revision = 1;

  constructor(settings: PolicySettings) {
    this.#settings = settings;
  }

  /** One more after each change. */
  get revision(): number {
    return this.#revision;
  }

  get rules(): Iterable<PolicyRule> {
    return [...this.#byResource.values()].flat();
  }

  /** Puts an object's rules in place of those it had; none where it is gone. @returns the rules that came or went */
  replace(resource: string, rules: readonly PolicyRule[]): readonly PolicyRule[] {
    const old = this.#byResource.get(resource) ?? [];
    for (const rule of old) this.#byNamespace.get(rule.namespace)?.delete(rule);
    for (const rule of rules) {
      let ofNamespace = this.#byNamespace.get(rule.namespace);
      if (ofNamespace === undefined) {
        ofNamespace = new Set();
        this.#byNamespace.set(rule.namespace, ofNamespace);
      }
      ofNamespace.add(rule);
    }
    if (rules.length === 0) this.#byResource.delete(resource);
    else this.#byResource.set(resource, rules);
    this.#revision++;
    for (const [key, { rules: from }] of this.#resolved) {
      if (from.some((rule) => old.includes(rule))) this.#resolved.delete(key);
    }
    return [...old, ...rules];
  }

  /**
   * The same object for all identities that the same rules are for.
   * @throws PolicyConflictError: then endpoints of the identity keep the policy that they had
   */
  resolve({ identity, labels }: PolicySubject): ResolvedPolicy {
    const { enforcement, hostFirewall } = this.#settings;
    const isHost = identity === RESERVED_IDENTITY.host;
    if (enforcement === "never" || (isHost && !hostFirewall)) return NOTHING_ENFORCED;
    const namespace = namespaceOf(labels);
    const rules = this.#rulesFor(isHost, labels, namespace);
    const isForced = enforcement === "always" || isReserved(labels, "init");
    const key = `${namespace} ${isForced} ${rules.map((rule) => this.#numberOf(rule)).join()}`;
    let resolved = this.#resolved.get(key);
    if (resolved === undefined) {
      resolved = { rules, policy: this.#resolveRules(rules, namespace, isForced) };
      this.#resolved.set(key, resolved);
    }
    return resolved.policy;
  }

  #resolveRules(
    rules: readonly PolicyRule[],
    namespace: string,
    isForced: boolean,
  ): ResolvedPolicy {
    const direction = (of: "ingress" | "egress"): L4DirectionPolicy | undefined => {
      const own = rules.filter((rule) => hasSection(rule, of));
      if (own.length === 0 && !isForced) return undefined;
      const defaultDeny = isForced || own.some((rule) => rule.defaultDeny[of]);
      const context = { settings: this.#settings, namespace, defaultDeny };
      return resolveL4Policy(of, defaultDeny ? rules : [...rules, allowAll(of)], context);
    };
    const [ingress, egress] = [direction("ingress"), direction("egress")];
    const deniedBy = (of: "ingress" | "egress") =>
      rules.find((rule) => rule.defaultDeny[of] && hasSection(rule, of));
    const [ingressDeniedBy, egressDeniedBy] = [deniedBy("ingress"), deniedBy("egress")];
    return {
      revision: this.#revision,
      ...(ingress && { ingress }),
      ...(egress && { egress }),
      ...(ingressDeniedBy && { ingressDeniedBy }),
      ...(egressDeniedBy && { egressDeniedBy }),
    };
  }

  #numberOf(rule: PolicyRule): number {
    let number = this.#numbers.get(rule);
    if (number === undefined) {
      number = this.#rulesSeen++;
      this.#numbers.set(rule, number);
    }
    return number;
  }

  /** Whether a rule is for endpoints of these labels. */
  #rulesFor(isHost: boolean, labels: LabelSet, namespace: string): PolicyRule[] {
    const candidates = [...(this.#byNamespace.get("") ?? [])];
    if (namespace !== "") candidates.push(...(this.#byNamespace.get(namespace) ?? []));
    return candidates.filter((rule) => selectsSubject(rule, isHost, labels));
  }
}

const NOTHING_ENFORCED: ResolvedPolicy = { revision: 1 };

/** Rules of nodes are for the host alone, all others for all else. */
export function selectsSubject(rule: PolicyRule, isHost: boolean, labels: LabelSet): boolean {
  return rule.selectsNodes === isHost && rule.subject.matches(labels);
}

function hasSection(rule: PolicyRule, of: "ingress" | "egress"): boolean {
  return of === "ingress"
    ? rule.ingress.length + rule.ingressDeny.length > 0
    : rule.egress.length + rule.egressDeny.length > 0;
}

function namespaceOf(labels: LabelSet): string {
  return (
    labels.find(({ key, source }) => key === POD_NAMESPACE_LABEL && source === "k8s")?.value ?? ""
  );
}

/** Where rules say that nothing is denied by default, what they do not tell of is allowed. */
function allowAll(of: "ingress" | "egress"): PolicyRule {
  const everybody = [{ entities: ["all"], ports: [], icmps: [] }] as const;
  return {
    subject: new EndpointSelector(),
    selectsNodes: false,
    namespace: "",
    ingress: of === "ingress" ? everybody : [],
    ingressDeny: [],
    egress: of === "egress" ? everybody : [],
    egressDeny: [],
    defaultDeny: { ingress: true, egress: true },
    labels: [],
  };
}
