import { InputError } from "@cnilab/core";
import {
  checkKernel,
  down,
  type Script,
  script,
  standalone,
  UnrealizableError,
  up,
  whyNotHere,
} from "@cnilab/realize";
import { Argument, type Command } from "commander";
import { warn } from "../cluster-flags.ts";
import { print } from "../output.ts";
import type { ProgramIo } from "../program-io.ts";
import { addWalkFlags, type WalkFlags, walkable } from "../walkable.ts";

interface RealizeFlags extends WalkFlags {
  readonly print?: boolean;
  readonly prefix: string;
}

export function addRealizeCommand(program: Command, io: ProgramIo): void {
  const command = program
    .command("realize")
    .description("builds the cluster's kernel state of real network namespaces (Linux, root)")
    .addArgument(new Argument("[action]", "take away what realize made").choices(["down"]))
    .option("--print", "only write the script that would be run")
    .option("--prefix <name>", "what the namespaces' names begin with", "cnilab");
  addWalkFlags(command).action((action, flags) => realize(io, action, flags));
}

async function realize(
  io: ProgramIo,
  action: "down" | undefined,
  flags: RealizeFlags,
): Promise<void> {
  if (action === "down") {
    await refusing(() => print(io, `removed ${down(flags.prefix)} namespaces`));
    return;
  }
  const { cluster, warnings } = await walkable(io, flags);
  warn(io, warnings);
  await refusing(() => {
    const made = script(cluster.network, { prefix: flags.prefix });
    return flags.print ? print(io, standalone(made)) : build(io, made);
  });
}

/** Says what cannot be done as bad input. */
async function refusing(work: () => void | Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof UnrealizableError || error instanceof RangeError)) throw error;
    throw new InputError(error.message, "realize");
  }
}

async function build(io: ProgramIo, made: Script): Promise<void> {
  const missing = whyNotHere();
  if (missing !== undefined) throw new InputError(`${missing}; --print needs nothing`, "realize");
  checkKernel(made);
  await (await up(made)).keep();
  print(io, `${made.namespaces.join("\n")}\n`);
}
