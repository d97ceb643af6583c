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
import { addClusterFlags, bringUp, type ClusterFlags, warn } from "../../cluster-flags.ts";
import { print, printJson } from "../../output.ts";
import type { ProgramIo } from "../../program-io.ts";

interface StatusFlags extends ClusterFlags {
  readonly node: string;
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
    .requiredOption("--node <name>", "the node to ask")
    .addOption(
      new Option("-o, --output <format>", "text, or its part of weave report")
        .choices(["text", "json"])
        .default("text"),
    );
  withWeave(status).action(async (part: keyof typeof PARTS | undefined, flags: StatusFlags) => {
    const found = await statusOf(io, flags);
    const { text, part: partOf } = part === undefined ? WHOLE : PARTS[part];
    if (flags.output === "json") printJson(io, partOf(found));
    else print(io, text(found));
  });
  const report = command
    .command("report")
    .description("all that a node's router says of itself, as weave report writes it (JSON)")
    .requiredOption("--node <name>", "the node to ask");
  withWeave(report).action(async (flags: StatusFlags) => printJson(io, await statusOf(io, flags)));
}

/** Flags of a cluster whose CNI is Weave where no other is named. */
function withWeave(command: Command): Command {
  const option = addClusterFlags(command).options.find(({ long }) => long === "--cni");
  option?.default(weave.name);
  return command.setOptionValueWithSource("cni", weave.name, "default");
}

async function statusOf(io: ProgramIo, flags: StatusFlags): Promise<WeaveStatus> {
  const { cluster, warnings } = await bringUp(io, flags);
  warn(io, warnings);
  const node = cluster.nodes.get(flags.node);
  if (node === undefined) {
    const names = [...cluster.nodes.keys()].slice(0, 8).join(", ");
    throw new InputError(`there is no node "${flags.node}"; there are ${names}`, "--node");
  }
  const agent = node.agents.find((each) => each instanceof WeaveKube);
  if (agent === undefined) {
    throw new InputError("runs no weaver; take a cluster with --cni weave", flags.node);
  }
  if (agent.weaver === undefined) {
    throw new InputError(`weaver does not run: ${agent.problem ?? "it is starting"}`, flags.node);
  }
  return weaveStatus(agent.weaver);
}
