import { type WireguardPeer, WireguardPeerLayer } from "@cnilab/linux";
import { familyOf, type IpAddress, Prefix, tryParseIp } from "@cnilab/net";
import { CiliumNodes } from "../agent/cilium-nodes.ts";
import type { ClusterCilium } from "../agent/cluster-cilium.ts";
import { WIREGUARD_KEY_ANNOTATION } from "../agent/own-cilium-node.ts";
import { ClusterSecurity } from "../agent/policy/cluster-security.ts";
import type { CiliumNode } from "../api/v2/node.ts";
import type { IpCache, IpCacheEntry } from "../identity/ip-cache.ts";
import { WIREGUARD_PORT } from "./wireguard-device.ts";

/**
 * The peers of all nodes, worked out once (pkg/wireguard/agent/agent.go UpdatePeer, OnIPIdentityCacheChange): each node that has told its key, with its
 * own addresses, and with native routing with all that the ipcache has behind it; tunnels' packets go from node to node.
 */
export class ClusterWireguard {
  readonly #cluster: ClusterCilium;
  readonly #nodes: CiliumNodes;
  readonly #listeners = new Set<(peers: WireguardPeerLayer) => void>();
  /** Ranges behind a node, by its address. */
  readonly #behind = new Map<IpAddress, Map<string, Prefix>>();
  #layer: WireguardPeerLayer | undefined;
  #isDue = false;
  #listens = false;

  constructor(cluster: ClusterCilium) {
    this.#cluster = cluster;
    this.#nodes = cluster.part(CiliumNodes);
  }

  /** Tells what there is, soon, and each change. @returns what ends that */
  listen(listener: (peers: WireguardPeerLayer) => void): () => void {
    this.#listeners.add(listener);
    if (!this.#listens) this.#start();
    if (this.#layer === undefined) this.#schedule();
    else listener(this.#layer);
    return () => this.#listeners.delete(listener);
  }

  #start(): void {
    this.#listens = true;
    this.#nodes.listen(() => this.#schedule());
    if (this.#cluster.config.routing.mode === "tunnel") return;
    const { endpoints, ranges } = this.#cluster.part(ClusterSecurity).policies.ipcache;
    this.#follow(endpoints);
    this.#follow(ranges);
  }

  #follow(cache: IpCache): void {
    cache.listen((prefix, entry, old) => {
      const now = hostOf(entry);
      const before = hostOf(old);
      if (now === before) return;
      if (before !== undefined) this.#behind.get(before)?.delete(String(prefix));
      if (now !== undefined) {
        let behind = this.#behind.get(now);
        if (behind === undefined) {
          behind = new Map();
          this.#behind.set(now, behind);
        }
        behind.set(String(prefix), prefix);
      }
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.#cluster.clock.schedule(0, () => {
      this.#isDue = false;
      this.#update();
    });
  }

  #update(): void {
    const peers = [...this.#nodes.all.values()]
      .map((node) => this.#peerOf(node))
      .filter((peer) => peer !== undefined);
    const before = this.#layer?.peers;
    if (before?.size === peers.length && peers.every((p) => same(p, before.get(p.publicKey)))) {
      return;
    }
    // Whoever is as before stays the same object: its handshake, and where it was heard of, are kept by that.
    const kept = peers.map((peer) => {
      const old = before?.get(peer.publicKey);
      return same(peer, old) ? (old as WireguardPeer) : peer;
    });
    this.#layer = new WireguardPeerLayer(kept);
    for (const listener of this.#listeners) listener(this.#layer);
  }

  /** Nothing for a node without a key or address. */
  #peerOf(node: CiliumNode): WireguardPeer | undefined {
    const { families, wireguard } = this.#cluster.config;
    const publicKey = node.metadata.annotations?.[WIREGUARD_KEY_ANNOTATION];
    const internal = (node.spec.addresses ?? [])
      .filter(({ type }) => type === "InternalIP")
      .map(({ ip }) => tryParseIp(ip ?? ""))
      .filter((a) => a !== undefined && families.includes(familyOf(a)))
      .map((a) => a as IpAddress);
    const address = internal.find((a) => familyOf(a) === 4) ?? internal[0];
    if (publicKey === undefined || address === undefined) return undefined;
    const behind = internal.flatMap((a) => [...(this.#behind.get(a)?.values() ?? [])]);
    return {
      publicKey,
      endpoint: { address, port: WIREGUARD_PORT },
      allowedIps: [...behind, ...internal.map((a) => Prefix.host(a))],
      persistentKeepalive: wireguard?.persistentKeepalive ?? 0,
    };
  }
}

function hostOf(entry: IpCacheEntry | undefined): IpAddress | undefined {
  return entry?.tunnelEndpoint;
}

function same(x: WireguardPeer, y: WireguardPeer | undefined): boolean {
  return (
    y !== undefined &&
    x.endpoint?.address === y.endpoint?.address &&
    x.allowedIps.length === y.allowedIps.length &&
    x.allowedIps.every((prefix, i) => prefix.equals(y.allowedIps[i] as Prefix))
  );
}
