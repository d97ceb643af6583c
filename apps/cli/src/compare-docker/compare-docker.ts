import { InputError } from "@cnilab/core";
import { formatIp } from "@cnilab/net";
import {
  bringUpOn,
  type ClusterFlags,
  readManifests,
  readObjects,
  warn,
} from "../cluster-flags.ts";
import { resourcesWith } from "../custom-resources.ts";
import { readProject, worldOf } from "../docker/docker-flags.ts";
import { loadModel, NO_CNI } from "../load-model.ts";
import { readModelOptions } from "../model-options.ts";
import { print, printJson } from "../output.ts";
import type { ProgramIo } from "../program-io.ts";
import { readSources } from "../read-input.ts";
import { bothPairs, type Matched, matchWorkloads } from "./both-sides.ts";
import { comparisonText, type DockerComparison } from "./comparison-text.ts";
import { differences } from "./differences.ts";
import { dockerConfigured } from "./docker-configured.ts";
import { kubernetesConfigured } from "./kubernetes-configured.ts";
import { dockerProgrammed, kubernetesProgrammed } from "./programmed.ts";

export interface CompareDockerFlags extends ClusterFlags {
  /** Compose files. */
  readonly docker: readonly string[];
  readonly output: string;
}

/** Brings the same application up on Docker and on Kubernetes, and tells what differs. @throws InputError */
export async function compareDocker(io: ProgramIo, flags: CompareDockerFlags): Promise<void> {
  if (!["text", "wide", "json"].includes(flags.output)) {
    throw new InputError("with --docker there are text, wide and json", `-o ${flags.output}`);
  }
  const project = await readProject(io, { file: flags.docker });
  const model = await loadModel(io, flags.cni);
  const given = readModelOptions(model, flags.cniSet, await readSources(io, flags.cniValues));
  const sources = await readManifests(io, flags);
  const { objects } = readObjects(sources, {}, resourcesWith(model));
  const chosen = { model, options: given.options };
  const { cluster, warnings } = await bringUpOn(io, flags, chosen, sources);
  const world = worldOf(project, { listen: flags.listen, seed: flags.seed });
  warn(io, [
    ...project.warnings,
    ...world.stack.warnings,
    ...given.warnings,
    ...warnings,
    ...cluster.warnings,
  ]);
  const workloads = matchWorkloads(world, cluster);
  if (workloads.both.length === 0) throw new InputError(whyNothing(workloads), "compare");
  const pairs = bothPairs(world, cluster, workloads.both);
  const comparison: DockerComparison = {
    docker: { project: project.name, host: formatIp(world.hostAddress) },
    kubernetes: { cni: model?.name ?? NO_CNI, nodes: cluster.nodes.size },
    workloads,
    pairs,
    differences: differences(pairs),
    configured: {
      docker: dockerConfigured(project),
      kubernetes: kubernetesConfigured(objects),
    },
    programmed: { docker: dockerProgrammed(world), kubernetes: kubernetesProgrammed(cluster) },
  };
  if (flags.output === "json") printJson(io, asJson(comparison));
  else print(io, comparisonText(comparison, flags.output === "wide"));
}

function whyNothing({ notCompared, dockerOnly, kubernetesOnly }: Matched): string {
  const named = (names: readonly string[]) => names.join(", ") || "nothing";
  return notCompared.length > 0
    ? `nothing is left to compare: on a side without a network of its own, or not running: ${named(notCompared)}`
    : `no service of the Compose file has the name of a workload: ${named(dockerOnly)}, and ${named(kubernetesOnly)}`;
}

/** Without what is of this program alone. */
function asJson({ workloads, ...rest }: DockerComparison): object {
  return {
    ...rest,
    workloads: { ...workloads, both: workloads.both.map(({ name }) => name) },
  };
}
