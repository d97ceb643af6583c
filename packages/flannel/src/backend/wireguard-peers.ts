import { InputError } from "@cnilab/core";
import { type WireguardPeer, WireguardPeerLayer } from "@cnilab/linux";
import type { IpAddress, IpFamily, Ipv4Address, Ipv6Address, Prefix } from "@cnilab/net";
import type { WireguardConf } from "../conf/backend-conf.ts";
import { JsonObject } from "../conf/json-object.ts";
import { type Lease, type LeaseSide, sideOf } from "../lease/lease.ts";
import type { LeaseTable } from "../lease/lease-table.ts";

/** Backend data of wireguard, as flanneld spells it. */
export function wireguardData(publicKey: string, port: number): string {
  return JSON.stringify({ PublicKey: publicKey, Port: port });
}

/** What decides how a node makes peers of leases. */
export interface PeerOptions {
  readonly conf: WireguardConf;
  /** One tunnel a family, or one for both. */
  readonly carries: readonly IpFamily[];
  /** The node's own IPv6 address can be reached from outside its site. */
  readonly hasPublicIpv6: boolean;
}

/** The peer that a lease's node is (pkg/backend/wireguard/wireguard_network.go); `undefined` for none. */
export function peerOf(
  lease: Lease,
  { conf, carries, hasPublicIpv6 }: PeerOptions,
): WireguardPeer | undefined {
  if (lease.attributes.backendType !== "wireguard") return undefined;
  const allowedIps: Prefix[] = [];
  let publicKey: string | undefined;
  for (const family of carries) {
    const side = sideOf(lease, family);
    if (side === undefined) continue;
    allowedIps.push(side.subnet);
    publicKey = dataOf(side)?.publicKey ?? publicKey;
  }
  const outer = outerFamily(lease, conf, carries, hasPublicIpv6);
  const endpoint = endpointOf(lease, outer, outer === 4 ? conf.listenPort : conf.listenPortV6);
  if (publicKey === undefined || endpoint === undefined) return undefined;
  return {
    publicKey,
    ...(conf.psk === "" ? {} : { presharedKey: conf.psk }),
    endpoint,
    allowedIps,
    persistentKeepalive: conf.persistentKeepaliveInterval,
  };
}

/** The peers that the daemon comes to, for a tunnel that all nodes have. */
export function renderPeers(table: LeaseTable, options: PeerOptions): WireguardPeerLayer {
  const peers = new Map<string, WireguardPeer>();
  for (const steps of table.steps()) {
    for (const { what, lease } of steps) {
      const peer = peerOf(lease, options);
      if (peer === undefined) continue;
      // Whoever is set last has the addresses.
      peers.delete(peer.publicKey);
      if (what === "added") peers.set(peer.publicKey, peer);
    }
  }
  return new WireguardPeerLayer(peers.values());
}

/** The family of the packets outside. */
function outerFamily(
  lease: Lease,
  { mode }: WireguardConf,
  carries: readonly IpFamily[],
  hasPublicIpv6: boolean,
): IpFamily {
  if (mode === "separate") return carries[0] as IpFamily;
  if (mode === "ipv4") return 4;
  if (mode === "ipv6") return 6;
  // Whatever is most likely to get through (selectMode).
  const { publicIp, publicIpv6 } = lease.attributes;
  if (publicIpv6 === undefined) return 4;
  if (publicIp !== undefined && !isPrivate4(publicIp)) return 4;
  return !isPrivate6(publicIpv6) && hasPublicIpv6 ? 6 : 4;
}

function endpointOf(
  lease: Lease,
  family: IpFamily,
  defaultPort: number,
): { address: IpAddress; port: number } | undefined {
  const { publicIp, publicIpv6, backendData, backendV6Data } = lease.attributes;
  const address = family === 4 ? publicIp : publicIpv6;
  if (address === undefined) return undefined;
  const port = parse(family === 4 ? backendData : backendV6Data)?.port ?? 0;
  return { address, port: port || defaultPort };
}

function dataOf(side: LeaseSide): { publicKey: string } | undefined {
  const data = parse(side.data);
  return data?.publicKey === undefined ? undefined : { publicKey: data.publicKey };
}

function parse(data: string): { publicKey: string | undefined; port: number } | undefined {
  if (data === "null" || data === "") return undefined;
  try {
    const json = JsonObject.parse(data, "backend-data");
    return { publicKey: json.string("PublicKey"), port: json.integer("Port", 0, 65535) ?? 0 };
  } catch (error) {
    if (error instanceof InputError) return undefined; // "failed to unmarshal BackendData", and on
    throw error;
  }
}

/** RFC 1918 and link-local (pkg/ip/ipnet.go IsPrivate). */
function isPrivate4(a: Ipv4Address): boolean {
  return a >>> 24 === 10 || a >>> 20 === 0xac1 || a >>> 16 === 0xc0a8 || a >>> 16 === 0xa9fe;
}

/** fc00::/7 and fe80::/10. */
export function isPrivate6(a: Ipv6Address): boolean {
  return a.a >>> 25 === 0x7e || a.a >>> 22 === 0x3fa;
}
