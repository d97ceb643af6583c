import type { Gateway, GatewayClass, GatewayCondition, ListenerSet } from "@cnilab/core";
import type { Admission } from "./admission.ts";

/** What a new object says until a controller has looked at it: the default in the CustomResourceDefinitions (v1.6.1). */
function pending(...types: readonly string[]): {
  readonly conditions: readonly GatewayCondition[];
} {
  const conditions = types.map((type) => ({
    type,
    status: "Unknown" as const,
    reason: "Pending",
    message: "Waiting for controller",
    lastTransitionTime: "1970-01-01T00:00:00Z",
  }));
  return { conditions };
}

export const GATEWAY_CLASS_ADMISSION: Admission<"GatewayClass"> = {
  kind: "GatewayClass",
  create: (object: GatewayClass) => ({ ...object, status: object.status ?? pending("Accepted") }),
};

export const GATEWAY_ADMISSION: Admission<"Gateway"> = {
  kind: "Gateway",
  create: (object: Gateway) => ({
    ...object,
    status: object.status ?? pending("Accepted", "Programmed"),
  }),
};

export const LISTENER_SET_ADMISSION: Admission<"ListenerSet"> = {
  kind: "ListenerSet",
  create: (object: ListenerSet) => ({
    ...object,
    status: object.status ?? pending("Accepted", "Programmed"),
  }),
};
