import { type DaemonSet, objectKey, type Pod, type Toleration } from "@cnilab/core";
import type { Subscription } from "rxjs";
import { templateHash } from "../api/name-suffix.ts";
import { unfitness } from "../scheduler/node-fit.ts";
import { isFinished, isReady, isTerminating } from "./pod-state.ts";
import { generatedName, podFromTemplate } from "./pod-template.ts";
import { WorkloadController } from "./workload-controller.ts";

const REVISION_LABEL = "controller-revision-hash";

/** Taints that pods of every DaemonSet bear (pkg/controller/daemon/util AddOrUpdateDaemonPodTolerations). */
const TOLERATIONS: readonly Toleration[] = [
  { key: "node.kubernetes.io/not-ready", operator: "Exists", effect: "NoExecute" },
  { key: "node.kubernetes.io/unreachable", operator: "Exists", effect: "NoExecute" },
  { key: "node.kubernetes.io/disk-pressure", operator: "Exists", effect: "NoSchedule" },
  { key: "node.kubernetes.io/memory-pressure", operator: "Exists", effect: "NoSchedule" },
  { key: "node.kubernetes.io/pid-pressure", operator: "Exists", effect: "NoSchedule" },
  { key: "node.kubernetes.io/unschedulable", operator: "Exists", effect: "NoSchedule" },
];
const HOST_NETWORK: Toleration = {
  key: "node.kubernetes.io/network-unavailable",
  operator: "Exists",
  effect: "NoSchedule",
};

/**
 * One pod on each node that suits (kube-controller-manager pkg/controller/daemon). The controller binds
 * its pods itself; an update replaces `maxUnavailable` pods at a time, `maxSurge` is not modelled.
 */
export class DaemonSetController extends WorkloadController<"DaemonSet"> {
  readonly #made = new Map<string, number>();

  override start(): Subscription {
    const subscription = super.start();
    subscription.add(
      this.api.watch("Node").subscribe(({ type, object, old }) => {
        const same =
          old !== undefined &&
          old.spec === object.spec &&
          old.metadata.labels === object.metadata.labels;
        if (type !== "MODIFIED" || !same) this.lookAtAll();
      }),
    );
    return subscription;
  }

  protected override forget(uid: string): void {
    this.#made.delete(uid);
  }

  protected reconcile(set: DaemonSet, pods: Pod[]): void {
    const revision = templateHash(set.spec.template);
    const onNode = new Map<string, Pod[]>();
    for (const pod of pods) {
      const name = pod.spec.nodeName ?? "";
      const there = onNode.get(name);
      if (there === undefined) onNode.set(name, [pod]);
      else there.push(pod);
    }
    const example = pattern(set, revision);
    let wanted = 0;
    for (const node of this.api.list("Node")) {
      const { name } = node.metadata;
      const fits = unfitness(node, example) === undefined;
      if (fits) wanted++;
      const there = onNode.get(name) ?? [];
      onNode.delete(name);
      if (fits && there.length === 0) this.#create(set, example, name);
      for (const [i, pod] of there.entries()) {
        if (isTerminating(pod)) continue;
        if (!fits || i > 0 || isFinished(pod)) this.api.delete("Pod", objectKey(pod));
      }
    }
    this.#update(set, pods, revision, wanted);
    const alive = pods.filter((pod) => !isTerminating(pod));
    const ready = alive.filter(isReady).length;
    this.writeStatus(set, {
      observedGeneration: set.metadata.generation,
      desiredNumberScheduled: wanted,
      currentNumberScheduled: Math.min(wanted, alive.length),
      numberReady: ready,
      numberAvailable: ready,
      numberMisscheduled: 0,
      updatedNumberScheduled: alive.filter((pod) => revisionOf(pod) === revision).length,
    });
  }

  #update(set: DaemonSet, pods: readonly Pod[], revision: string, wanted: number): void {
    const { type, rollingUpdate } = set.spec.updateStrategy ?? {};
    if (type === "OnDelete") return;
    const most = rollingUpdate?.maxUnavailable ?? 1;
    const allowed =
      typeof most === "number" ? most : Math.ceil((Number.parseInt(most, 10) * wanted) / 100);
    let down = wanted - pods.filter((pod) => isReady(pod) && !isTerminating(pod)).length;
    for (const pod of pods) {
      if (revisionOf(pod) === revision || isTerminating(pod)) continue;
      // What is not ready costs nothing more.
      if (isReady(pod) && down >= Math.max(1, allowed)) return;
      if (isReady(pod)) down++;
      this.api.delete("Pod", objectKey(pod));
    }
  }

  #create(set: DaemonSet, { metadata, ...rest }: Pod, nodeName: string): void {
    const { uid, name, namespace } = set.metadata;
    const made = this.#made.get(uid as string) ?? 0;
    const generated = generatedName(this.api, "Pod", namespace as string, `${name}-`, made);
    this.#made.set(uid as string, generated.next);
    const spec = { ...rest.spec, nodeName };
    this.api.create<"Pod">({ ...rest, metadata: { ...metadata, name: generated.name }, spec });
  }
}

/** A pod of the set before it has a name and a node. */
function pattern(set: DaemonSet, revision: string): Pod {
  const { template } = set.spec;
  const pod = podFromTemplate(set, template, "", { [REVISION_LABEL]: revision });
  const tolerations = [
    ...(template.spec.tolerations ?? []),
    ...TOLERATIONS,
    ...(template.spec.hostNetwork === true ? [HOST_NETWORK] : []),
  ];
  return { ...pod, spec: { ...pod.spec, tolerations } };
}

function revisionOf(pod: Pod): string | undefined {
  return pod.metadata.labels?.[REVISION_LABEL];
}
