import { inferIntent, suggestPolicies } from "@cnilab/network-policy";
import { type Command, Option } from "commander";
import { printObjects } from "../../output.ts";
import { addInputFlag, type InputFlags, readInput } from "./input.ts";

interface SuggestFlags extends InputFlags {
  readonly output: "yaml" | "json";
}

export function addSuggestCommand(policy: Command): void {
  const command = policy
    .command("suggest")
    .description(
      "NetworkPolicies that let through what the manifests say the application calls, and no more",
    )
    .addOption(new Option("-o, --output <format>").choices(["yaml", "json"]).default("yaml"));
  addInputFlag(command).action(async (flags: SuggestFlags) => {
    printObjects(suggestPolicies(inferIntent(await readInput(flags))), flags.output, false);
  });
}
