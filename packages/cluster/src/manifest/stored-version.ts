import { type KubeObject, kindOf } from "@cnilab/core";
import { CustomResources } from "../api/custom-resources.ts";
import { KIND_CHECKS } from "./object-checks.ts";

/** An object in the version in which it is stored, whichever of those it may be given in. */
export function storedVersion(
  object: KubeObject,
  resources: CustomResources = CustomResources.NONE,
): KubeObject {
  const custom = resources.stored(object);
  if (custom !== object || resources.get(kindOf(object)) !== undefined) return custom;
  // What was tried out as XListenerSet became ListenerSet with the same fields (Gateway API v1.5).
  const kind = object.kind === "XListenerSet" ? "ListenerSet" : object.kind;
  const checks = KIND_CHECKS[kindOf({ ...object, kind })];
  if (checks === undefined || (kind === object.kind && checks.olderVersions === undefined)) {
    return object;
  }
  const apiVersion = `${checks.group}/${checks.version}`;
  return apiVersion === object.apiVersion ? object : { ...object, apiVersion, kind };
}
