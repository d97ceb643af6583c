import { Command } from "commander";
import type { Output, ProgramIo } from "./program-io.ts";
import { readOwnFile } from "./read-input.ts";

const EXAMPLES = `
Without -f, every command works on an example: a shop of eleven workloads.
  cnilab run
  cnilab run -f manifests/ --nodes 5 --cni-set backend=host-gw
  cnilab trace shop/deploy/cart cache.shop-data:6379
  cnilab show routes --node node1
  cnilab explain VTEP`;

/** Columns of help that no terminal shows. */
const WIDTH = 80;

type AddCommand = (program: Command, io: ProgramIo) => void;

/** Each command brings its own packages along: only those of the one that is called are loaded. */
const COMMANDS: ReadonlyMap<string, () => Promise<AddCommand>> = new Map([
  ["run", async () => (await import("./commands/run.ts")).addRunCommand],
  ["trace", async () => (await import("./commands/trace.ts")).addTraceCommand],
  ["curl", async () => (await import("./commands/curl.ts")).addCurlCommand],
  ["dns", async () => (await import("./commands/dns.ts")).addDnsCommand],
  ["probe", async () => (await import("./commands/probe.ts")).addProbeCommand],
  ["reach", async () => (await import("./commands/reach.ts")).addReachCommand],
  ["compare", async () => (await import("./commands/compare.ts")).addCompareCommand],
  ["observe", async () => (await import("./commands/observe.ts")).addObserveCommand],
  ["get", async () => (await import("./commands/get.ts")).addGetCommand],
  ["describe", async () => (await import("./commands/describe.ts")).addDescribeCommand],
  ["show", async () => (await import("./commands/show.ts")).addShowCommand],
  ["explain", async () => (await import("./commands/explain.ts")).addExplainCommand],
  ["policy", async () => (await import("./commands/policy/policy.ts")).addPolicyCommand],
  ["gateway", async () => (await import("./commands/gateway/gateway.ts")).addGatewayCommand],
  ["calico", async () => (await import("./commands/calico/calico.ts")).addCalicoCommand],
  ["cilium", async () => (await import("./commands/cilium/cilium.ts")).addCiliumCommand],
  ["weave", async () => (await import("./commands/weave/weave.ts")).addWeaveCommand],
  ["docker", async () => (await import("./commands/docker/docker.ts")).addDockerCommand],
  ["render", async () => (await import("./commands/render.ts")).addRenderCommand],
  ["realize", async () => (await import("./commands/realize.ts")).addRealizeCommand],
  ["import-node", async () => (await import("./commands/import-node.ts")).addImportNodeCommand],
  ["cni", async () => (await import("./commands/cni.ts")).addCniCommand],
  ["completion", async () => (await import("./commands/completion.ts")).addCompletionCommand],
  ["help", async () => (await import("./commands/help.ts")).addHelpCommand],
]);
/** They tell of all the others. */
const ABOUT_ALL: readonly string[] = ["completion", "help"];

/** The command line as far as these words need it. */
export async function createProgram(words: readonly string[], io: ProgramIo): Promise<Command> {
  const program = new Command("cnilab")
    .description("Kubernetes networking on your desk: run a cluster, follow any packet.")
    .version(version(), "--version")
    .helpCommand(false)
    // Options of `dns serve` are not those of `dns`, which has some of the same names.
    .enablePositionalOptions()
    .addHelpText("after", EXAMPLES)
    .showSuggestionAfterError()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      getOutHelpWidth: () => widthOf(io.stdout),
      getErrHelpWidth: () => widthOf(io.stderr),
      // One clear line, as with every other bad input.
      outputError: (text, write) => write(`${oneLine(text)}\n`),
    })
    .exitOverride();
  for (const add of await Promise.all(commandsFor(words).map((load) => load()))) add(program, io);
  return program;
}

/** All of them where none is named that is there, so that help and suggestions can list them. */
function commandsFor([name = "", sub]: readonly string[]): readonly (() => Promise<AddCommand>)[] {
  // A server that is waited for needs no cluster, unlike `dns POD NAME`.
  if (name === "dns" && sub === "serve") return [dnsServeAlone];
  if (name === "--version") return [];
  const command = ABOUT_ALL.includes(name) ? undefined : COMMANDS.get(name);
  return command === undefined ? [...COMMANDS.values()] : [command];
}

async function dnsServeAlone(): Promise<AddCommand> {
  const { addDnsServeCommand } = await import("./commands/dns-serve.ts");
  return (program, io) => addDnsServeCommand(program.command("dns").helpCommand(false), io);
}

function widthOf({ isTTY, columns = WIDTH }: Output): number {
  return isTTY === true ? columns : WIDTH;
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
