import { CalicoIpam, calico, IpamController, WINDOWS_RESERVED } from "@cnilab/calico";
import {
  type ApiClient,
  CLUSTER,
  type CniModel,
  CONTROLLERS,
  type DependencyContainer,
  IPAM,
  NODE,
  type Node,
  perNode,
} from "@cnilab/core";
import { flannel } from "@cnilab/flannel";

/** Of each block the bridge needs the network's address, the first one and the one for all. */
const BRIDGE_ADDRESSES = { ...WINDOWS_RESERVED, startOfBlock: 2, note: "bridge" };

/** Flannel with addresses by Calico's IPAM. Flannel routes pod ranges, so each node has a pool of its own: its range. */
export const flannelWithCalicoIpam: CniModel = {
  ...flannel,
  name: "flannel-with-calico-ipam",
  description: "Flannel's network with Calico's IPAM: blocks, handles, annotations",
  operatingSystems: ["linux"],
  resources: calico.resources ?? [],
  register(root, options, config) {
    flannel.register(root, options, config);
    root.register(
      IPAM,
      perNode((c) => new CalicoIpam({ node: c.resolve(NODE), reserved: BRIDGE_ADDRESSES })),
    );
    root.register(CONTROLLERS, { useFactory: makeController });
  },
};

function makeController(root: DependencyContainer): IpamController {
  const { api, clock } = root.resolve(CLUSTER);
  api.watch("Node").subscribe(({ object }) => makePools(api, object));
  return new IpamController(api, clock);
}

function makePools(api: ApiClient, { metadata, spec }: Node): void {
  for (const [i, cidr] of (spec?.podCIDRs ?? []).entries()) {
    const name = `${metadata.name}-${i}`;
    if (api.get("IPPool.projectcalico.org", name) !== undefined) continue;
    const nodeSelector = `kubernetes.io/hostname == '${metadata.name}'`;
    // Of IPv4 a bridge has one network alone: one block.
    const blockSize = cidr.includes(":") ? 122 : Number(cidr.split("/")[1]);
    api.create({
      apiVersion: "projectcalico.org/v3",
      kind: "IPPool",
      metadata: { name },
      spec: { cidr, blockSize, nodeSelector },
    });
  }
}

export default flannelWithCalicoIpam;
