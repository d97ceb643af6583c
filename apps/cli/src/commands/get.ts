import { isNamespaced } from "@cnilab/cluster";
import { EPOCH_MS, type KubeObject, kindOf } from "@cnilab/core";
import { kubectlTable } from "@cnilab/inspect";
import { type Command, Option } from "commander";
import { addObjectFlags, askedObjects, type ObjectFlags } from "../asked-objects.ts";
import { print, printObjects } from "../output.ts";
import type { ProgramIo } from "../program-io.ts";

interface GetFlags extends ObjectFlags {
  readonly showLabels?: boolean;
  readonly headers: boolean;
  readonly output: "text" | "wide" | "name" | "json" | "yaml";
}

export function addGetCommand(program: Command, io: ProgramIo): void {
  const command = program
    .command("get")
    .description("objects as kubectl prints them")
    .option("--show-labels", "with a column of labels")
    .option("--no-headers", "without the first line")
    .addOption(
      new Option("-o, --output <format>", "how to print")
        .choices(["text", "wide", "name", "json", "yaml"])
        .default("text"),
    );
  addObjectFlags(command).action((what, named, flags) => get(io, what, named, flags));
}

async function get(
  io: ProgramIo,
  what: string,
  named: readonly string[],
  flags: GetFlags,
): Promise<void> {
  const command = { name: "get", prefixes: false };
  const { cluster, kinds, byKind, isSingle, nothing } = await askedObjects(
    io,
    command,
    what,
    named,
    flags,
  );
  const objects = byKind.flat();
  if (flags.output === "json" || flags.output === "yaml") {
    printObjects(io, objects, flags.output, isSingle);
  } else if (objects.length === 0) {
    io.stderr.write(`${nothing}\n`);
  } else if (flags.output === "name") {
    for (const o of objects) print(io, `${resource(o)}/${o.metadata.name}`);
  } else {
    const filled = byKind.filter((list) => list.length > 0);
    const tables = filled.map((list) => {
      const kind = kindOf(list[0] as KubeObject);
      const columns = cluster.api.resources.get(kind)?.columns;
      return kubectlTable(list, {
        now: EPOCH_MS + cluster.clock.now,
        wide: flags.output === "wide",
        allNamespaces: flags.allNamespaces === true && isNamespaced(kind, cluster.api.resources),
        showLabels: flags.showLabels === true,
        noHeaders: !flags.headers,
        withKind: kinds.length > 1,
        ...(columns === undefined ? {} : { printerColumns: columns }),
      });
    });
    print(io, tables.join("\n"));
  }
}

/** `pod`, `deployment.apps`: as `-o name` has it. */
function resource(object: KubeObject): string {
  const [group] = object.apiVersion.split("/");
  const kind = object.kind.toLowerCase();
  return object.apiVersion.includes("/") ? `${kind}.${group}` : kind;
}
