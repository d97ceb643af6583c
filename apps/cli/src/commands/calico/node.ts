import { CalicoNode, calico, nodeStatus } from "@cnilab/calico";
import { InputError } from "@cnilab/core";
import type { Command } from "commander";
import { addNodeFlags, askedNode, type NodeFlags } from "../../asked-node.ts";
import { print } from "../../output.ts";
import type { ProgramIo } from "../../program-io.ts";

export function addNodeCommand(command: Command, io: ProgramIo): void {
  const node = command.command("node").description("what calicoctl node tells on a node");
  const status = node
    .command("status")
    .description("the node's BGP sessions, as calicoctl node status prints them");
  addNodeFlags(status, calico.name).action((flags) => showStatus(io, flags));
}

async function showStatus(io: ProgramIo, flags: NodeFlags): Promise<void> {
  const { cluster, node } = await askedNode(io, flags);
  const agent = node.agents.find((a) => a instanceof CalicoNode);
  if (agent === undefined) {
    throw new InputError("runs no calico-node; take a cluster with --cni calico", node.name);
  }
  print(io, nodeStatus(agent.bird, cluster.clock.now));
}
