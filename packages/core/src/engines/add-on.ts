import type { KubeObject } from "../api/meta.ts";
import type { ClusterConfig } from "../cluster-config.ts";
import type { ApiClient } from "../watch.ts";

/**
 * What a cluster brings along beside the input, as kubeadm does with CoreDNS: objects that the cluster applies by itself. They come
 * when the input has come to rest, so that no pod of the input has another node or address on their account.
 */
export interface AddOn {
  readonly name: string;
  /**
   * Objects that it wants there now. Asked each time that the cluster has come to rest; an object that is there already, or was made
   * once and deleted since, is left as it is. So an add-on steps back where the input brings its own.
   */
  objects(api: ApiClient, config: ClusterConfig): readonly KubeObject[];
}

/** Marks objects of add-ons, and pods of their workloads, with the add-on's name. */
export const ADD_ON_ANNOTATION = "cnilab.dev/add-on";

/** Whether an object is not the input's but an add-on's. */
export function isAddOn({ metadata }: KubeObject): boolean {
  return metadata.annotations?.[ADD_ON_ANNOTATION] !== undefined;
}
