import type { Cluster, ClusterNode } from "@cnilab/cluster";
import { InputError } from "@cnilab/core";
import type { Command } from "commander";
import { addClusterFlags, bringUp, type ClusterFlags, warn } from "./cluster-flags.ts";
import type { ProgramIo } from "./program-io.ts";

export interface NodeFlags extends ClusterFlags {
  readonly node?: string;
}

/** Adds the flags of a command that asks a CNI's program on one node; the CNI is that one where no other is named. */
export function addNodeFlags(command: Command, cni: string): Command {
  command.option("--node <name>", "the node to ask (default: the first)");
  const option = addClusterFlags(command).options.find(({ long }) => long === "--cni");
  option?.default(cni);
  return command.setOptionValueWithSource("cni", cni, "default");
}

/** Brings the cluster up. @throws InputError for a node that is not there */
export async function askedNode(
  io: ProgramIo,
  flags: NodeFlags,
): Promise<{ readonly cluster: Cluster; readonly node: ClusterNode }> {
  const { cluster, warnings } = await bringUp(io, flags);
  const names = [...cluster.nodes.keys()];
  const name = flags.node ?? names[0];
  const node = name === undefined ? undefined : cluster.nodes.get(name);
  if (node === undefined) {
    throw new InputError(
      `there is no node "${name}"; there are ${names.slice(0, 8).join(", ")}`,
      "--node",
    );
  }
  warn(io, [...warnings, ...cluster.warnings]);
  if (flags.node === undefined && names.length > 1) {
    io.stderr.write(`cnilab: this is ${name}; --node asks another\n`);
  }
  return { cluster, node };
}
