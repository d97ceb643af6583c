import type { IpAddress, Prefix } from "@cnilab/net";
import type { Clock } from "./clock.ts";
import type { ClusterConfig } from "./cluster-config.ts";
import type { Machine } from "./machine.ts";
import type { Random } from "./random.ts";
import type { ApiClient } from "./watch.ts";

/** What every engine of one node is given. */
export interface NodeContext<M extends Machine = Machine> {
  readonly name: string;
  readonly machine: M;
  /** The API server as this node sees it: later than it is, or not at all while partitioned. */
  readonly api: ApiClient;
  readonly clock: Clock;
  /** A stream of this node's own. */
  readonly random: Random;
  readonly config: ClusterConfig;
  /** Addresses on the network between the nodes, at most one of each family. */
  readonly addresses: readonly IpAddress[];
  /** Pod ranges that the cluster gave this node; empty until then, or where a CNI allocates itself. */
  podCidrs(): readonly Prefix[];
}
