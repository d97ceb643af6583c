import { TABLE } from "./names.ts";

/** Maps from pods' addresses to the chain of their policies, by direction and IP version. */
export const POLICY_MAPS = {
  egress: { 4: "egress-ip4", 6: "egress-ip6" },
  ingress: { 4: "ingress-ip4", 6: "ingress-ip6" },
} as const;

/** Sets of the addresses of the node's own pods, by IP version. */
export const LOCAL_PODS = { 4: "local-ip4", 6: "local-ip6" } as const;

/** Sets of each of them with itself, as source and destination. */
export const OWN_TRAFFIC = { 4: "own-ip4", 6: "own-ip6" } as const;

/**
 * The table without policies. Only new connections are asked, when their destination is known (behind DNAT) and
 * their source still is (before masquerading); bridged ones too, as br_netfilter has them pass here. A pod may talk to
 * itself, and a node to its pods and they to it (documentation of NetworkPolicy, "the two sorts of pod isolation"), so that
 * there is nothing to ask at input, and at output only what IPVS sends on from there (net/netfilter/ipvs/ip_vs_xmit.c): packets
 * whose source is not the node's.
 */
export function baseChains(): string {
  const add = (text: string) => `add ${text}`;
  const inTable = `inet ${TABLE}`;
  return [
    add(`table ${inTable}`),
    ...([4, 6] as const).flatMap((version) => {
      const type = `ipv${version}_addr`;
      return [
        add(`set ${inTable} ${LOCAL_PODS[version]} { type ${type}; }`),
        add(`set ${inTable} ${OWN_TRAFFIC[version]} { type ${type} . ${type}; }`),
        add(`map ${inTable} ${POLICY_MAPS.egress[version]} { type ${type} : verdict; }`),
        add(`map ${inTable} ${POLICY_MAPS.ingress[version]} { type ${type} : verdict; }`),
      ];
    }),
    add(`chain ${inTable} forward { type filter hook forward priority filter; policy accept; }`),
    add(`chain ${inTable} output { type filter hook output priority filter; policy accept; }`),
    ...rules("forward").map((rule) => add(`rule ${inTable} forward ${rule}`)),
    ...rules("output").map((rule) => add(`rule ${inTable} output ${rule}`)),
  ].join("\n");
}

function rules(chain: "forward" | "output"): string[] {
  return [
    "ct state established,related accept",
    // Nobody names it in a policy, and without it no neighbour is found.
    "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
    ...(chain === "output" ? ["fib saddr type local accept"] : []),
    ...([4, 6] as const).flatMap((version) => {
      const ip = version === 4 ? "ip" : "ip6";
      const local = LOCAL_PODS[version];
      return [
        `${ip} saddr . ${ip} daddr @${OWN_TRAFFIC[version]} accept`,
        `${ip} saddr @${local} ${ip} saddr vmap @${POLICY_MAPS.egress[version]}`,
        `${ip} daddr @${local} ${ip} daddr vmap @${POLICY_MAPS.ingress[version]}`,
      ];
    }),
  ];
}
