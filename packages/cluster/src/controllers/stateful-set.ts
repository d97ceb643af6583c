import { objectKey, type Pod, type StatefulSet } from "@cnilab/core";
import { templateHash } from "../api/name-suffix.ts";
import { isFinished, isReady, isTerminating } from "./pod-state.ts";
import { podFromTemplate } from "./pod-template.ts";
import { WorkloadController } from "./workload-controller.ts";

const REVISION_LABEL = "controller-revision-hash";

/**
 * Pods with names that stay: `db-0`, `db-1`… One after the other, upwards when they are made and
 * downwards when they go or are replaced (kube-controller-manager pkg/controller/statefulset). Volumes
 * are not modelled.
 */
export class StatefulSetController extends WorkloadController<"StatefulSet"> {
  protected reconcile(set: StatefulSet, pods: Pod[]): void {
    const revision = `${set.metadata.name}-${templateHash(set.spec.template)}`;
    const byOrdinal = new Map(pods.map((pod) => [ordinalOf(pod), pod]));
    this.#work(set, byOrdinal, revision);
    const alive = pods.filter((pod) => !isTerminating(pod));
    const ready = alive.filter(isReady).length;
    const updated = alive.filter(
      (pod) => pod.metadata.labels?.[REVISION_LABEL] === revision,
    ).length;
    this.writeStatus(set, {
      observedGeneration: set.metadata.generation,
      replicas: alive.length,
      readyReplicas: ready,
      availableReplicas: ready,
      currentReplicas: alive.length - updated,
      updatedReplicas: updated,
      updateRevision: revision,
    });
  }

  #work(set: StatefulSet, pods: ReadonlyMap<number, Pod>, revision: string): void {
    const start = set.spec.ordinals?.start ?? 0;
    const end = start + (set.spec.replicas ?? 1);
    const inOrder = set.spec.podManagementPolicy !== "Parallel";
    for (let ordinal = start; ordinal < end; ordinal++) {
      const pod = pods.get(ordinal);
      if (pod === undefined) {
        this.#create(set, ordinal, revision);
        if (inOrder) return;
      } else if (isFinished(pod)) {
        this.api.delete("Pod", objectKey(pod));
        return;
      } else if (inOrder && (isTerminating(pod) || !isReady(pod))) {
        return;
      }
    }
    const surplus = [...pods].filter(([ordinal]) => ordinal < start || ordinal >= end);
    surplus.sort(([x], [y]) => y - x);
    for (const [, pod] of surplus) {
      if (!isTerminating(pod)) this.api.delete("Pod", objectKey(pod));
      if (inOrder) return;
    }
    this.#update(set, pods, revision, start, end);
  }

  /** Replaces pods of an older template from the top, each when the one before is ready again. */
  #update(
    set: StatefulSet,
    pods: ReadonlyMap<number, Pod>,
    revision: string,
    start: number,
    end: number,
  ): void {
    const { type, rollingUpdate } = set.spec.updateStrategy ?? {};
    if (type === "OnDelete") return;
    const least = Math.max(start, rollingUpdate?.partition ?? 0);
    for (let ordinal = end - 1; ordinal >= least; ordinal--) {
      const pod = pods.get(ordinal);
      if (pod === undefined || isTerminating(pod)) return;
      if (pod.metadata.labels?.[REVISION_LABEL] !== revision) {
        this.api.delete("Pod", objectKey(pod));
        return;
      }
      if (!isReady(pod)) return;
    }
  }

  #create(set: StatefulSet, ordinal: number, revision: string): void {
    const name = `${set.metadata.name}-${ordinal}`;
    // A pod of that name may be there that is not ours.
    if (this.api.get("Pod", `${set.metadata.namespace}/${name}`) !== undefined) return;
    const pod = podFromTemplate(set, set.spec.template, name, {
      [REVISION_LABEL]: revision,
      "statefulset.kubernetes.io/pod-name": name,
      "apps.kubernetes.io/pod-index": String(ordinal),
    });
    const { serviceName } = set.spec;
    const subdomain = serviceName === undefined ? {} : { subdomain: serviceName };
    this.api.create<"Pod">({ ...pod, spec: { ...pod.spec, hostname: name, ...subdomain } });
  }
}

/** Number at the end of a pod's name; -1 where there is none. */
function ordinalOf(pod: Pod): number {
  const match = /-([0-9]+)$/.exec(pod.metadata.name);
  return match === null ? -1 : Number(match[1]);
}
