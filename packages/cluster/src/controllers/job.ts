import { type Job, objectKey, type Pod, timestamp } from "@cnilab/core";
import { isActive, isReady } from "./pod-state.ts";
import { generatedName, podFromTemplate } from "./pod-template.ts";
import { WorkloadController } from "./workload-controller.ts";

const INDEX = "batch.kubernetes.io/job-completion-index";

/**
 * Runs pods until enough have succeeded (kube-controller-manager pkg/controller/job). What a Job's pods
 * do is not known; the kubelet lets each succeed after one virtual second.
 */
export class JobController extends WorkloadController<"Job"> {
  readonly #made = new Map<string, number>();

  protected override forget(uid: string): void {
    this.#made.delete(uid);
  }

  protected reconcile(job: Job, pods: Pod[]): void {
    const active = pods.filter(isActive);
    const succeeded = pods.filter((pod) => pod.status?.phase === "Succeeded").length;
    const failed = pods.filter((pod) => pod.status?.phase === "Failed").length;
    const { parallelism = 1, completions } = job.spec;
    // Without completions, one success is the sign that the work is done.
    const enough = completions ?? (succeeded > 0 ? succeeded : parallelism);
    const complete =
      completions === undefined ? succeeded > 0 && active.length === 0 : succeeded >= enough;
    const mayMake = completions === undefined && succeeded > 0 ? 0 : enough - succeeded;
    const wanted = job.spec.suspend === true ? 0 : Math.min(parallelism, mayMake);
    if (!complete) {
      for (let i = active.length; i < wanted; i++) this.#create(job, pods);
      for (const pod of active.slice(wanted)) this.api.delete("Pod", objectKey(pod));
    }
    const { status } = job;
    const now = timestamp(this.clock.now);
    this.writeStatus(job, {
      active: active.length,
      ready: active.filter(isReady).length,
      succeeded,
      failed,
      startTime: status?.startTime ?? now,
      ...(complete
        ? {
            completionTime: status?.completionTime ?? now,
            conditions: status?.conditions ?? [
              { type: "Complete", status: "True", lastTransitionTime: now },
            ],
          }
        : {}),
    });
  }

  #create(job: Job, pods: Pod[]): void {
    const { uid, name, namespace } = job.metadata;
    const extra = { "batch.kubernetes.io/job-name": name, "job-name": name };
    const made = this.#made.get(uid as string) ?? 0;
    const indexed = job.spec.completionMode === "Indexed";
    const index = indexed ? freeIndex(pods) : undefined;
    const base = index === undefined ? `${name}-` : `${name}-${index}-`;
    const generated = generatedName(this.api, "Pod", namespace as string, base, made);
    this.#made.set(uid as string, generated.next);
    const pod = podFromTemplate(job, job.spec.template, generated.name, {
      ...extra,
      ...(index === undefined ? {} : { [INDEX]: String(index) }),
    });
    const created = this.api.create<"Pod">(pod);
    pods.push(created);
  }
}

/** The first index that no pod works at or has finished. */
function freeIndex(pods: readonly Pod[]): number {
  const taken = new Set(
    pods
      .filter((pod) => isActive(pod) || pod.status?.phase === "Succeeded")
      .map((pod) => pod.metadata.labels?.[INDEX]),
  );
  for (let i = 0; ; i++) if (!taken.has(String(i))) return i;
}
