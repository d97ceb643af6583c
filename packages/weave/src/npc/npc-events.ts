import {
  type Check,
  dnsSubdomain,
  FieldError,
  ip,
  labels,
  list,
  networkPolicyFields,
  object,
  oneOf,
  string,
} from "@cnilab/core/validation";
import type { NpcObject } from "./controller.ts";

/** What the API tells of an object. */
export type NpcEvent =
  | { readonly op: "add" | "delete"; readonly object: NpcObject; readonly old?: undefined }
  | { readonly op: "update"; readonly object: NpcObject; readonly old: NpcObject };

const metadata = object({ name: dnsSubdomain, namespace: dnsSubdomain, uid: string, labels }, [
  "name",
]);

/** What weave-npc looks at; the rest of an object may be missing. */
const FIELDS: Readonly<Record<NpcObject["kind"], Check>> = {
  Namespace: object({ metadata }, ["metadata"]),
  Pod: object({ metadata, spec: object({}), status: object({ phase: string, podIP: podIp() }) }, [
    "metadata",
    "spec",
  ]),
  NetworkPolicy: object({ metadata, spec: object(networkPolicyFields) }, ["metadata", "spec"]),
};

const anObject: Check = (value, path) => {
  object({ kind: oneOf(...Object.keys(FIELDS)) }, ["kind"])(value, path);
  FIELDS[(value as NpcObject).kind](value, path);
};

const anEvent: Check = (value, path) => {
  object({ op: oneOf("add", "update", "delete"), object: anObject, old: anObject }, [
    "op",
    "object",
  ])(value, path);
  const { op, object: now, old } = value as NpcEvent;
  if (op !== "update") return;
  if (old === undefined) throw new FieldError([...path, "old"], "is required and missing");
  if (old.kind === now.kind) return;
  throw new FieldError([...path, "old"], `is a ${old.kind}, and object a ${now.kind}`);
};

/** The `events` of a golden vector: objects as weave-npc is told of them one after the other. @throws FieldError */
export function readNpcEvents(given: unknown): readonly NpcEvent[] {
  object({ events: list(anEvent) }, ["events"])(given, []);
  return (given as { readonly events: readonly NpcEvent[] }).events;
}

/** Empty before the pod has one. */
function podIp(): Check {
  return (value, path) => {
    if (value !== "") ip(value, path);
  };
}
