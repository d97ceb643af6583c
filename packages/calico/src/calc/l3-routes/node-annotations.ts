/** Where a Calico node's data lies on a Kubernetes Node (`libcalico-go/lib/backend/k8s/resources/node.go`). */
export const NODE_ANNOTATIONS = {
  ipv4Address: "projectcalico.org/IPv4Address",
  ipv6Address: "projectcalico.org/IPv6Address",
  ipv4IpipTunnelAddr: "projectcalico.org/IPv4IPIPTunnelAddr",
  ipv4VxlanTunnelAddr: "projectcalico.org/IPv4VXLANTunnelAddr",
  ipv6VxlanTunnelAddr: "projectcalico.org/IPv6VXLANTunnelAddr",
  vxlanTunnelMacAddr: "projectcalico.org/VXLANTunnelMACAddr",
  vxlanTunnelMacAddrV6: "projectcalico.org/VXLANTunnelMACAddrV6",
  ipv4WireguardInterfaceAddr: "projectcalico.org/IPv4WireguardInterfaceAddr",
  ipv6WireguardInterfaceAddr: "projectcalico.org/IPv6WireguardInterfaceAddr",
  wireguardPublicKey: "projectcalico.org/WireguardPublicKey",
  wireguardPublicKeyV6: "projectcalico.org/WireguardPublicKeyV6",
  asNumber: "projectcalico.org/ASNumber",
  routeReflectorClusterId: "projectcalico.org/RouteReflectorClusterID",
} as const;
