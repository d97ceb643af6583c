import type { Iptables } from "@cnilab/linux";
import { formatIp } from "@cnilab/net";
import type { IpsecConnection } from "../fastdp/ipsec.ts";
import { appendUnique, clearChain } from "../net/go-iptables.ts";

/** What is to leave encrypted, and what came so. */
export const IPSEC_MARK = 0x20000;
const MARK = "0x20000/0x20000";

const IN_CHAIN = "WEAVE-IPSEC-IN";
const IN_MARK_CHAIN = "WEAVE-IPSEC-IN-MARK";
const OUT_CHAIN = "WEAVE-IPSEC-OUT";
const OUT_MARK_CHAIN = "WEAVE-IPSEC-OUT-MARK";

type Chain = readonly [table: string, chain: string];
type Rule = readonly [...chain: Chain, rule: string];

const CHAINS: readonly Chain[] = [
  ["mangle", IN_CHAIN],
  ["mangle", IN_MARK_CHAIN],
  ["filter", IN_CHAIN],
  ["mangle", OUT_CHAIN],
  ["mangle", OUT_MARK_CHAIN],
];

/** Of all connections. The last one: what is marked and has no policy must not leave plain. */
const RULES: readonly Rule[] = [
  ["mangle", "INPUT", `-j ${IN_CHAIN}`],
  ["mangle", IN_MARK_CHAIN, `-j MARK --set-xmark ${MARK}`],
  ["filter", "INPUT", `-j ${IN_CHAIN}`],
  ["mangle", "OUTPUT", `-j ${OUT_CHAIN}`],
  ["mangle", OUT_MARK_CHAIN, `-j MARK --set-xmark ${MARK}`],
  ["filter", "OUTPUT", `! -p esp -m policy --dir out --pol none -m mark --mark ${MARK} -j DROP`],
];

/** Chains and rules of all connections, and none of any (`resetIPTables`). */
export function resetIpsecRules(iptables: Iptables): void {
  for (const [table, chain] of CHAINS) clearChain(iptables, table, chain);
  for (const [table, chain, rule] of RULES) {
    appendUnique(iptables, table, chain, rule);
  }
}

/** The same without anything left. */
export function removeIpsecRules(iptables: Iptables): void {
  for (const [table, chain] of CHAINS) clearChain(iptables, table, chain);
  for (const rule of RULES) remove(iptables, rule);
  for (const [table, chain] of CHAINS) iptables.deleteChain(table, chain);
}

/** What comes by one connection's tunnel is let in encrypted alone, and what leaves by it is marked (`installDropNonEncrypted`). */
export function addConnectionRules(
  iptables: Iptables,
  connection: IpsecConnection,
  spi: number,
): void {
  const [markEsp, ...others] = connectionRules(connection, spi);
  appendUnique(iptables, ...markEsp);
  for (const rule of others) iptables.append(...rule);
}

export function removeConnectionRules(
  iptables: Iptables,
  connection: IpsecConnection,
  spi: number,
): void {
  for (const rule of connectionRules(connection, spi)) remove(iptables, rule);
}

function connectionRules(
  { localAddress, remoteAddress, remotePort }: IpsecConnection,
  spi: number,
): [Rule, ...Rule[]] {
  const [local, remote] = [formatIp(localAddress), formatIp(remoteAddress)];
  const inwards = `-s ${remote} -d ${local}`;
  const outwards = `-s ${local} -d ${remote}`;
  const tunnel = `-p udp --dport ${remotePort}`;
  return [
    [
      "mangle",
      IN_CHAIN,
      `${inwards} -p esp -m esp --espspi 0x${spi.toString(16)} -j ${IN_MARK_CHAIN}`,
    ],
    ["filter", IN_CHAIN, `${inwards} ${tunnel} -m mark ! --mark ${MARK} -j DROP`],
    ["mangle", OUT_CHAIN, `${outwards} ${tunnel} -j ${OUT_MARK_CHAIN}`],
  ];
}

function remove(iptables: Iptables, rule: Rule): void {
  if (iptables.check(...rule)) iptables.delete(...rule);
}
