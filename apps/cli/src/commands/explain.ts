import { InputError } from "@cnilab/core";
import { explain, explainText, GLOSSARY, similarTerms } from "@cnilab/inspect";
import type { Command } from "commander";
import { addClusterFlags, bringUp, type ClusterFlags } from "../cluster-flags.ts";
import { print } from "../output.ts";
import type { ProgramIo } from "../program-io.ts";

export function addExplainCommand(program: Command, io: ProgramIo): void {
  const command = program
    .command("explain")
    .description("what a word of the field means, with an example out of the running cluster")
    .argument("[term...]", "as VTEP, FDB, KUBE-SVC-…, masquerade; without one, all that are known");
  addClusterFlags(command).action((words, flags) => explainTerm(io, words, flags));
}

async function explainTerm(
  io: ProgramIo,
  words: readonly string[],
  flags: ClusterFlags,
): Promise<void> {
  if (words.length === 0) {
    print(io, GLOSSARY.map((entry) => entry.term).join("\n"));
    return;
  }
  const term = words.join(" ");
  if (explain(term) === undefined) {
    const similar = similarTerms(term);
    const hint =
      similar.length > 0
        ? `did you mean ${similar.slice(0, 5).join(", ")}?`
        : "cnilab explain, without a word, lists all that are known";
    throw new InputError(`there is no explanation of "${term}"; ${hint}`, "explain");
  }
  const { cluster } = await bringUp(io, flags);
  const [node] = cluster.nodes.values();
  print(io, explainText(term, node?.kernel) ?? "");
}
