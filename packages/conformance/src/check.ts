import type { Cluster } from "@cnilab/cluster";
import type { CniModel, CniOptionValues, ProxyMode } from "@cnilab/core";
import type { IpFamily } from "@cnilab/net";

/** A CNI model as it is to be tested. */
export interface Subject {
  readonly model: CniModel;
  readonly options?: CniOptionValues;
  readonly ipFamilies?: readonly IpFamily[];
  /** How Services are programmed; by iptables unless it is given. */
  readonly proxyMode?: ProxyMode;
}

/** One thing that every Kubernetes network must do. */
export interface Check {
  /** A sentence that is true when the check passes. */
  readonly name: string;
  /** Where the demand stands. */
  readonly source: string;
  /** @returns what is wrong, a line each; empty when all is well */
  run(cluster: Cluster): Promise<readonly string[]>;
}

export interface CheckResult {
  readonly name: string;
  readonly passed: boolean;
  readonly problems: readonly string[];
}
