import { flannel } from "@cnilab/flannel";
import { type Command, Option } from "commander";
import { addClusterFlags } from "../cluster-flags.ts";
import { type CompareFlags, compareCnis } from "../compare/compare-cnis.ts";
import { MODEL_NAMES } from "../load-model.ts";
import type { ProgramIo } from "../program-io.ts";

export function addCompareCommand(program: Command, io: ProgramIo): void {
  const command = program
    .command("compare")
    .description(
      "the same input on several CNIs: who reaches whom, how long the way is, what it costs, and why",
    )
    .addOption(
      new Option("-o, --output <format>")
        .choices(["text", "wide", "json", "yaml", "csv", "md"])
        .default("text"),
    )
    .addOption(
      new Option(
        "--docker <path>",
        "a Compose file of the same application: Docker beside Kubernetes on one CNI; repeatable",
      ).argParser((value: string, previous: readonly string[] = []) => [...previous, value]),
    );
  addClusterFlags(command, severalCnis()).action(
    async (flags: CompareFlags & { readonly docker?: readonly string[] }) => {
      const { docker } = flags;
      if (docker === undefined) return compareCnis(io, flags);
      const { compareDocker } = await import("../compare-docker/compare-docker.ts");
      const isGiven = command.getOptionValueSource("cni") !== "default";
      return compareDocker(io, { ...flags, docker, cni: isGiven ? flags.cni : flannel.name });
    },
  );
}

function severalCnis(): Option {
  return new Option(
    "--cni <names>",
    "two or more as of other commands, with commas between them; options of one behind a colon, as flannel:backend=host-gw",
  ).default(MODEL_NAMES.join(","));
}
