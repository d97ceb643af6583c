/** What kube-proxy marks packets with that it masquerades itself (`--masquerade-bit` 14). */
export const KUBE_PROXY_MARK = 0x4000;

/** Destinations that are nobody's in particular, and keep their sources. */
export const MULTICAST = { 4: "224.0.0.0/4", 6: "ff00::/8" } as const;
