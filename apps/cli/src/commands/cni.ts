import type { Command } from "commander";
import { MODELS } from "../load-model.ts";
import { print } from "../output.ts";

export function addCniCommand(program: Command): void {
  const cni = program.command("cni").description("network models");
  cni
    .command("list")
    .description("the models that come with cnilab, and their options")
    .action(() => {
      for (const { name, release, description, options } of MODELS) {
        print(`${name} ${release}: ${description}`);
        for (const option of options) {
          const values = option.values?.join("|") ?? option.type;
          const fallback = option.default === undefined ? "" : ` (${option.default})`;
          print(`  --cni-set ${option.key}=${values}${fallback}  ${option.description}`);
        }
      }
    });
}
