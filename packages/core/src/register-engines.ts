import type { ClusterConfig } from "./cluster-config.ts";
import type { CniModel, CniOptionValues } from "./cni-model.ts";
import type { DependencyContainer, InjectionToken } from "./tokens.ts";

/**
 * Registers some of a model's engines; others of it are left to somebody else. One network out of two is then
 * `registerEngines(flannel, [OVERLAY], root, {}, config); registerEngines(calico, [BRIDGE, POLICY], root, {}, config)`.
 * @throws InputError for options that the model refuses
 */
export function registerEngines(
  model: CniModel,
  tokens: readonly InjectionToken[],
  container: DependencyContainer,
  options: CniOptionValues,
  config: ClusterConfig,
): void {
  const part: DependencyContainer = Object.create(container, {
    register: {
      value: (token: InjectionToken, ...how: readonly unknown[]) => {
        if (tokens.includes(token)) container.register(token, ...(how as [never]));
        return part;
      },
    },
  });
  model.register(part, options, config);
}
