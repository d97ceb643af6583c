import type { NetworkConfigList } from "@cnilab/core";

// The files of one case: see README.md beside the vectors.

export interface Step {
  readonly op: "ADD" | "DEL" | "CHECK";
  readonly container: string;
  readonly containerID?: string;
  readonly ifname?: string;
  readonly conflist?: NetworkConfigList;
  readonly capabilityArgs?: Readonly<Record<string, unknown>>;
  readonly args?: string;
  readonly snapshot?: boolean;
  readonly ipamFiles?: boolean;
}

export interface Input {
  readonly name: string;
  readonly conflist: NetworkConfigList;
  readonly hostSetup?: readonly string[];
  readonly subnetEnv?: string;
  readonly fixedMacs?: readonly string[];
  readonly steps: readonly Step[];
}

/** One plugin of a step: exit code 1 and an error object, or 0 and a result, or nothing. */
export interface Printed {
  readonly plugin: string;
  readonly exit: number;
  readonly stdout: unknown;
}

export type Row = Readonly<Record<string, unknown>>;

export interface NamespaceState {
  readonly links: readonly Row[];
  readonly addrs: readonly Row[];
  readonly routes: readonly Row[];
  readonly fdb?: readonly Row[];
  readonly iptables?: readonly string[];
  readonly ip6tables?: readonly string[];
  readonly nftables?: readonly string[];
  readonly tc?: Readonly<Record<string, TcState>>;
  readonly sysctl?: Readonly<Record<string, string>>;
}

export interface TcState {
  readonly qdisc: readonly { readonly kind: string; readonly options?: Row }[];
  readonly ingress_filters: readonly string[];
}

export type State = Readonly<Record<string, NamespaceState>>;

export interface Expected {
  readonly steps: readonly {
    readonly plugins: readonly Printed[];
    readonly state?: State;
    readonly ipamFiles?: Readonly<Record<string, string>>;
  }[];
  readonly final: State;
  readonly ipamFiles?: Readonly<Record<string, string>>;
}
