import { readFileSync } from "node:fs";
import { Command } from "commander";
import { addCniCommand } from "./commands/cni.ts";
import { addExplainCommand } from "./commands/explain.ts";
import { addGetCommand } from "./commands/get.ts";
import { addProbeCommand } from "./commands/probe.ts";
import { addRenderCommand } from "./commands/render.ts";
import { addRunCommand } from "./commands/run.ts";
import { addShowCommand } from "./commands/show.ts";
import { addTraceCommand } from "./commands/trace.ts";

export function createProgram(): Command {
  const program = new Command("cnilab")
    .description("Kubernetes networking on your desk: run a cluster, follow any packet.")
    .version(version(), "--version")
    .showSuggestionAfterError()
    .configureOutput({
      // One clear line, as with every other bad input.
      outputError: (text, write) =>
        write(text.replace(/^error: /, "cnilab: ").replace(/\n\(/, " (")),
    })
    .exitOverride();
  for (const add of [
    addRunCommand,
    addTraceCommand,
    addProbeCommand,
    addGetCommand,
    addShowCommand,
    addExplainCommand,
    addRenderCommand,
    addCniCommand,
  ]) {
    add(program);
  }
  return program;
}

function version(): string {
  const file = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  return (JSON.parse(file) as { version: string }).version;
}
