import type { Kind, PolicyEngine } from "@cnilab/core";
import { type Observable, of } from "rxjs";
import type { CiliumAgent } from "../cilium-agent.ts";

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

  start(): void {}

  stop(): void {}
}
