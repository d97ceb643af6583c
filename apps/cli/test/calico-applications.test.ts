// On each way of carrying packets between Calico's nodes and in both of Felix's dataplanes; one node is in another subnet, so that
// CrossSubnet carries packets in both ways.
import { calico, calicoPolicyReader } from "@cnilab/calico";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import { applicationTests } from "./applications.ts";

for (const encapsulation of ["IPIP", "IPIPCrossSubnet", "VXLAN", "VXLANCrossSubnet", "None"]) {
  for (const dataplane of ["Iptables", "Nftables"] as const) {
    applicationTests(
      `applications on Calico, ${encapsulation}, ${dataplane}`,
      {
        cni: calico,
        cniOptions: { encapsulation, dataplane },
        config: { proxyMode: dataplane === "Nftables" ? "nftables" : "iptables" },
        register: registerKubeProxy,
      },
      calicoPolicyReader,
    );
  }
}
