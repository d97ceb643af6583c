import { connectionLines, exposureLines } from "@cnilab/network-policy";
import { type Command, Option } from "commander";
import { warn } from "../../cluster-flags.ts";
import { print, printJson } from "../../output.ts";
import { policyReader, policyWarnings } from "../../policy-reader.ts";
import type { ProgramIo } from "../../program-io.ts";
import { addPolicyFlags, type PolicyFlags, readInput } from "./input.ts";

interface ListFlags extends PolicyFlags {
  readonly exposure?: boolean;
  readonly output: "text" | "json";
}

export function addListCommand(policy: Command, io: ProgramIo): void {
  const command = policy
    .command("list")
    .description("every connection that policies permit between workloads, one a line")
    .option("--exposure", "also what pods not in the input could reach, or be reached by")
    .addOption(new Option("-o, --output <format>").choices(["text", "json"]).default("text"));
  addPolicyFlags(command).action((flags) => list(io, flags));
}

async function list(io: ProgramIo, flags: ListFlags): Promise<void> {
  const objects = await readInput(io, flags);
  const { reader, warnings } = await policyReader(io, flags);
  warn(io, [...warnings, ...(await policyWarnings(objects, reader, reader.read(objects)))]);
  const lines = connectionLines(objects, reader);
  const exposure = flags.exposure === true ? exposureLines(objects, reader) : [];
  if (flags.output === "json") {
    printJson(io, {
      connections: lines.map(connection),
      ...(flags.exposure === true && { exposure }),
    });
    return;
  }
  print(io, [...lines, ...(exposure.length > 0 ? ["", ...exposure] : [])].join("\n"));
}

function connection(line: string): Readonly<Record<string, string>> {
  const [ends = "", connections = ""] = line.split(" : ");
  const [source = "", destination = ""] = ends.split(" => ");
  return { source, destination, connections };
}
