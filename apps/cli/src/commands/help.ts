import { InputError } from "@cnilab/core";
import type { Command } from "commander";

/** Commander's own would answer an unknown command with a screen of help. */
export function addHelpCommand(program: Command): void {
  program
    .command("help")
    .description("help for a command")
    .argument("[command]")
    .action((name: string | undefined) => {
      const command = program.commands.find((c) => c.name() === name);
      if (name !== undefined && command === undefined) {
        const known = program.commands.map((c) => c.name()).join(", ");
        throw new InputError(`there is no command "${name}"; there are ${known}`, "help");
      }
      (command ?? program).help();
    });
}
