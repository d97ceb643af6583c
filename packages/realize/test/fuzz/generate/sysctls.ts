import type { Choice } from "./choice.ts";
import type { Plan } from "./plan.ts";

/** A setting of a namespace, or of one of its devices. */
export function sysctl(plan: Plan, choice: Choice): void {
  const netns = choice.pick(plan.namespaces);
  const dev = choice.pick(["all", choice.pick(plan.attachmentsOf(netns)).dev]);
  const [path, value] = choice.pick([
    [`net/ipv4/conf/${dev}/rp_filter`, 1],
    [`net/ipv4/conf/${dev}/rp_filter`, 1],
    [`net/ipv4/conf/${dev}/rp_filter`, 2],
    [`net/ipv4/conf/${dev}/accept_local`, 1],
    [`net/ipv4/conf/${dev}/route_localnet`, 1],
    [`net/ipv4/conf/${dev}/arp_ignore`, 1],
    [`net/ipv4/conf/${dev}/arp_announce`, 2],
    [`net/ipv4/conf/${dev}/src_valid_mark`, 1],
    [`net/ipv4/conf/${dev}/proxy_arp`, 1],
    ["net/ipv4/ip_default_ttl", 5],
    ["net/ipv4/icmp_echo_ignore_all", 1],
    ["net/ipv4/icmp_errors_use_inbound_ifaddr", 1],
    ["net/ipv4/ip_forward_use_pmtu", 1],
    ["net/ipv4/fwmark_reflect", 1],
    ["net/bridge/bridge-nf-call-iptables", 0],
    ["net/ipv4/ip_no_pmtu_disc", 0],
  ] as const);
  plan.set(netns, path, value);
}
