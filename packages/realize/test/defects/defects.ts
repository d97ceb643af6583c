/** A mistake as somebody could make it in the model: pieces of text in `packages/linux/src` that are replaced. */
export interface Defect {
  readonly name: string;
  readonly edits: readonly Edit[];
}

export interface Edit {
  /** Below `packages/linux/src`. */
  readonly file: string;
  /** Stands there exactly once. */
  readonly old: string;
  readonly new: string;
}

function defect(name: string, file: string, old: string, replacement: string): Defect {
  return { name, edits: [{ file, old, new: replacement }] };
}

/** Planted one at a time: the fuzzer has to find them. */
export const DEFECTS: readonly Defect[] = [
  defect(
    "forwarded packets skip the FORWARD hook",
    "ip/ip-forward.ts",
    "nfHook(netns, family, NF_INET_FORWARD, skb, dev, dst.dev, dstOutput);",
    "dstOutput(skb, netns);",
  ),
  defect(
    "of routes to one prefix the highest metric wins",
    "fib/fib-table.ts",
    "(other.metric < route.metric ||",
    "(other.metric > route.metric ||",
  ),
  defect(
    "a router passes on packets whose time to live is 1",
    "ip/ip-forward.ts",
    "if (packet.ttl <= 1) {",
    "if (packet.ttl <= 0) {",
  ),
  defect(
    "a router leaves the IPv6 hop limit as it is",
    "ip/ip-forward.ts",
    "  packet.ttl--;\n",
    "  if (packet.version === 4) packet.ttl--;\n",
  ),
  defect(
    "NAT is not undone for answers",
    "netfilter/nat/nat-packet.ts",
    "  if (!isTranslated(entry, direction, manip)) return;\n",
    "  if (!isTranslated(entry, direction, manip) || direction === IP_CT_DIR_REPLY) return;\n",
  ),
  defect(
    "NAT leaves the packet alone that an ICMP error quotes",
    "netfilter/nat/nat-packet.ts",
    "if (quoted instanceof QuotedPacket) {",
    "if (quoted instanceof QuotedPacket && quoted.packet === packet) {",
  ),
  {
    name: "routers cut packets that say not to (DF)",
    edits: [
      {
        file: "ip/ip-forward.ts",
        old: "if (packet.length <= mtu || !packet.dontFragment) return false;",
        new: "if (packet.length >= 0) return false;",
      },
      {
        file: "ip/ip-output.ts",
        old: "(!packet.dontFragment && (packet.version === 4 || skb.iif === undefined)) ||",
        new: "packet.version === 4 || (!packet.dontFragment && skb.iif === undefined) ||",
      },
    ],
  },
  defect(
    "a fragment that is cut again forgets where it began",
    "ip/fragment.ts",
    "fragment.fragmentOffset = start + offset;",
    "fragment.fragmentOffset = offset;",
  ),
  defect(
    "no route is told as host unreachable",
    "ip/ip-input.ts",
    'if (result === "ENETUNREACH") icmpSend(skb, netns, ICMP_DEST_UNREACH, ICMP_NET_UNREACH);',
    'if (result === "ENETUNREACH") icmpSend(skb, netns, ICMP_DEST_UNREACH, ICMP_HOST_UNREACH);',
  ),
  defect(
    "a blackhole route tells the sender",
    "ip/route-input.ts",
    'case "blackhole":\n      return "EINVAL";',
    'case "blackhole":\n      return "EHOSTUNREACH";',
  ),
  defect(
    "rp_filter of `all` is ignored",
    "ip/route-input.ts",
    "Math.max(all.rp_filter, conf.rp_filter)",
    "conf.rp_filter",
  ),
  defect(
    "policy rules are asked behind the main table",
    "fib/fib.ts",
    "this.#rules.findIndex((r) => r.priority > rule.priority)",
    "this.#rules.findIndex((r) => r.priority > 32766)",
  ),
  defect(
    "the mask of a rule's mark is ignored",
    "fib/fib-rule.ts",
    "(flow.mark & rule.fwmark.mask) >>> 0 !== rule.fwmark.value",
    "flow.mark !== rule.fwmark.value",
  ),
  defect(
    "a mark that mangle OUTPUT sets chooses no route",
    "netfilter/iptables/table-hook.ts",
    'table.name === "mangle" && hook === NF_INET_LOCAL_OUT;',
    "false;",
  ),
  defect(
    "`nomatch` elements of a set match",
    "netfilter/ipset/ipset.ts",
    "if (entry.nomatch) return false;",
    "",
  ),
  defect(
    "an nft range lacks its last value",
    "netfilter/nftables/evaluate-set.ts",
    "return [bounds(expression.from)[0], bounds(expression.to)[1]];",
    "return [bounds(expression.from)[0], bounds(expression.to)[1] - 1n];",
  ),
  defect(
    "a port in hairpin mode does not send back",
    "bridge/bridge.ts",
    "if (from === to && !to.hairpin) return",
    "if (from === to) return",
  ),
  defect(
    "isolated ports reach each other",
    "bridge/bridge.ts",
    "if (from?.isolated && to.isolated) return",
    "if (from?.isolated && to.isolated && !to.dev.carrier) return",
  ),
  defect(
    "a bridge floods to one port only",
    "bridge/bridge.ts",
    "    const copies = seen.length + (up ? 1 : 0);",
    "    seen.splice(1);\n    const copies = seen.length + (up ? 1 : 0);",
  ),
  defect(
    "packets without a valid connection count as NEW",
    "netfilter/iptables/matches/conntrack.ts",
    ': (STATES["INVALID"] as number);',
    ': (STATES["NEW"] as number);',
  ),
  defect(
    "an IPv6 REJECT with adm-prohibited says port unreachable",
    "netfilter/iptables/targets/reject.ts",
    'aliases: ["adm-prohibited"], code: ICMPV6_ADM_PROHIBITED }',
    'aliases: ["adm-prohibited"], code: ICMPV6_PORT_UNREACH }',
  ),
  defect(
    "the MTU of a vxlan device forgets the inner Ethernet header",
    "device/vxlan.ts",
    "VXLAN_OVERHEAD = { 4: 50, 6: 70 }",
    "VXLAN_OVERHEAD = { 4: 36, 6: 56 }",
  ),
  defect(
    "an IPv6 source is chosen without regard to the device it leaves by",
    "ip/source-address.ts",
    "if (out !== undefined && (x.dev === out) !== (y.dev === out)) return x.dev === out;",
    "",
  ),
  defect(
    "an IPv4 source is the device's first address, whatever the network",
    "ip/source-address.ts",
    "if (dst === undefined || new Prefix(address, prefixLength).contains(dst)) return address;",
    "return address;",
  ),
  defect(
    "proxy_arp answers for nobody",
    "neighbour/arp.ts",
    "const proxy = elsewhere && (all.proxy_arp !== 0 || conf.proxy_arp !== 0);",
    "const proxy = elsewhere && all.proxy_arp > 1;",
  ),
  defect(
    "DNAT keeps the port",
    "netfilter/nat/nat-setup.ts",
    "    if (range.minPort === undefined) {\n",
    "    if (range.minPort === undefined || manip === NF_NAT_MANIP_DST) {\n",
  ),
];
