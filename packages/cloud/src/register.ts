import {
  CLUSTER,
  type ClusterContext,
  type DependencyContainer,
  LOAD_BALANCER,
} from "@cnilab/core";
import type { Kernel } from "@cnilab/linux";
import { type CloudOptions, DEFAULT_CLOUD_OPTIONS } from "./cloud/cloud-options.ts";
import { CloudProvider } from "./cloud/cloud-provider.ts";

/** Registers a cloud's load balancers under `LOAD_BALANCER`. */
export function registerCloud(
  container: DependencyContainer,
  options: Partial<CloudOptions> = {},
): void {
  container.register(LOAD_BALANCER, {
    useFactory: (root) => {
      const cluster = root.resolve(CLUSTER) as ClusterContext<Kernel>;
      return new CloudProvider(cluster, { ...DEFAULT_CLOUD_OPTIONS, ...options });
    },
  });
}
