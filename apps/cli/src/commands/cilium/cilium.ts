import { AGENT_LISTINGS, type AgentListing, agentOutput, cilium } from "@cnilab/cilium";
import { InputError } from "@cnilab/core";
import { type Command, Option } from "commander";
import { addNodeFlags, askedNode, type NodeFlags } from "../../asked-node.ts";
import { print, printJson } from "../../output.ts";
import type { ProgramIo } from "../../program-io.ts";

interface ListFlags extends NodeFlags {
  readonly output: "text" | "json";
}

const ABOUT: Readonly<Record<AgentListing, string>> = {
  "endpoint list": "pods of the node, with their identities and whether policies select them",
  "identity list": "identities that the agent knows, and what they stand for",
  "node list": "nodes that the agent knows, with their ranges of addresses",
  "service list": "Services as the agent has them: frontends and backends",
  status: "how the agent is set up: routing, masquerading, kube-proxy's work, addresses",
};

export function addCiliumCommand(program: Command, io: ProgramIo): void {
  const command = program
    .command("cilium")
    .description("what cilium-dbg tells in the pod of a node's agent (maps: show bpf)");
  for (const what of AGENT_LISTINGS) {
    const [noun = "", verb] = what.split(" ");
    const group = command.command(noun).description(ABOUT[what]);
    const list = (verb === undefined ? group : group.command(verb))
      .description(`${ABOUT[what]}, as cilium-dbg ${what} prints them`)
      .addOption(
        new Option("-o, --output <format>", "text, or JSON")
          .choices(["text", "json"])
          .default("text"),
      );
    addNodeFlags(list, cilium.name).action((flags) => showListing(io, what, flags));
  }
}

async function showListing(io: ProgramIo, what: AgentListing, flags: ListFlags): Promise<void> {
  const { node } = await askedNode(io, flags);
  const output = agentOutput(node.kernel, what);
  if (output === undefined) {
    throw new InputError("runs no cilium-agent; take a cluster with --cni cilium", node.name);
  }
  if (flags.output === "json") printJson(io, output.json);
  else print(io, output.text);
  if (output.note !== undefined) io.stderr.write(`${output.note}\n`);
}
