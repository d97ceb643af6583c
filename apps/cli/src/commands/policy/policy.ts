import type { Command } from "commander";
import type { ProgramIo } from "../../program-io.ts";
import { addCheckCommand } from "./check.ts";
import { addDiffCommand } from "./diff.ts";
import { addExplainPolicyCommand } from "./explain.ts";
import { addListCommand } from "./list.ts";
import { addSuggestCommand } from "./suggest.ts";

export function addPolicyCommand(program: Command, io: ProgramIo): void {
  const policy = program
    .command("policy")
    .description("what NetworkPolicies and their cluster-wide kin allow, out of manifests alone");
  for (const add of [
    addListCommand,
    addCheckCommand,
    addSuggestCommand,
    addDiffCommand,
    addExplainPolicyCommand,
  ]) {
    add(policy, io);
  }
}
