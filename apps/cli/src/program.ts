import { Command } from "commander";
import { addCniCommand } from "./commands/cni.ts";
import { addCompletionCommand } from "./commands/completion.ts";
import { addCurlCommand } from "./commands/curl.ts";
import { addDnsCommand } from "./commands/dns.ts";
import { addExplainCommand } from "./commands/explain.ts";
import { addGatewayCommand } from "./commands/gateway/gateway.ts";
import { addGetCommand } from "./commands/get.ts";
import { addHelpCommand } from "./commands/help.ts";
import { addImportNodeCommand } from "./commands/import-node.ts";
import { addPolicyCommand } from "./commands/policy/policy.ts";
import { addProbeCommand } from "./commands/probe.ts";
import { addReachCommand } from "./commands/reach.ts";
import { addRealizeCommand } from "./commands/realize.ts";
import { addRenderCommand } from "./commands/render.ts";
import { addRunCommand } from "./commands/run.ts";
import { addShowCommand } from "./commands/show.ts";
import { addTraceCommand } from "./commands/trace.ts";
import { readOwnFile } from "./read-input.ts";

const EXAMPLES = `
Without -f, every command works on an example: a shop of eleven workloads.
  cnilab run
  cnilab run -f manifests/ --nodes 5 --cni-set backend=host-gw
  cnilab trace shop/deploy/cart cache.shop-data:6379
  cnilab show routes --node node1
  cnilab explain VTEP`;

export function createProgram(): Command {
  const program = new Command("cnilab")
    .description("Kubernetes networking on your desk: run a cluster, follow any packet.")
    .version(version(), "--version")
    .helpCommand(false)
    // Options of `dns serve` are not those of `dns`, which has some of the same names.
    .enablePositionalOptions()
    .addHelpText("after", EXAMPLES)
    .showSuggestionAfterError()
    .configureOutput({
      // One clear line, as with every other bad input.
      outputError: (text, write) => write(`${oneLine(text)}\n`),
    })
    .exitOverride();
  for (const add of [
    addRunCommand,
    addTraceCommand,
    addCurlCommand,
    addDnsCommand,
    addProbeCommand,
    addReachCommand,
    addGetCommand,
    addShowCommand,
    addExplainCommand,
    addPolicyCommand,
    addGatewayCommand,
    addRenderCommand,
    addRealizeCommand,
    addImportNodeCommand,
    addCniCommand,
    addCompletionCommand,
    addHelpCommand,
  ]) {
    add(program);
  }
  return program;
}

function oneLine(text: string): string {
  return text
    .trim()
    .replace(/^error: /, "cnilab: ")
    .replace(/\s*\n\s*/g, " ")
    .replace(/^(cnilab: unknown command '[^']*')$/, "$1; cnilab --help lists all");
}

function version(): string {
  const file = readOwnFile(new URL("../package.json", import.meta.url));
  return (JSON.parse(file) as { version: string }).version;
}
