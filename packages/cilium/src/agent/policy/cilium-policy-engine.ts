import { formatOrigin, type Kind, type PolicyEngine } from "@cnilab/core";
import { type Observable, of } from "rxjs";
import type { PolicyRule } from "../../policy/policy-rule.ts";
import type { CiliumAgent } from "../cilium-agent.ts";
import { ClusterSecurity } from "./cluster-security.ts";
import { ruleOrigin } from "./policy-map-values.ts";
import { PolicyPart } from "./policy-part.ts";

/** v1.18 knows neither ClusterNetworkPolicy nor AdminNetworkPolicy. */
const ENFORCED: readonly Kind[] = [
  "NetworkPolicy",
  "CiliumNetworkPolicy.cilium.io",
  "CiliumClusterwideNetworkPolicy.cilium.io",
];

/** Policies are a part of the agent, which starts and stops it; this tells which ones. */
export class CiliumPolicyEngine implements PolicyEngine {
  readonly name = "cilium-agent";
  readonly enforces: readonly Kind[] = ENFORCED;
  readonly ready: Observable<boolean> = of(true);
  readonly #agent: CiliumAgent;

  constructor(agent: CiliumAgent) {
    this.#agent = agent;
  }

  get problem(): string | undefined {
    return this.#agent.problem;
  }

  /** Policies that the agent refuses, and endpoints whose maps are not what policies say: what the real one's log has. */
  get warnings(): readonly string[] {
    const agent = this.#agent;
    if (!agent.isUp) return [];
    const warnings: string[] = [];
    const { problems, repository } = agent.cluster.part(ClusterSecurity).policies;
    for (const [policy, why] of problems) warnings.push(`${policy} is not enforced: ${why}`);
    for (const policy of new Set(requiringAuthentication(repository.rules))) {
      warnings.push(
        `${policy} asks for authentication, which is not modelled: what needs it is dropped (Authentication required)`,
      );
    }
    const part = agent.part(PolicyPart);
    for (const endpoint of agent.endpoints) {
      const { problem, missing } = part?.status(endpoint) ?? {};
      if (problem === undefined) continue;
      const who = endpoint.podKey ?? agent.node.name;
      const lacks = missing ? `${missing} entries do not fit its policy map: ` : "";
      warnings.push(`endpoint ${endpoint.id} (${who}) on ${agent.node.name}: ${lacks}${problem}`);
    }
    return warnings;
  }

  get refuses(): readonly string[] {
    const agent = this.#agent;
    return agent.isUp ? [...agent.cluster.part(ClusterSecurity).policies.problems.keys()] : [];
  }

  start(): void {}

  stop(): void {}
}

/** Objects whose rules let through only who has proved who they are. */
function* requiringAuthentication(rules: Iterable<PolicyRule>): Iterable<string> {
  for (const rule of rules) {
    const asks = [...rule.ingress, ...rule.egress].some(
      ({ authentication }) => authentication?.mode === "required",
    );
    const origin = asks ? ruleOrigin(rule) : undefined;
    if (origin !== undefined) yield formatOrigin(origin);
  }
}
