// On each way of carrying packets between Cilium's nodes, with kube-proxy and with Cilium in its place.
import { cilium } from "@cnilab/cilium";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import type { PolicyReader } from "@cnilab/network-policy";
import { applicationTests } from "./applications.ts";

/** Native routing without a routing protocol needs nodes that reach each other without a router. */
const ONE_SUBNET = ["172.18.0.2", "172.18.0.3", "172.18.0.4"];

const ROUTING = [
  { name: "VXLAN", cniOptions: { routingMode: "tunnel", tunnelProtocol: "vxlan" } },
  { name: "Geneve", cniOptions: { routingMode: "tunnel", tunnelProtocol: "geneve" } },
  {
    name: "native routing",
    cniOptions: {
      routingMode: "native",
      autoDirectNodeRoutes: true,
      ipv4NativeRoutingCIDR: "10.244.0.0/16",
    },
    nodes: ONE_SUBNET,
  },
  {
    name: "VXLAN with endpoint routes",
    cniOptions: { routingMode: "tunnel", "endpointRoutes.enabled": true },
  },
];

for (const { name, cniOptions, nodes } of ROUTING) {
  for (const replaced of [false, true]) {
    applicationTests(
      `applications on Cilium, ${name}, ${replaced ? "Cilium in place of kube-proxy" : "kube-proxy"}`,
      {
        cni: cilium,
        cniOptions: { ...cniOptions, kubeProxyReplacement: replaced },
        ...(!replaced && { register: registerKubeProxy }),
      },
      cilium.policyReader as PolicyReader,
      nodes,
    );
  }
}
