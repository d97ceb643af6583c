import type { Clock, Origin } from "@cnilab/core";
import type { NetNamespace } from "@cnilab/linux";
import type { FlanneldOptions } from "../conf/flanneld-options.ts";
import type { NetConf } from "../conf/net-conf.ts";
import type { Lease } from "../lease/lease.ts";
import type { PreviousSubnets } from "../subnet-env.ts";

/** What masquerade and forward rules are made of. */
export interface TrafficContext {
  readonly netns: NetNamespace;
  readonly clock: Clock;
  readonly conf: NetConf;
  readonly options: FlanneldOptions;
  readonly lease: Lease;
  /** Of the run before, whose rules may still be there. */
  readonly previous: PreviousSubnets;
}

/** Every rule stands in this file. */
export const RULE_ORIGIN: Origin = {
  kind: "ConfigMap",
  namespace: "kube-flannel",
  name: "kube-flannel-cfg",
  detail: "net-conf.json",
};

/** Rules for what comes from and goes to pods, by one of the two tools (pkg/trafficmngr). */
export interface TrafficRules {
  setUpMasquerade(): void;
  setUpForward(): void;
  /** Ends what runs now and then; the rules stay. */
  stop(): void;
}
