import { Argument, type Command, Option } from "commander";
import { print } from "../output.ts";
import type { ProgramIo } from "../program-io.ts";
import type { RenderFlags } from "../render-input.ts";

/** Each brings its package along: only that of the one that is asked for is loaded. */
const AGENTS = {
  "kube-proxy": async () => (await import("../render-kube-proxy.ts")).renderKubeProxy,
  flannel: async () => (await import("../render-flannel.ts")).renderFlannelNode,
  calico: async () => (await import("../render-calico.ts")).renderCalico,
  cilium: async () => (await import("../render-cilium.ts")).renderCilium,
  "weave-npc": async () => (await import("../render-weave-npc.ts")).renderWeaveNpc,
} as const;
type AgentName = keyof typeof AGENTS;

export function addRenderCommand(program: Command, io: ProgramIo): void {
  const collect = (value: string, previous: readonly string[]) => [...previous, value];
  program
    .command("render")
    .description("what one agent alone programs on a node for exactly these objects")
    .addArgument(new Argument("<agent>", "which agent").choices(Object.keys(AGENTS)))
    .requiredOption("--node <name>", "the node that it runs on")
    .addOption(
      new Option(
        "-f, --filename <path>",
        "Services and EndpointSlices, Nodes, a CNI's objects, or events for weave-npc; repeatable",
      )
        .argParser(collect)
        .default([]),
    )
    .addOption(
      new Option("--then <path>", "further input for the same running agent; repeatable")
        .argParser(collect)
        .default([]),
    )
    .option(
      "--config <file>",
      "the agent's own settings as JSON: kube-proxy's, net-conf.json, a FelixConfiguration's, a values.yaml of Cilium's chart",
    )
    .addOption(
      new Option(
        "--proxy-mode <mode>",
        "of kube-proxy; without it the mode that has the output",
      ).choices(["iptables", "nftables", "ipvs"]),
    )
    .option(
      "-o, --output <format>",
      "iptables, ip6tables, nftables, nftables-json, ipvs, ipset, addrs; of flannel and cilium also routes, links…; of calico felix: what Felix writes",
      "iptables",
    )
    .action(async (agent: AgentName, flags: RenderFlags) => {
      const render = await AGENTS[agent]();
      print(io, await render(io, flags));
    });
}
