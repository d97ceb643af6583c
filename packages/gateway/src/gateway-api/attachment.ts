import type { GatewayRoute, ParentReference } from "@cnilab/core";
import { sharedHostnames } from "./host-intersection.ts";
import type { GatewayListener } from "./listeners.ts";

/** Listeners that a route may attach to by one of its parents, with the names that it has there. */
export interface Attachment {
  readonly parent: ParentReference;
  readonly at: readonly {
    readonly listener: GatewayListener;
    readonly hostnames: readonly string[];
  }[];
  /** Why there is none. */
  readonly refused?: Refusal;
}

export interface Refusal {
  readonly reason: string;
  readonly message: string;
}

/** Finds the listeners of a parent for a route (apis/v1/shared_types.go, RouteReason). */
export function attach(
  route: GatewayRoute,
  parent: ParentReference,
  listeners: readonly GatewayListener[],
): Attachment {
  const refuse = (reason: string, message: string): Attachment => ({
    parent,
    at: [],
    refused: { reason, message },
  });
  const of = `${parent.kind ?? "Gateway"} ${parent.name}`;
  const named = listeners.filter(
    ({ spec }) =>
      (parent.sectionName === undefined || spec.name === parent.sectionName) &&
      (parent.port === undefined || spec.port === parent.port),
  );
  if (named.length === 0) {
    const wanted = [
      ...(parent.sectionName === undefined ? [] : [`name ${parent.sectionName}`]),
      ...(parent.port === undefined ? [] : [`port ${parent.port}`]),
    ].join(" and ");
    return refuse("NoMatchingParent", `no listener of ${of} has ${wanted || "any name"}`);
  }
  const ofKind = named.filter(({ kinds }) => kinds.includes(route.kind));
  if (ofKind.length === 0) {
    return refuse("NotAllowedByListeners", `no listener of ${of} takes a ${route.kind}`);
  }
  const namespace = route.metadata.namespace ?? "default";
  const allowing = ofKind.filter((listener) => listener.admitsNamespace(namespace));
  if (allowing.length === 0) {
    return refuse(
      "NotAllowedByListeners",
      `no listener of ${of} takes routes of namespace ${namespace} (allowedRoutes)`,
    );
  }
  const usable = allowing.filter(({ isAccepted }) => isAccepted);
  if (usable.length === 0) {
    return refuse(
      "NoMatchingParent",
      `listener ${allowing[0]?.spec.name} of ${of} is not accepted`,
    );
  }
  const names = route.spec.hostnames?.map((name) => name.toLowerCase());
  const at = usable.flatMap((listener) => {
    const hostnames = sharedHostnames(listener.hostname, names);
    return hostnames === undefined ? [] : [{ listener, hostnames }];
  });
  if (at.length === 0) {
    const theirs = usable.map(({ hostname }) => hostname).join(", ");
    return refuse(
      "NoMatchingListenerHostname",
      `no listener of ${of} has any of the host names ${names?.join(", ")}; they have ${theirs}`,
    );
  }
  return { parent, at };
}
