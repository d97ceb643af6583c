import type { Cluster, Connection, ConnectRequest, Endpoint, EndpointScope } from "@cnilab/cluster";
import { type ApiClient, InputError } from "@cnilab/core";
import type { Kernel, NetNamespace, Network } from "@cnilab/linux";
import type { Command } from "commander";
import { addClusterFlags, bringUp, type ClusterFlags } from "./cluster-flags.ts";
import { RESOURCES } from "./custom-resources.ts";
import type { ProgramIo } from "./program-io.ts";
import { readState } from "./read-state.ts";
import { plural } from "./text-layout.ts";

/** Flags of commands that look at a network, whether it is simulated or was saved. */
export interface WalkFlags extends ClusterFlags {
  readonly state?: string;
}

/** What a network can be asked, whether a simulated cluster's or one read from real machines. */
export interface Walkable {
  readonly network: Network;
  readonly api: ApiClient;
  readonly nodes: ReadonlyMap<string, WalkableNode>;
  readonly warnings: readonly string[];
  endpoint(text: string, scope?: EndpointScope): Endpoint;
  connect(request: ConnectRequest): Connection;
  check(request: ConnectRequest): void;
  locate(request: ConnectRequest): ReturnType<Cluster["locate"]>;
  lookUp(...asked: Parameters<Cluster["lookUp"]>): ReturnType<Cluster["lookUp"]>;
  forgetConnections(): void;
}

export interface WalkableNode {
  readonly kernel: Kernel;
  readonly kubelet: { sandboxOf(podUid: string): NetNamespace | undefined };
}

export function addWalkFlags(command: Command): Command {
  return addClusterFlags(command).option(
    "--state <folder>",
    "real machines' state in place of manifests, as collected (see import-node)",
  );
}

/** Brings up the cluster that the flags describe, or reads the state that they name. @throws InputError */
export async function walkable(
  io: ProgramIo,
  flags: WalkFlags,
): Promise<{ readonly cluster: Walkable; readonly warnings: readonly string[] }> {
  if (flags.state === undefined) return bringUp(io, flags) satisfies Promise<{ cluster: Cluster }>;
  if (flags.filename.length > 0) {
    throw new InputError(
      `cannot stand beside --state: objects come from ${flags.state}/*.yaml`,
      "-f",
    );
  }
  const { importCluster } = await import("@cnilab/import");
  const { files, objects, ignored } = await readState(io, flags.state);
  const listen = flags.listen === "all" ? "all" : "saved";
  const cluster = importCluster(files, objects, {
    seed: flags.seed,
    listen,
    resources: RESOURCES,
  });
  const count = cluster.unmodelled.lines.length;
  const lacks =
    count === 0
      ? []
      : [
          `${plural(count, "kind")} of the saved state not modelled; cnilab import-node ${flags.state} names them`,
        ];
  return { cluster, warnings: [...ignored, ...lacks] };
}
