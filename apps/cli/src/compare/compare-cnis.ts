import { bringUpOn, type ClusterFlags, readManifests, warn } from "../cluster-flags.ts";
import { print } from "../output.ts";
import type { ProgramIo } from "../program-io.ts";
import { readComparedCnis } from "./compared-cni.ts";

export interface CompareFlags extends ClusterFlags {
  readonly output: "text" | "json" | "yaml" | "csv" | "md";
}

/** Brings the same input up on one CNI after the other, and tells what differs. @throws InputError */
export async function compareCnis(io: ProgramIo, flags: CompareFlags): Promise<void> {
  const { cnis, warnings } = await readComparedCnis(io, flags.cni, flags.cniSet, flags.cniValues);
  const sources = await readManifests(io, flags);
  warn(io, warnings);
  for (const cni of cnis) {
    const { cluster } = await bringUpOn(io, flags, cni, sources);
    print(io, `${cni.label}: ${cluster.stats.runningPods} pods run`);
  }
}
