import type { KubeProxyMode } from "./config.ts";

/** How Kubernetes itself stands to each mode, as of release 1.36. */
export const MODE_STATUS: Readonly<Record<KubeProxyMode, string>> = {
  iptables: "the default",
  nftables: "stable since 1.33, to become the default",
  ipvs: "deprecated since 1.35",
};

/** How Kubernetes stands to `spec.externalIPs` of a Service. */
export const EXTERNAL_IPS_STATUS = "deprecated since 1.36";
