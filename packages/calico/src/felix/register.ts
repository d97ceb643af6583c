import { type DependencyContainer, NODE, type NodeContext, POLICY, perNode } from "@cnilab/core";
import type { Kernel } from "@cnilab/linux";
import type { FelixConfigurationSpec } from "../api/v3/felix-configuration.ts";
import { ClusterFelix } from "./cluster-felix.ts";
import { Felix } from "./felix.ts";

/**
 * Registers Felix's policy half under `POLICY`, one for each node. What nodes share is made once.
 * @param environment FELIX_… of the DaemonSet, which is stronger than any FelixConfiguration
 */
export function registerFelixPolicy(
  container: DependencyContainer,
  environment: FelixConfigurationSpec = {},
): void {
  const cluster = new ClusterFelix(environment);
  container.register(
    POLICY,
    perNode((node) => new Felix(node.resolve(NODE) as NodeContext<Kernel>, cluster)),
  );
}
