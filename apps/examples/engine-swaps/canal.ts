import { calico } from "@cnilab/calico";
import { BRIDGE, type CniModel, OVERLAY, POLICY, registerEngines } from "@cnilab/core";
import { flannel } from "@cnilab/flannel";

/** As canal.yaml configures Calico: addresses out of each node's pod range, no network of its own, `veth_mtu` 1450. */
const WITHOUT_NETWORK = { ipam: "host-local", encapsulation: "None", bgp: "none", mtu: 1450 };

/** Canal: Flannel brings packets from node to node, Calico joins pods to their node and enforces policies. */
export const canal: CniModel = {
  ...calico,
  name: "canal",
  description: "Flannel's network with Calico's attachment of pods and its policies",
  options: flannel.options,
  register(root, options, config) {
    registerEngines(flannel, [OVERLAY], root, options, config);
    registerEngines(calico, [BRIDGE, POLICY], root, WITHOUT_NETWORK, config);
  },
};

export default canal;
