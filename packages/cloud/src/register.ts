import {
  CLUSTER,
  type ClusterContext,
  type DependencyContainer,
  LOAD_BALANCER,
} from "@cnilab/core";
import type { Kernel } from "@cnilab/linux";
import { type BgpOptions, DEFAULT_BGP_OPTIONS } from "./bgp/bgp-options.ts";
import { BgpProvider } from "./bgp/bgp-provider.ts";
import { type CloudOptions, DEFAULT_CLOUD_OPTIONS } from "./cloud/cloud-options.ts";
import { CloudProvider } from "./cloud/cloud-provider.ts";
import { DEFAULT_LAYER2_OPTIONS, type Layer2Options } from "./layer2/layer2-options.ts";
import { Layer2Provider } from "./layer2/layer2-provider.ts";

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

/** Registers MetalLB's layer 2 mode under `LOAD_BALANCER`. */
export function registerLayer2(
  container: DependencyContainer,
  options: Partial<Layer2Options> = {},
): void {
  container.register(LOAD_BALANCER, {
    useFactory: (root) => {
      const cluster = root.resolve(CLUSTER) as ClusterContext<Kernel>;
      return new Layer2Provider(cluster, { ...DEFAULT_LAYER2_OPTIONS, ...options });
    },
  });
}

/** Registers MetalLB's BGP mode under `LOAD_BALANCER`. */
export function registerBgp(
  container: DependencyContainer,
  options: Partial<BgpOptions> = {},
): void {
  container.register(LOAD_BALANCER, {
    useFactory: (root) => {
      const cluster = root.resolve(CLUSTER) as ClusterContext<Kernel>;
      return new BgpProvider(cluster, { ...DEFAULT_BGP_OPTIONS, ...options });
    },
  });
}
