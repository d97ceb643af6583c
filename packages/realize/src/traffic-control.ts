import type { NetNamespace } from "@cnilab/linux";

/** `tc …`: token buckets, and redirection as the CNI's bandwidth plugin makes it. */
export function trafficControlLines(netns: NetNamespace): string[] {
  return netns.devices.flatMap(({ name, tc }) => {
    const lines: string[] = [];
    if (tc?.root !== undefined) {
      const { handle, rate, burst, limit } = tc.root;
      lines.push(
        `qdisc add dev ${name} root handle ${handle} tbf rate ${8 * rate}bit burst ${burst} limit ${limit}`,
      );
    }
    if (tc?.redirect !== undefined) {
      lines.push(
        `qdisc add dev ${name} ingress`,
        `filter add dev ${name} parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev ${tc.redirect.to.name}`,
      );
    }
    return lines;
  });
}
