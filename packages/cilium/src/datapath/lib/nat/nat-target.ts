import type { IpAddress } from "@cnilab/net";
import type { NodeConfig } from "../../node-config.ts";

/** What a source is translated to, and why (`struct ipv4_nat_target`, `ipv6_nat_target`). */
export interface NatTarget {
  address: IpAddress;
  minPort: number;
  maxPort: number;
  fromLocalEndpoint: boolean;
  egressGateway: boolean;
  /** The connection is tracked for the sake of the mapping, so that it is known when that may go. */
  needsCt: boolean;
}

/** `NODEPORT_PORT_MAX_NAT` */
const NODEPORT_PORT_MAX_NAT = 65_535;

/** Ports from the one behind the NodePorts on. */
export function natTarget({ lb }: NodeConfig, address: IpAddress): NatTarget {
  return {
    address,
    minPort: lb.nodePortMax + 1,
    maxPort: NODEPORT_PORT_MAX_NAT,
    fromLocalEndpoint: false,
    egressGateway: false,
    needsCt: false,
  };
}

/** `NAT_PUNT_TO_STACK`: nothing is translated. As a reason to drop it is DROP_NAT_NOT_NEEDED. */
export const NAT_PUNT_TO_STACK = -173;
