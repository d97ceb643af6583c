import type { IpAddress, Mac, Prefix } from "@cnilab/net";
import { VfpGroup } from "../vfp/vfp-group.ts";

/** UDP port of VXLAN on Windows, unless a VxlanPort policy says otherwise. */
export const WINDOWS_VXLAN_PORT = 4789;

/** An overlay network as the switch carries it out: customer addresses (CA) inside, provider addresses (PA) outside. */
export class OverlayNetwork {
  /** Virtual subnet identifier: the VNI of what this node's containers send to each other. */
  readonly vsid: number;
  readonly subnet: Prefix;
  readonly gateway: IpAddress;
  /** MAC of the distributed router, which is the gateway on every node's own port. */
  readonly drMac: Mac;
  readonly providerAddress: IpAddress;
  /** Where other nodes' containers are. */
  readonly encap: VfpGroup = new VfpGroup("VNET_ENCAP_LAYER", "VNET_GROUP_ENCAP_IPv4_OUT", "OUT");
  /** Addresses of the subnet, and virtual ones, that mean the host: its source VIP, Services' VIPs. */
  readonly hostAddresses: Set<IpAddress> = new Set();

  constructor(fields: {
    readonly vsid: number;
    readonly subnet: Prefix;
    readonly gateway: IpAddress;
    readonly drMac: Mac;
    readonly providerAddress: IpAddress;
  }) {
    this.vsid = fields.vsid;
    this.subnet = fields.subnet;
    this.gateway = fields.gateway;
    this.drMac = fields.drMac;
    this.providerAddress = fields.providerAddress;
  }
}
