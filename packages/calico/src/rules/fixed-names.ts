import type { IpFamily } from "@cnilab/net";
import { ipSetName } from "../names/ip-set-name.ts";

/** Chains that Felix always has (`felix/rules/rule_defs.go`). */
export const CHAIN = {
  input: "cali-INPUT",
  forward: "cali-FORWARD",
  output: "cali-OUTPUT",
  prerouting: "cali-PREROUTING",
  postrouting: "cali-POSTROUTING",
  failsafeIn: "cali-failsafe-in",
  failsafeOut: "cali-failsafe-out",
  natOutgoing: "cali-nat-outgoing",
  egressDscp: "cali-egress-dscp",
  fipDnat: "cali-fip-dnat",
  fipSnat: "cali-fip-snat",
  cidrBlock: "cali-cidr-block",
  workloadToHost: "cali-wl-to-host",
  fromWorkloadDispatch: "cali-from-wl-dispatch",
  toWorkloadDispatch: "cali-to-wl-dispatch",
  toHostEndpoint: "cali-to-host-endpoint",
  fromHostEndpoint: "cali-from-host-endpoint",
  toHostEndpointForward: "cali-to-hep-forward",
  fromHostEndpointForward: "cali-from-hep-forward",
  setEndpointMark: "cali-set-endpoint-mark",
  fromEndpointMark: "cali-from-endpoint-mark",
  forwardCheck: "cali-forward-check",
  forwardEndpointMark: "cali-forward-endpoint-mark",
  wireguardIncomingMark: "cali-wireguard-incoming-mark",
  rpfSkip: "cali-rpf-skip",
} as const;

/** IP sets that no selector makes. */
export const FIXED_SET = {
  /** CIDRs of all pools that workloads or tunnels may use. */
  networkPools: "network-ip-pools",
  /** Those of pools with natOutgoing. */
  masqueradePools: "masq-ipam-pools",
  allHosts: "all-hosts-net",
  allVxlanHosts: "all-vxlan-net",
  thisHost: "this-host",
  dscpSources: "dscp-src-net",
} as const;

/** The kernel's name of a fixed set. */
export function fixedSet(set: keyof typeof FIXED_SET, family: IpFamily): string {
  return ipSetName(FIXED_SET[set], family);
}

/** Stands for all interfaces in the names of a wildcard host endpoint's chains (`felix/dataplane/linux/endpoint_mgr.go` allInterfaces). */
export const ALL_INTERFACES = "any-interface-at-all";
