import { storedVersion } from "@cnilab/cluster";
import { type KubeObject, withNamespaceLabel } from "@cnilab/core";
import { readObjects } from "./cluster-flags.ts";
import { CUSTOM } from "./custom-resources.ts";
import type { ProgramIo } from "./program-io.ts";
import { readSources } from "./read-input.ts";

/** Kinds that no cluster here runs, and that policies are asked about; by their API group. */
const ALSO = {
  CronJob: "batch",
  Route: "route.openshift.io",
} as const;

/** Manifests as the API server would store them, for questions that need no running cluster. @throws InputError */
export async function storedObjects(
  io: ProgramIo,
  paths: readonly string[],
): Promise<{ readonly objects: readonly KubeObject[]; readonly warnings: readonly string[] }> {
  const { objects, warnings } = readObjects(await readSources(io, paths), ALSO);
  return {
    objects: objects.map((object) => withNamespaceLabel(storedVersion(object, CUSTOM))),
    warnings,
  };
}
