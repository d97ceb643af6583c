import type { Ipv4Address, Ipv6Address, Mac } from "@cnilab/net";

/** What a program of one endpoint is compiled with (bpf/ep_config.h, bpf/include/bpf/config/{endpoint,lxc}.h). */
export interface EndpointConfig {
  /** `LXC_ID` */
  readonly id: number;
  /** `SECLABEL`: its identity. Loading a program anew is how it changes. */
  readonly securityLabel: number;
  readonly ipv4: Ipv4Address | undefined;
  readonly ipv6: Ipv6Address | undefined;
  /** Of the node's end of its pair of devices, and that end (`THIS_INTERFACE_MAC`, `THIS_INTERFACE_IFINDEX`). */
  readonly interfaceMac: Mac;
  readonly interfaceIfindex: number;
  /** Of the end inside; 0 for the host's endpoint (`LXC_MAC`). */
  readonly mac: Mac;
  /** `ENABLE_ARP_RESPONDER`: with endpoint routes the node's stack answers. */
  readonly arpResponder: boolean;
  /** `ENABLE_ROUTING`: programs, not the stack, find the way to this node's endpoints. */
  readonly routing: boolean;
  /** `USE_BPF_PROG_FOR_INGRESS_POLICY`: `cil_to_container` is there, and looks at policy for whom. */
  readonly toContainer: boolean;
  /** `POLICY_AUDIT_MODE`: what policy denies passes, and is told of. */
  readonly policyAuditMode: boolean;
  /** `endpoint_netns_cookie` */
  readonly netnsCookie: number;
}
