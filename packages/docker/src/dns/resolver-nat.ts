import type { NetNamespace } from "@cnilab/linux";
import { formatEndpoint, formatIp, type IpAddress } from "@cnilab/net";

const OUTPUT = "DOCKER_OUTPUT";
const POSTROUTING = "DOCKER_POSTROUTING";

/** Where the embedded resolver listens in a container: port 53 belongs to whoever is in there. */
export interface ResolverSockets {
  readonly address: IpAddress;
  readonly udpPort: number;
  readonly tcpPort: number;
}

/** Leads questions to port 53 of the resolver's address to its sockets, and calls their answers port 53 (resolver_unix.go `setupNAT`). */
export function programResolverNat(
  netns: NetNamespace,
  backend: "iptables" | "nftables",
  sockets: ResolverSockets,
): void {
  if (backend === "nftables") programNftables(netns, sockets);
  else programIptables(netns, sockets);
}

function programIptables(
  netns: NetNamespace,
  { address, udpPort, tcpPort }: ResolverSockets,
): void {
  const iptables = netns.iptables(4);
  const own = formatIp(address);
  for (const [builtin, chain] of [
    ["OUTPUT", OUTPUT],
    ["POSTROUTING", POSTROUTING],
  ] as const) {
    if (iptables.hasChain("nat", chain)) {
      iptables.flush("nat", chain);
      continue;
    }
    iptables.newChain("nat", chain);
    iptables.insert("nat", builtin, `-d ${own} -j ${chain}`);
  }
  for (const [protocol, port] of [
    ["udp", udpPort],
    ["tcp", tcpPort],
  ] as const) {
    const to = formatEndpoint(address, port);
    iptables.insert(
      "nat",
      OUTPUT,
      `-d ${own} -p ${protocol} --dport 53 -j DNAT --to-destination ${to}`,
    );
    iptables.insert(
      "nat",
      POSTROUTING,
      `-s ${own} -p ${protocol} --sport ${port} -j SNAT --to-source :53`,
    );
  }
}

function programNftables(
  netns: NetNamespace,
  { address, udpPort, tcpPort }: ResolverSockets,
): void {
  const table = "ip docker-dns";
  const own = formatIp(address);
  const base = (chain: string, hook: string, priority: string) =>
    `add chain ${table} ${chain} { type nat hook ${hook} priority ${priority}; policy accept; }`;
  const commands = [
    `add table ${table}`,
    `delete table ${table}`,
    `add table ${table}`,
    base("dns-dnat", "output", "dstnat"),
    base("dns-snat", "postrouting", "srcnat"),
  ];
  for (const [protocol, port] of [
    ["udp", udpPort],
    ["tcp", tcpPort],
  ] as const) {
    commands.push(
      `add rule ${table} dns-dnat ip daddr ${own} ${protocol} dport 53 counter dnat to ${formatEndpoint(address, port)}`,
      `add rule ${table} dns-snat ip saddr ${own} ${protocol} sport ${port} counter snat to :53`,
    );
  }
  netns.nftables.apply(`${commands.join("\n")}\n`);
}
