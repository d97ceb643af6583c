/** `KubeProxyWinkernelConfiguration`. */
export interface WinkernelConfig {
  /** The HNS network of the node's pods (`--network-name`); empty for the one that the CNI configuration names, as start scripts do. */
  readonly networkName: string;
  /** Source of flows that the host's load balancer sends into an overlay (`--source-vip`); empty for what start scripts set aside. */
  readonly sourceVip: string;
  /** Direct server return for cluster IPs (`--enable-dsr`). */
  readonly enableDSR: boolean;
  /** Load balancers lead health checks to the host (`--forward-healthcheck-vip`). */
  readonly forwardHealthCheckVip: boolean;
  /** Endpoint that stands for the host then (`--root-hnsendpoint-name`). */
  readonly rootHnsEndpointName: string;
}

/**
 * What kubernetes-sigs/windows-service-proxy starts kube-proxy with; without its flags the real one has no direct server
 * return.
 */
export const WINKERNEL_DEFAULTS: WinkernelConfig = {
  networkName: "",
  sourceVip: "",
  enableDSR: true,
  forwardHealthCheckVip: false,
  rootHnsEndpointName: "cbr0",
};
