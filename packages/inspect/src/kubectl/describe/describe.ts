import { type Kind, type Kinds, type KubeObject, kindOf, type StoredObjects } from "@cnilab/core";
import { describeGeneric } from "./describe-generic.ts";
import { describeNetworkPolicy } from "./describe-network-policy.ts";
import { describeNamespace, describeNode } from "./describe-node.ts";
import { describePod } from "./describe-pod.ts";
import { describeEndpointSlice, describeIngress, describeService } from "./describe-service.ts";
import {
  describeDaemonSet,
  describeDeployment,
  describeReplicaSet,
  describeStatefulSet,
} from "./describe-workload.ts";
import { Description } from "./description.ts";
import { RelatedObjects } from "./related-objects.ts";

type Describe<T extends KubeObject> = (to: Description, object: T, related: RelatedObjects) => void;

const DESCRIBERS: { readonly [K in Kind]?: Describe<Kinds[K]> } = {
  DaemonSet: describeDaemonSet,
  Deployment: describeDeployment,
  EndpointSlice: describeEndpointSlice,
  Ingress: describeIngress,
  Namespace: describeNamespace,
  NetworkPolicy: describeNetworkPolicy,
  Node: describeNode,
  Pod: describePod,
  ReplicaSet: describeReplicaSet,
  Service: describeService,
  StatefulSet: describeStatefulSet,
};

/** Kinds of which kubectl shows no events. */
const WITHOUT_EVENTS: ReadonlySet<Kind> = new Set<Kind>(["Namespace", "NetworkPolicy"]);

/**
 * `kubectl describe` of objects that are stored, one below the other.
 * @param now milliseconds since 1970, by which ages are told
 */
export function kubectlDescribe(
  objects: readonly KubeObject[],
  stored: StoredObjects,
  now: number,
): string {
  const related = new RelatedObjects(stored);
  return objects.map((object) => described(object, related, now)).join("\n\n");
}

function described(object: KubeObject, related: RelatedObjects, now: number): string {
  const kind = kindOf(object);
  const to = new Description(now);
  const describe = (DESCRIBERS[kind] ?? describeGeneric) as Describe<KubeObject>;
  describe(to, object, related);
  if (!WITHOUT_EVENTS.has(kind)) to.events(related.eventsOf(object));
  return String(to);
}
