import type { KubeObject } from "@cnilab/core";
import { InputError } from "@cnilab/core";
import { type Command, Option } from "commander";
import { shop, warn } from "../../cluster-flags.ts";
import type { ProgramIo } from "../../program-io.ts";
import { storedObjects } from "../../stored-objects.ts";

export interface InputFlags {
  readonly filename: readonly string[];
}

/** Of commands that ask policies. */
export interface PolicyFlags extends InputFlags {
  readonly cni?: string;
  readonly cniSet: readonly string[];
  readonly cniValues: readonly string[];
}

/** `-f`, as all commands have it. */
export function addInputFlag(command: Command): Command {
  return command.addOption(
    new Option(
      "-f, --filename <path>",
      "manifests: a file, a folder, or - for standard input; repeatable",
    )
      .argParser((value: string, previous: readonly string[]) => [...previous, value])
      .default([], "the shop example"),
  );
}

/** `-f`, `--cni` and its options. */
export function addPolicyFlags(command: Command): Command {
  const collect = (value: string, previous: readonly string[]) => [...previous, value];
  return addInputFlag(command)
    .option(
      "--cni <name>",
      "whose reading of policies: that of a CNI with kinds of its own; Kubernetes' own kinds as their texts say without it",
    )
    .addOption(
      new Option(
        "--cni-set <key=value>",
        "an option of the CNI, as policyEnforcementMode=always; repeatable",
      )
        .argParser(collect)
        .default([], "none"),
    )
    .addOption(
      new Option("--cni-values <file>", "a Helm chart's values.yaml, where the CNI has a chart")
        .argParser(collect)
        .default([], "none"),
    );
}

/** The objects of `-f`; of the example without it. @throws InputError */
export async function readInput(
  io: ProgramIo,
  { filename }: InputFlags,
): Promise<readonly KubeObject[]> {
  return read(io, filename.length > 0 ? filename : [shop()]);
}

export async function read(
  io: ProgramIo,
  paths: readonly string[],
): Promise<readonly KubeObject[]> {
  const { objects, warnings } = await storedObjects(io, paths);
  warn(io, warnings);
  if (!objects.some(({ kind }) => kind === "Pod" || WORKLOADS.has(kind))) {
    throw new InputError("has no pods and no workloads to ask about", paths.join(", "));
  }
  return objects;
}

const WORKLOADS = new Set([
  "Deployment",
  "StatefulSet",
  "DaemonSet",
  "ReplicaSet",
  "ReplicationController",
  "Job",
  "CronJob",
]);
