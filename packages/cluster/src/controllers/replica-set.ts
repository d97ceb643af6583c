import {
  type Labels,
  objectKey,
  type Pod,
  type PodTemplateSpec,
  type ReplicaSet,
} from "@cnilab/core";
import { byWorth, isActive, isReady } from "./pod-state.ts";
import { generatedName, podFromTemplate } from "./pod-template.ts";
import { WorkloadController } from "./workload-controller.ts";

/** The older form of a ReplicaSet; its selector is a plain set of labels. */
export interface ReplicationController extends Omit<ReplicaSet, "kind" | "spec"> {
  readonly kind: "ReplicationController";
  readonly spec: Omit<ReplicaSet["spec"], "selector"> & { readonly selector?: Labels };
}

declare module "@cnilab/core" {
  interface Kinds {
    ReplicationController: ReplicationController;
  }
}

/**
 * Keeps as many pods as a ReplicaSet, or ReplicationController, asks for. Orphaned pods are not
 * adopted; `minReadySeconds` is not waited for.
 */
export class ReplicaSetController extends WorkloadController<
  "ReplicaSet" | "ReplicationController"
> {
  /** How many pods each has made. */
  readonly #made = new Map<string, number>();

  protected override forget(uid: string): void {
    this.#made.delete(uid);
  }

  protected reconcile(set: ReplicaSet | ReplicationController, pods: Pod[]): void {
    const wanted = set.spec.replicas ?? 1;
    const active = pods.filter(isActive);
    const { template } = set.spec;
    if (template !== undefined) {
      for (let i = active.length; i < wanted; i++) this.#createPod(set, template);
    }
    const surplus =
      active.length > wanted ? [...active].sort(byWorth).slice(0, active.length - wanted) : [];
    for (const pod of surplus) {
      this.api.delete("Pod", objectKey(pod));
    }
    const ready = active.filter(isReady).length;
    this.writeStatus(set, {
      observedGeneration: set.metadata.generation,
      replicas: active.length,
      fullyLabeledReplicas: active.length,
      readyReplicas: ready,
      availableReplicas: ready,
    });
  }

  #createPod(set: ReplicaSet | ReplicationController, template: PodTemplateSpec): void {
    const { uid, name, namespace } = set.metadata;
    const made = this.#made.get(uid as string) ?? 0;
    const generated = generatedName(this.api, "Pod", namespace as string, `${name}-`, made);
    this.#made.set(uid as string, generated.next);
    this.api.create<"Pod">(podFromTemplate(set, template, generated.name));
  }
}
