import { CALICO_RESOURCES } from "@cnilab/calico/resources";
import { CILIUM_RESOURCES } from "@cnilab/cilium/resources";
import { CustomResources } from "@cnilab/cluster/objects";
import type { CniModel, CustomResource } from "@cnilab/core";

/** Kinds of the CNIs that come with cnilab: any command understands them, whichever CNI runs. */
export const RESOURCES: readonly CustomResource[] = [...CALICO_RESOURCES, ...CILIUM_RESOURCES];

/** The same with those of a model that somebody brings. */
export function resourcesWith(model: CniModel | undefined): readonly CustomResource[] {
  return [...(model?.resources ?? []), ...RESOURCES];
}

/** {@link RESOURCES}, by kind. */
export const CUSTOM: CustomResources = new CustomResources(RESOURCES);
