import { CalicoNode, calico, nodeStatus } from "@cnilab/calico";
import { InputError } from "@cnilab/core";
import type { Command } from "commander";
import { addClusterFlags, bringUp, type ClusterFlags, warn } from "../../cluster-flags.ts";
import { print } from "../../output.ts";
import type { ProgramIo } from "../../program-io.ts";

interface StatusFlags extends ClusterFlags {
  readonly node: string;
}

export function addNodeCommand(command: Command, io: ProgramIo): void {
  const node = command.command("node").description("what calicoctl node tells on a node");
  const status = node
    .command("status")
    .description("the node's BGP sessions, as calicoctl node status prints them")
    .requiredOption("--node <name>", "the node to ask");
  const option = addClusterFlags(status).options.find(({ long }) => long === "--cni");
  option?.default(calico.name);
  status
    .setOptionValueWithSource("cni", calico.name, "default")
    .action((flags) => showStatus(io, flags));
}

async function showStatus(io: ProgramIo, flags: StatusFlags): Promise<void> {
  const { cluster, warnings } = await bringUp(io, flags);
  warn(io, warnings);
  const node = cluster.nodes.get(flags.node);
  if (node === undefined) {
    const names = [...cluster.nodes.keys()].slice(0, 8).join(", ");
    throw new InputError(`there is no node "${flags.node}"; there are ${names}`, "--node");
  }
  const agent = node.agents.find((a) => a instanceof CalicoNode);
  if (agent === undefined) {
    throw new InputError("runs no calico-node; take a cluster with --cni calico", flags.node);
  }
  print(io, nodeStatus(agent.bird, cluster.clock.now));
}
