import { EPOCH_MS } from "@cnilab/core";
import { kubectlDescribe } from "@cnilab/inspect";
import type { Command } from "commander";
import { addObjectFlags, askedObjects, type ObjectFlags } from "../asked-objects.ts";
import { print } from "../output.ts";
import type { ProgramIo } from "../program-io.ts";

export function addDescribeCommand(program: Command, io: ProgramIo): void {
  const command = program
    .command("describe")
    .description("objects with what belongs to them, as kubectl describe prints them");
  addObjectFlags(command).action((what, named, flags) => describe(io, what, named, flags));
}

async function describe(
  io: ProgramIo,
  what: string,
  named: readonly string[],
  flags: ObjectFlags,
): Promise<void> {
  const command = { name: "describe", prefixes: true };
  const { cluster, byKind, nothing } = await askedObjects(io, command, what, named, flags);
  const objects = byKind.flat();
  if (objects.length === 0) io.stderr.write(`${nothing}\n`);
  else print(io, kubectlDescribe(objects, cluster.api, EPOCH_MS + cluster.clock.now));
}
