import { type DependencyContainer, NODE, type NodeContext, POLICY, perNode } from "@cnilab/core";
import type { Kernel } from "@cnilab/linux";
import { PolicyAgent } from "./policy-agent.ts";
import { PolicyTables } from "./policy-tables.ts";

/** Registers the agent under `POLICY`, one for each node, in place of the CNI's own. What nodes share is made once. */
export function registerPolicyAgent(container: DependencyContainer): void {
  const tables = new PolicyTables();
  container.register(
    POLICY,
    perNode((node) => new PolicyAgent(node.resolve(NODE) as NodeContext<Kernel>, tables)),
  );
}
