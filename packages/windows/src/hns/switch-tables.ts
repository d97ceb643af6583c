import type { IpFamily } from "@cnilab/net";
import { FlowTable } from "../vfp/flow-table.ts";
import { type VfpDirection, VfpGroup } from "../vfp/vfp-group.ts";
import { type VfpLayer, VfpPort } from "../vfp/vfp-port.ts";

type ByFamily = Readonly<Record<IpFamily, VfpGroup>>;

/**
 * Tables that ports of one switch have in common. Layers and groups of containers' ports, and LB_OUT of the host's, have the
 * names that Microsoft's diagnostic scripts ask `vfpctrl` for; the host's real ports spread load balancing over more of them.
 */
export class SwitchTables {
  /** Load balancers with direct server return, at each container's port. */
  readonly lbDsr: ByFamily = {
    4: new VfpGroup("LB_DSR", "LB_DSR_IPv4_OUT", "OUT"),
    6: new VfpGroup("LB_DSR", "LB_DSR_IPv6_OUT", "OUT"),
  };
  /** What the host sends to VIPs. */
  readonly hostOut: VfpGroup = new VfpGroup("LB", "LB_OUT", "OUT");
  /** What comes to the host for VIPs. */
  readonly hostIn: VfpGroup = new VfpGroup("LB", "LB_IN", "IN");
  readonly #hostFlows = new FlowTable();

  hostPort(id: string, name: string): VfpPort {
    const layers = [{ name: "LB", groups: [this.hostOut, this.hostIn] }];
    return new VfpPort(id, name, true, layers, this.#hostFlows);
  }

  /** @param encap the tables of the overlay that the container belongs to */
  containerPort(id: string, name: string, encap: VfpGroup | undefined): ContainerPort {
    const acl = new OwnGroups("ACL_ENDPOINT_LAYER", "ACL_ENDPOINT_GROUP");
    const nat = new OwnGroups("SLB_NAT_LAYER", "SLB_GROUP_NAT");
    const layers: VfpLayer[] = [
      { name: "ACL_ENDPOINT_LAYER", groups: acl.groups },
      { name: "LB_DSR", groups: [this.lbDsr[4], this.lbDsr[6]] },
      { name: "SLB_NAT_LAYER", groups: nat.groups },
    ];
    if (encap !== undefined) layers.push({ name: "VNET_ENCAP_LAYER", groups: [encap] });
    return { port: new VfpPort(id, name, false, layers), acl, nat };
  }
}

/** A container's port with the groups that are its own. */
export interface ContainerPort {
  readonly port: VfpPort;
  readonly acl: OwnGroups;
  readonly nat: OwnGroups;
}

/** The groups of one layer, a direction and a family each. */
export class OwnGroups {
  readonly #groups: Readonly<Record<VfpDirection, ByFamily>>;

  constructor(layer: string, prefix: string) {
    const group = (family: IpFamily, direction: VfpDirection) =>
      new VfpGroup(layer, `${prefix}_IPv${family}_${direction}`, direction);
    this.#groups = {
      OUT: { 4: group(4, "OUT"), 6: group(6, "OUT") },
      IN: { 4: group(4, "IN"), 6: group(6, "IN") },
    };
  }

  get groups(): readonly VfpGroup[] {
    const { OUT, IN } = this.#groups;
    return [OUT[4], OUT[6], IN[4], IN[6]];
  }

  of(direction: VfpDirection, family: IpFamily): VfpGroup {
    return this.#groups[direction][family];
  }
}
