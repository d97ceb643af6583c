import type { NetNamespace } from "@cnilab/linux";
import {
  formatEndpoint,
  formatIp,
  type InterfaceAddress,
  isUnspecified,
  tryParseIp,
} from "@cnilab/net";
import { failure } from "../failure.ts";
import { quote } from "../go-text.ts";
import { nftRules } from "../nft-rules.ts";
import type { PortMapEntry, PortmapConfig } from "./portmap-config.ts";

const TABLE = "cni_hostport";

/** Chains that rules of containers are in; the second one only old versions used. */
const CONTAINER_CHAINS = ["hostports", "hostip_hostports", "masquerading"];

/** Rules of a container carry its ID as comment (plugins/meta/portmap/portmap_nftables.go). @throws CniError */
export function forwardPorts(
  host: NetNamespace,
  config: PortmapConfig,
  ip: InterfaceAddress,
): void {
  const family = typeof ip.address === "number" ? "ip" : "ip6";
  const conditions = family === "ip" ? config.conditionsV4 : config.conditionsV6;
  const comment = `comment "${config.containerId}"`;
  const lines = skeleton(
    `${family} ${TABLE}`,
    conditions.map((c) => `${c} `).join(""),
    config.snat,
  );
  for (const entry of config.entries) {
    if (!isFor(entry, ip)) continue;
    const to = formatEndpoint(ip.address, entry.containerPort);
    lines.push(
      `add rule ${family} ${TABLE} hostports ${hostIpMatch(entry, family)}` +
        `${entry.protocol} dport ${entry.hostPort} dnat to ${to} ${comment}`,
    );
  }
  if (config.snat) {
    for (const from of masqueradedSources(config, ip)) {
      lines.push(
        `add rule ${family} ${TABLE} masquerading ${family} saddr ${from} ` +
          `${family} daddr ${formatIp(ip.address)} masquerade ${comment}`,
      );
    }
  }
  host.nftables.apply(`${lines.join("\n")}\n`);
}

export function checkPorts(host: NetNamespace, config: PortmapConfig, ip: InterfaceAddress): void {
  const ports = config.entries.filter((entry) => isFor(entry, ip)).length;
  expectRules(host, config, ip, "hostports", ports);
  if (config.snat) {
    expectRules(host, config, ip, "masquerading", masqueradedSources(config, ip).length);
  }
}

export function unforwardPorts(host: NetNamespace, config: PortmapConfig): void {
  for (const family of ["ip", "ip6"] as const) {
    const deletions: string[] = [];
    for (const chain of CONTAINER_CHAINS) {
      for (const rule of nftRules(host, family, TABLE, chain)) {
        if (rule.comment !== config.containerId) continue;
        deletions.push(`delete rule ${family} ${TABLE} ${chain} handle ${rule.handle}\n`);
      }
    }
    if (deletions.length > 0) host.nftables.apply(deletions.join(""));
  }
}

/** What all containers share; the rules in it are made anew each time. */
function skeleton(table: string, conditions: string, snat: boolean): string[] {
  const entry = `${conditions}fib daddr type local jump hostports_all`;
  const lines = [
    `add table ${table} { comment "CNI portmap plugin" ; }`,
    `add chain ${table} hostports`,
    `add chain ${table} hostip_hostports`,
    `add chain ${table} hostports_all`,
    `flush chain ${table} hostports_all`,
    `add rule ${table} hostports_all jump hostip_hostports`,
    `add rule ${table} hostports_all jump hostports`,
    `add chain ${table} prerouting { type nat hook prerouting priority dstnat ; }`,
    `flush chain ${table} prerouting`,
    `add rule ${table} prerouting ${entry}`,
    // "dstnat" is a name for prerouting chains only.
    `add chain ${table} output { type nat hook output priority -100 ; }`,
    `flush chain ${table} output`,
    `add rule ${table} output ${entry}`,
  ];
  if (snat) {
    lines.push(`add chain ${table} masquerading { type nat hook postrouting priority srcnat ; }`);
  }
  return lines;
}

/** A mapping for an address of the host holds for that family only. */
function isFor(entry: PortMapEntry, ip: InterfaceAddress): boolean {
  if (!entry.hostIP) return true;
  return (typeof tryParseIp(entry.hostIP) === "number") === (typeof ip.address === "number");
}

function hostIpMatch({ hostIP }: PortMapEntry, family: string): string {
  const ip = hostIP ? tryParseIp(hostIP) : undefined;
  return ip === undefined || isUnspecified(ip) ? "" : `${family} daddr ${hostIP} `;
}

/** The container itself and the node's 127.0.0.1, or everybody. */
function masqueradedSources(config: PortmapConfig, { address }: InterfaceAddress): string[] {
  const isV4 = typeof address === "number";
  if (config.masqAll) return [isV4 ? "0.0.0.0/0" : "::/0"];
  return isV4 ? [formatIp(address), "127.0.0.1"] : [formatIp(address)];
}

function expectRules(
  host: NetNamespace,
  config: PortmapConfig,
  ip: InterfaceAddress,
  chain: string,
  count: number,
): void {
  const family = typeof ip.address === "number" ? "ip" : "ip6";
  const own = nftRules(host, family, TABLE, chain).filter((r) => r.comment === config.containerId);
  if (own.length < count) throw failure(`missing hostport rules in ${quote(chain)} chain`);
}
