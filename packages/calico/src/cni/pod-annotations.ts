/** What the CNI plugin writes on a pod, and what users ask of it there (`libcalico-go/lib/backend/k8s/conversion/constants.go`, `cni-plugin/pkg/k8s/k8s.go`). */
export const POD_ANNOTATIONS = {
  podIp: "cni.projectcalico.org/podIP",
  podIps: "cni.projectcalico.org/podIPs",
  containerId: "cni.projectcalico.org/containerID",
  ipAddrs: "cni.projectcalico.org/ipAddrs",
  ipAddrsNoIpam: "cni.projectcalico.org/ipAddrsNoIpam",
  ipv4Pools: "cni.projectcalico.org/ipv4pools",
  ipv6Pools: "cni.projectcalico.org/ipv6pools",
  ipFamilies: "cni.projectcalico.org/ipFamilies",
  floatingIps: "cni.projectcalico.org/floatingIPs",
  hwAddr: "cni.projectcalico.org/hwAddr",
  allowedSourcePrefixes: "cni.projectcalico.org/allowedSourcePrefixes",
} as const;
