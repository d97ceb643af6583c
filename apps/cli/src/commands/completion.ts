import { Argument, type Command } from "commander";
import { completionScript, SHELLS, type Shell } from "../completion-script.ts";
import { KindNames } from "../kinds.ts";
import { print } from "../output.ts";
import type { ProgramIo } from "../program-io.ts";

export function addCompletionCommand(program: Command, io: ProgramIo): void {
  program
    .command("completion")
    .description(
      "a script that teaches a shell to complete commands: source <(cnilab completion bash)",
    )
    .addArgument(new Argument("<shell>").choices(SHELLS))
    .action((shell: Shell) => {
      const kinds = new KindNames().all;
      print(io, completionScript(shell, program, { get: kinds, describe: kinds }));
    });
}
