import { connectionChanges } from "@cnilab/network-policy";
import { type Command, Option } from "commander";
import { warn } from "../../cluster-flags.ts";
import { print, printJson } from "../../output.ts";
import { policyReader, policyWarnings } from "../../policy-reader.ts";
import type { ProgramIo } from "../../program-io.ts";
import { addPolicyFlags, type PolicyFlags, read } from "./input.ts";

interface DiffFlags extends PolicyFlags {
  readonly output: "text" | "json";
}

const NOTHING = "No Connections";

export function addDiffCommand(policy: Command, io: ProgramIo): void {
  const command = policy
    .command("diff")
    .description(
      "what the second set of manifests opens (+), closes (-) or changes (~); exit code 1 if anything",
    )
    .argument("<before>", "a file or a folder; with -f also those")
    .argument("<after>", "a file or a folder; with -f also those")
    .addOption(new Option("-o, --output <format>").choices(["text", "json"]).default("text"));
  addPolicyFlags(command).action((before, after, flags) => diff(io, before, after, flags));
}

async function diff(io: ProgramIo, before: string, after: string, flags: DiffFlags): Promise<void> {
  const { reader, warnings } = await policyReader(io, flags);
  const [old, changed] = [
    await read(io, [...flags.filename, before]),
    await read(io, [...flags.filename, after]),
  ];
  warn(io, [...warnings, ...(await policyWarnings(changed, reader, reader.read(changed)))]);
  const changes = connectionChanges(old, changed, reader);
  if (flags.output === "json") printJson(io, changes);
  else if (changes.length === 0) print(io, "both permit the same connections");
  else {
    const lines = changes.map((change) => {
      const ends = `${change.source} => ${change.destination}`;
      if (change.before === NOTHING) return `+ ${ends} : ${change.after}`;
      if (change.after === NOTHING) return `- ${ends} : ${change.before}`;
      return `~ ${ends} : ${change.before} -> ${change.after}`;
    });
    print(io, lines.join("\n"));
  }
  if (changes.length > 0) io.exitCode = 1;
}
