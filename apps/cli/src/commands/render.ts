import { parseManifests } from "@cnilab/cluster";
import { InputError, type KubeObject, type Node, SeededRandom, VirtualClock } from "@cnilab/core";
import {
  canonicalIptables,
  DEFAULT_CONFIG,
  readConfig,
  StandAloneKubeProxy,
} from "@cnilab/kube-proxy";
import { Dummy, Kernel, Network } from "@cnilab/linux";
import { familyOf, tryParseIp } from "@cnilab/net";
import { type Command, Option } from "commander";
import { print } from "../output.ts";
import { readFile, readSources } from "../read-input.ts";

interface RenderFlags {
  readonly node: string;
  readonly filename: readonly string[];
  readonly then: readonly string[];
  readonly config?: string;
  readonly output: string;
}

type Renderer = (flags: RenderFlags) => string;

const AGENTS: Readonly<Record<string, Renderer>> = { "kube-proxy": renderKubeProxy };

export function addRenderCommand(program: Command): void {
  const collect = (value: string, previous: readonly string[]) => [...previous, value];
  program
    .command("render")
    .description("what one agent alone programs on a node for exactly these objects")
    .argument("<agent>", Object.keys(AGENTS).join(", "))
    .requiredOption("--node <name>", "the node that it runs on")
    .addOption(new Option("-f, --filename <path>", "objects").argParser(collect).default([]))
    .addOption(
      new Option("--then <path>", "further input, applied to the same running agent; repeatable")
        .argParser(collect)
        .default([]),
    )
    .option("--config <file>", "the agent's own settings, as JSON")
    .option("-o, --output <format>", "iptables, ip6tables…", "iptables")
    .action((agent: string, flags: RenderFlags) => {
      const render = AGENTS[agent];
      if (render === undefined) {
        throw new InputError(
          `there is no agent "${agent}"; there are ${Object.keys(AGENTS).join(", ")}`,
          "render",
        );
      }
      print(render(flags));
    });
}

function renderKubeProxy(flags: RenderFlags): string {
  const family = flags.output === "iptables" ? 4 : flags.output === "ip6tables" ? 6 : undefined;
  if (family === undefined) {
    throw new InputError(
      `kube-proxy has no output "${flags.output}" yet; there are iptables and ip6tables`,
      "-o",
    );
  }
  if (flags.filename.length === 0) {
    throw new InputError("name the objects with -f, as -f input.yaml", "render");
  }
  const config =
    flags.config === undefined ? DEFAULT_CONFIG : readConfig(readJson(flags.config), flags.config);
  const inputs = [flags.filename, ...flags.then.map((path) => [path])].map(readObjects);
  const kernel = machine(flags.node, inputs[0] ?? []);
  const proxy = new StandAloneKubeProxy(kernel.initNs, flags.node, config);
  for (const objects of inputs) proxy.apply(objects);
  return canonicalIptables(kernel.initNs.iptables(family).save());
}

function readObjects(paths: readonly string[]): KubeObject[] {
  return readSources(paths).flatMap(({ name, text }) => parseManifests(text, name).objects);
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFile(path));
  } catch (error) {
    if (error instanceof SyntaxError) throw new InputError(`is not JSON (${error.message})`, path);
    throw error;
  }
}

/** A machine with the node's addresses on eth0, and nothing else. */
function machine(name: string, objects: readonly KubeObject[]): Kernel {
  const node = objects.find((o): o is Node => o.kind === "Node" && o.metadata.name === name);
  const kernel = new Kernel(new Network(new VirtualClock(), new SeededRandom(1)), name);
  kernel.initNs.loopback.setUp();
  const eth0 = new Dummy(kernel.initNs, { name: "eth0" });
  eth0.setUp();
  for (const { type, address } of node?.status?.addresses ?? []) {
    const ip = type === "InternalIP" ? tryParseIp(address) : undefined;
    if (ip !== undefined) eth0.addAddress(ip, familyOf(ip) === 4 ? 24 : 64);
  }
  return kernel;
}
