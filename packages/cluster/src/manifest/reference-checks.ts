import type { ObjectReference } from "@cnilab/core";
import type { FieldPath } from "@cnilab/core/validation";
import {
  type Check,
  dnsLabel,
  fail,
  integer,
  matching,
  port,
  strictObject,
} from "@cnilab/core/validation";

// How objects of the Gateway API refer to others (apis/v1/object_reference_types.go, shared_types.go).

const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

export const group: Check = matching(
  /^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/,
  253,
  "an API group such as gateway.networking.k8s.io, or empty for the core one",
);
export const kindName: Check = matching(
  /^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$/,
  63,
  "a kind, such as Service",
);
export const objectName: Check = matching(/^.+$/, 253, "a name of at most 253 characters");
export const sectionName: Check = matching(SUBDOMAIN, 253, "a name in lower case, such as https");
export const preciseHost: Check = matching(
  SUBDOMAIN,
  253,
  "a DNS name in lower case without wildcard",
);

const fields = { group, kind: kindName, name: objectName, namespace: dnsLabel };
export const objectReference: Check = strictObject(fields, ["name"]);
export const parentReference: Check = strictObject({ ...fields, sectionName, port }, ["name"]);

/** A backend with a weight and, at some kinds of routes, filters. */
export function backendReference(more: Readonly<Record<string, Check>> = {}): Check {
  const check = strictObject({ ...fields, port, weight: integer(0, 1_000_000), ...more }, ["name"]);
  return (value, path) => {
    check(value, path);
    requirePort(value, path);
  };
}

/** A backend without a weight. */
export const backendObject: Check = (value, path) => {
  strictObject({ ...fields, port }, ["name"])(value, path);
  requirePort(value, path);
};

function requirePort(value: unknown, path: FieldPath): void {
  const {
    group: of = "",
    kind: what = "Service",
    port: number,
  } = value as ObjectReference & {
    readonly port?: number;
  };
  if (of !== "" || what !== "Service" || number !== undefined) return;
  fail([...path, "port"], "is required for a Service and missing");
}
