import type { Prefix } from "@cnilab/net";
import type { ClusterConfig } from "./cluster-config.ts";
import type { CustomResource } from "./custom-resource.ts";
import type { Machine } from "./machine.ts";
import type { DependencyContainer } from "./tokens.ts";

/** One `--cni-set KEY=value` that a model understands. */
export interface CniOption {
  readonly key: string;
  readonly description: string;
  readonly type: "string" | "boolean" | "integer";
  /** What a string may be; absent when anything goes. */
  readonly values?: readonly string[];
  readonly default?: string | boolean | number;
}

export type CniOptionValues = Readonly<Record<string, string | boolean | number | undefined>>;

/** What a CNI package exports: everything the simulator has to know about it. */
export interface CniModel {
  /** As in `--cni NAME`. */
  readonly name: string;
  /** Release of the real program that is modelled, as `v0.28.9`; `-` for a network of one's own. */
  readonly release: string;
  readonly description: string;
  readonly options: readonly CniOption[];
  /**
   * Where values of its Helm chart begin, of which {@link options} are those that are modelled: then options are paths, as
   * `ipam.mode`, and a file of values may hold others, which the user is told of. Absent where there is no chart.
   */
  readonly chartSections?: readonly string[];
  /** What nodes may run that it brings engines for; Linux alone where it is absent. */
  readonly operatingSystems?: readonly Machine["os"][];
  /** Kinds of its own. Manifests may hold them, and its engines read them; add them to `Kinds`, too. */
  readonly resources?: readonly CustomResource[];
  /** Whether Services are its own business with these options, so that the cluster runs no kube-proxy. */
  replacesKubeProxy?(options: CniOptionValues): boolean;
  /**
   * Where pods' addresses are from with these options, for a CNI that has a range of its own and takes none from nodes: then that
   * is the cluster's, and nodes get no parts of it (`--allocate-node-cidrs=false`), unless somebody gives `--cluster-cidr`.
   * @throws InputError
   */
  podRanges?(options: CniOptionValues): readonly Prefix[];
  /**
   * Registers factories for the engines that this CNI brings, under `IPAM`, `BRIDGE`, `OVERLAY`,
   * `PROXY` and `POLICY`. They are resolved in each node's own container, where `NODE` is set.
   * @throws InputError for options that make no sense, or do not fit the cluster
   */
  register(container: DependencyContainer, options: CniOptionValues, config: ClusterConfig): void;
}
