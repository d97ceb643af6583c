import type { Kind, PolicyEngine } from "@cnilab/core";
import { type Observable, of } from "rxjs";
import type { CiliumAgent } from "../cilium-agent.ts";
import { ClusterSecurity } from "./cluster-security.ts";
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
    for (const [policy, why] of agent.cluster.part(ClusterSecurity).policies.problems) {
      warnings.push(`${policy} is not enforced: ${why}`);
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

  start(): void {}

  stop(): void {}
}
