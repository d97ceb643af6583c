import type { Command } from "commander";
import { allModels, NO_CNI } from "../load-model.ts";
import { print } from "../output.ts";
import type { ProgramIo } from "../program-io.ts";

export function addCniCommand(program: Command, io: ProgramIo): void {
  program
    .command("cni")
    .description("the network models that come with cnilab, and their options")
    .command("list", { isDefault: true })
    .description("one model after the other")
    .action(async () => {
      for (const { name, release, description, options } of await allModels()) {
        print(io, `${name} ${release}: ${description}`);
        for (const option of options) {
          const values = option.values?.join("|") ?? option.type;
          const fallback = option.default === undefined ? "" : ` (${option.default})`;
          print(io, `  --cni-set ${option.key}=${values}${fallback}  ${option.description}`);
        }
      }
      print(
        io,
        `${NO_CNI}: no network plugin, as in a fresh kubeadm cluster: pods wait, nodes are NotReady`,
      );
    });
}
