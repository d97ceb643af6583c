import { InputError } from "@cnilab/core";
import {
  connectionsText,
  ipamText,
  peersText,
  statusText,
  targetsText,
  WeaveKube,
  type WeaveStatus,
  weave,
  weaveStatus,
} from "@cnilab/weave";
import { Argument, type Command, Option } from "commander";
import { addNodeFlags, askedNode, type NodeFlags } from "../../asked-node.ts";
import { print, printJson } from "../../output.ts";
import type { ProgramIo } from "../../program-io.ts";

interface StatusFlags extends NodeFlags {
  readonly output: "text" | "json";
}

/** As text, and the part of the report that it is made of. */
const PARTS = {
  targets: { text: targetsText, part: ({ Router }: WeaveStatus) => Router.Targets },
  connections: { text: connectionsText, part: ({ Router }: WeaveStatus) => Router.Connections },
  peers: { text: peersText, part: ({ Router }: WeaveStatus) => Router.Peers },
  ipam: { text: ipamText, part: ({ IPAM }: WeaveStatus) => IPAM },
} as const;
const WHOLE = { text: statusText, part: (status: WeaveStatus) => status };

export function addWeaveCommand(program: Command, io: ProgramIo): void {
  const command = program
    .command("weave")
    .description("what the script weave tells of a node of a cluster on Weave Net");
  const status = command
    .command("status")
    .description("the router and its IPAM, or one thing of it, as weave status prints them")
    .addArgument(new Argument("[part]", "one thing alone").choices(Object.keys(PARTS)))
    .addOption(
      new Option("-o, --output <format>", "text, or its part of weave report")
        .choices(["text", "json"])
        .default("text"),
    );
  addNodeFlags(status, weave.name).action(
    async (part: keyof typeof PARTS | undefined, flags: StatusFlags) => {
      const found = await statusOf(io, flags);
      const { text, part: partOf } = part === undefined ? WHOLE : PARTS[part];
      if (flags.output === "json") printJson(io, partOf(found));
      else print(io, text(found));
    },
  );
  const report = command
    .command("report")
    .description("all that a node's router says of itself, as weave report writes it (JSON)");
  addNodeFlags(report, weave.name).action(async (flags: NodeFlags) =>
    printJson(io, await statusOf(io, flags)),
  );
}

async function statusOf(io: ProgramIo, flags: NodeFlags): Promise<WeaveStatus> {
  const { node } = await askedNode(io, flags);
  const agent = node.agents.find((each) => each instanceof WeaveKube);
  if (agent === undefined) {
    throw new InputError("runs no weaver; take a cluster with --cni weave", node.name);
  }
  if (agent.weaver === undefined) {
    throw new InputError(`weaver does not run: ${agent.problem ?? "it is starting"}`, node.name);
  }
  return weaveStatus(agent.weaver);
}
