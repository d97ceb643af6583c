import { type KubeObject, objectKey } from "@cnilab/core";

/** Ties between objects: the oldest first, then by `namespace/name` (Gateway API, "Conflicts" in the API design guide). */
export function byAge(x: KubeObject, y: KubeObject): number {
  return (
    compareText(x.metadata.creationTimestamp ?? "", y.metadata.creationTimestamp ?? "") ||
    compareText(objectKey(x), objectKey(y))
  );
}

function compareText(x: string, y: string): number {
  return x < y ? -1 : x > y ? 1 : 0;
}
