import type { KubeObject } from "@cnilab/core";
import { KIND_CHECKS } from "./object-checks.ts";

/** An object in the version in which it is stored, whichever of those it may be given in. */
export function storedVersion(object: KubeObject): KubeObject {
  // What was tried out as XListenerSet became ListenerSet with the same fields (Gateway API v1.5).
  const kind = object.kind === "XListenerSet" ? "ListenerSet" : object.kind;
  const checks = KIND_CHECKS[kind];
  if (checks === undefined || (kind === object.kind && checks.olderVersions === undefined)) {
    return object;
  }
  const apiVersion = `${checks.group}/${checks.version}`;
  return apiVersion === object.apiVersion ? object : { ...object, apiVersion, kind };
}
