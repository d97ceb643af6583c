import type { Origin, Service, ServicePort } from "@cnilab/core";
import { familyOf, formatEndpoint, formatIp, type IpAddress, tryParsePrefix } from "@cnilab/net";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { AddressPoolError } from "../address-pools.ts";

/** Rules on the load balancer's machine for one address of one Service, as iptables-restore takes them. */
export interface ForwardingRules {
  readonly table: "raw" | "nat";
  /** The chain that has them; PREROUTING leads to it. */
  readonly chain: string;
  /** How PREROUTING does. */
  readonly jump: string;
  readonly rules: readonly string[];
}

/** The chain of a Service's address. */
export function chainName(key: string, address: IpAddress): string {
  const hash = bytesToHex(sha256(utf8ToBytes(`${key} ${formatIp(address)}`)));
  return `LB-${hash.slice(0, 16).toUpperCase()}`;
}

/** Packets go on as they are: only what nobody asked for ends here. */
export function passThrough(key: string, { spec }: Service, address: IpAddress): ForwardingRules {
  const chain = chainName(key, address);
  const allowed = (spec.ports ?? []).flatMap((port) =>
    sources(spec.loadBalancerSourceRanges, address).map(
      (from) => `${from}${match(port)} -j RETURN`,
    ),
  );
  return {
    table: "raw",
    chain,
    jump: `-d ${formatIp(address)} -j ${chain}`,
    rules: [...allowed, "-j DROP"],
  };
}

/** @throws AddressPoolError for a port that has no node port */
export function requireNodePorts({ spec }: Service): void {
  const without = (spec.ports ?? []).find(({ nodePort }) => nodePort === undefined);
  if (without === undefined) return;
  throw new AddressPoolError(
    `port ${without.port} has no node port, which this load balancer sends packets to`,
  );
}

/**
 * Connections go to a node port, from this machine's own address; nodes by chance, each connection for itself.
 * @param nodes addresses of healthy nodes
 */
export function translate(
  key: string,
  { spec }: Service,
  address: IpAddress,
  nodes: readonly IpAddress[],
): ForwardingRules {
  const chain = chainName(key, address);
  const rules: string[] = [];
  for (const port of spec.ports ?? []) {
    const { nodePort = 0 } = port;
    for (const from of sources(spec.loadBalancerSourceRanges, address)) {
      nodes.forEach((node, i) => {
        const chance = i === nodes.length - 1 ? "" : ` ${oneIn(nodes.length - i)}`;
        const to = formatEndpoint(node, nodePort);
        rules.push(`${from}${match(port)}${chance} -j DNAT --to-destination ${to}`);
      });
    }
  }
  return { table: "nat", chain, jump: `-d ${formatIp(address)} -j ${chain}`, rules };
}

/** `iptables-restore --noflush` input that makes the chain what the rules say. */
export function restoreText({ table, chain, rules }: ForwardingRules): string {
  const lines = rules.map((rule) => `-A ${chain} ${rule}\n`).join("");
  return `*${table}\n:${chain} - [0:0]\n${lines}COMMIT\n`;
}

/** What drops and traces name as the cause. */
export function originOf({ metadata }: Service): Origin {
  const { namespace = "default", name } = metadata;
  return { kind: "Service", namespace, name, detail: "load balancer" };
}

function match({ protocol = "TCP", port }: ServicePort): string {
  const name = protocol.toLowerCase();
  return `-p ${name} -m ${name} --dport ${port}`;
}

/** Beginnings of rules, one for each range of the address's family. */
function sources(ranges: readonly string[] | undefined, address: IpAddress): readonly string[] {
  if (ranges === undefined || ranges.length === 0) return [""];
  const family = familyOf(address);
  return ranges
    .filter((r) => tryParsePrefix(r.trim())?.family === family)
    .map((r) => `-s ${r.trim()} `);
}

function oneIn(n: number): string {
  return `-m statistic --mode random --probability ${(1 / n).toFixed(10)}`;
}
