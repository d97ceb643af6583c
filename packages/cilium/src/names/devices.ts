/** Devices that the agent makes (pkg/defaults/node.go, cilium-health/launch/endpoint.go, pkg/wireguard/types/types.go). */
export const DEVICE = {
  host: "cilium_host",
  net: "cilium_net",
  vxlan: "cilium_vxlan",
  geneve: "cilium_geneve",
  wireguard: "cilium_wg0",
  health: "lxc_health",
} as const;
