import type { IpFamily } from "@cnilab/net";
import type { RenderedChain } from "./service-rules.ts";

/** A jump from a built-in chain, which kube-proxy puts at its head. */
export interface Jump {
  readonly table: "filter" | "nat";
  readonly chain: string;
  readonly rule: string;
}

const NEW = "-m conntrack --ctstate NEW ";

/**
 * In the order in which kube-proxy makes sure of them (`iptablesJumpChains`, `kubeletChains`): each goes
 * before those that are there, so that the last one stands first.
 */
export const JUMPS: readonly Jump[] = [
  ...["INPUT", "FORWARD"].map((chain) =>
    jump(
      "filter",
      chain,
      NEW,
      "kubernetes externally-visible service portals",
      "KUBE-EXTERNAL-SERVICES",
    ),
  ),
  jump("filter", "INPUT", "", "kubernetes health check service ports", "KUBE-NODEPORTS"),
  jump("filter", "FORWARD", NEW, "kubernetes service portals", "KUBE-SERVICES"),
  jump("filter", "OUTPUT", NEW, "kubernetes service portals", "KUBE-SERVICES"),
  jump("filter", "FORWARD", "", "kubernetes forwarding rules", "KUBE-FORWARD"),
  ...["INPUT", "OUTPUT", "FORWARD"].map((chain) =>
    jump("filter", chain, NEW, "kubernetes load balancer firewall", "KUBE-PROXY-FIREWALL"),
  ),
  jump("nat", "OUTPUT", "", "kubernetes service portals", "KUBE-SERVICES"),
  jump("nat", "PREROUTING", "", "kubernetes service portals", "KUBE-SERVICES"),
  jump("nat", "POSTROUTING", "", "kubernetes postrouting rules", "KUBE-POSTROUTING"),
  { table: "filter", chain: "INPUT", rule: "-j KUBE-FIREWALL" },
  { table: "filter", chain: "OUTPUT", rule: "-j KUBE-FIREWALL" },
];

function jump(
  table: Jump["table"],
  chain: string,
  match: string,
  comment: string,
  target: string,
): Jump {
  return { table, chain, rule: `${match}-m comment --comment "${comment}" -j ${target}` };
}

/** An empty chain in each table: when it is gone, somebody has flushed the rules. */
export const CANARY: RenderedChain = { name: "KUBE-PROXY-CANARY", rules: [] };

/** iptables prints two spaces before the counter's name. */
const DROP_INVALID =
  "-m conntrack --ctstate INVALID -m nfacct --nfacct-name  ct_state_invalid_dropped_pkts -j DROP";

/** Chains of table filter whose rules no Service changes. */
export function baseFilterChains(
  family: IpFamily,
  mark: number,
  localhostNodePorts: boolean,
  conntrackTcpLiberal: boolean,
): RenderedChain[] {
  const bit = hex(mark);
  return [
    {
      name: "KUBE-FIREWALL",
      // Without it, hosts on the node's link could reach what listens on its 127.0.0.1 only, as
      // route_localnet lets such packets in (CVE-2020-8558).
      rules:
        family === 4 && localhostNodePorts
          ? [
              '! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "block incoming localnet connections" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP',
            ]
          : [],
    },
    {
      name: "KUBE-FORWARD",
      rules: [
        // Where conntrack lets segments beyond the window pass as valid, nothing else need be dropped.
        ...(conntrackTcpLiberal ? [] : [DROP_INVALID]),
        `-m comment --comment "kubernetes forwarding rules" -m mark --mark ${bit}/${bit} -j ACCEPT`,
        '-m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
      ],
    },
    CANARY,
  ];
}

/** Chains of table nat whose rules no Service changes. */
export function baseNatChains(mark: number): RenderedChain[] {
  const bit = hex(mark);
  return [
    { name: "KUBE-MARK-MASQ", rules: [`-j MARK --set-xmark ${bit}/${bit}`] },
    {
      name: "KUBE-POSTROUTING",
      rules: [
        `-m mark ! --mark ${bit}/${bit} -j RETURN`,
        `-j MARK --set-xmark ${bit}/0x0`,
        '-m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
      ],
    },
    CANARY,
  ];
}

function hex(mark: number): string {
  return `0x${mark.toString(16)}`;
}
