import {
  type ApiClient,
  type Clock,
  type ClusterController,
  type Condition,
  objectKey,
  timestamp,
} from "@cnilab/core";
import { Subscription } from "rxjs";
import type {
  CiliumClusterwideNetworkPolicy,
  CiliumNetworkPolicy,
} from "../api/v2/network-policy.ts";
import type { PolicySettings } from "../policy/policy-settings.ts";
import { RefusedRuleError } from "../policy/refusal.ts";
import { checkRule } from "../policy/sanitize.ts";

const KINDS = [
  "CiliumNetworkPolicy.cilium.io",
  "CiliumClusterwideNetworkPolicy.cilium.io",
] as const;

type Policy = CiliumNetworkPolicy | CiliumClusterwideNetworkPolicy;

/** Tells in the condition `Valid` of policies whether agents take them (operator/pkg/networkpolicy). */
export class PolicyValidator implements ClusterController {
  readonly name = "cilium-operator";
  readonly #api: ApiClient;
  readonly #clock: Clock;
  readonly #settings: PolicySettings;
  #subscription: Subscription | undefined;

  constructor(api: ApiClient, clock: Clock, settings: PolicySettings) {
    this.#api = api;
    this.#clock = clock;
    this.#settings = settings;
  }

  start(): void {
    this.#subscription = new Subscription();
    for (const kind of KINDS) {
      this.#subscription.add(
        this.#api.watch(kind).subscribe(({ type, object }) => {
          if (type !== "DELETED") this.#judge(kind, object);
        }),
      );
    }
  }

  stop(): void {
    this.#subscription?.unsubscribe();
    this.#subscription = undefined;
  }

  #judge(kind: (typeof KINDS)[number], policy: Policy): void {
    const refusal = refusalOf(policy, this.#settings);
    this.#api.update(kind, objectKey(policy), (object) => {
      const { status } = object as Policy;
      const conditions = withValid(status?.conditions ?? [], refusal, timestamp(this.#clock.now));
      if (conditions === status?.conditions) return object;
      return { ...object, status: { ...status, conditions } };
    });
  }
}

/**
 * What the operator says against a policy, `undefined` where it takes it: of each of its rules the first thing (Rule.Sanitize). That a
 * namespaced one cannot select nodes agents alone say.
 */
export function refusalOf(policy: Policy, settings: PolicySettings): string | undefined {
  const rules = [...(policy.spec === undefined ? [] : [policy.spec]), ...(policy.specs ?? [])];
  const refusals = rules.flatMap((rule, i) => {
    try {
      checkRule(rule, policy.spec === undefined ? ["specs", i] : ["spec"], settings);
      return [];
    } catch (error) {
      if (!(error instanceof RefusedRuleError)) throw error;
      return [error.agentMessage];
    }
  });
  return refusals.length === 0 ? undefined : refusals.join("\n");
}

/** The same list where it says so already (updateCondition). */
function withValid(
  conditions: readonly Condition[],
  refusal: string | undefined,
  now: string,
): readonly Condition[] {
  const status = refusal === undefined ? "True" : "False";
  const message = refusal ?? "Policy validation succeeded";
  const before = conditions.find(({ type }) => type === "Valid");
  if (before?.status === status && before.message === message) return conditions;
  const lastTransitionTime = before?.status === status ? (before.lastTransitionTime ?? now) : now;
  const valid: Condition = { type: "Valid", status, lastTransitionTime, message };
  return before === undefined
    ? [...conditions, valid]
    : conditions.map((each) => (each === before ? valid : each));
}
