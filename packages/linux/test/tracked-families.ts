import type { IpFamily } from "@cnilab/net";
import type { NetNamespace } from "../src/index.ts";
import { NF_INET_PRE_ROUTING, NFPROTO_IPV4, NFPROTO_IPV6 } from "../src/netfilter/hooks.ts";

/** The families whose packets a namespace tracks. */
export function trackedFamilies({ netfilter }: NetNamespace): IpFamily[] {
  const tracks = (family: typeof NFPROTO_IPV4 | typeof NFPROTO_IPV6): boolean =>
    (netfilter.at(family, NF_INET_PRE_ROUTING) ?? []).some(({ name }) => name === "conntrack_in");
  return ([4, 6] as const).filter((ip) => tracks(ip === 4 ? NFPROTO_IPV4 : NFPROTO_IPV6));
}
