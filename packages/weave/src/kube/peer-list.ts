import type { ConfigMap } from "@cnilab/core";
import type { PeerName } from "../mesh/peer-name.ts";

/** Where the peers of a cluster are written down. */
export const CONFIG_MAP_NAMESPACE = "kube-system";
export const CONFIG_MAP_NAME = "weave-net";
export const CONFIG_MAP_KEY: string = `${CONFIG_MAP_NAMESPACE}/${CONFIG_MAP_NAME}`;
const PREFIX = "kube-peers.weave.works/";
const PEERS_ANNOTATION = `${PREFIX}peers`;

export interface ListedPeer {
  readonly PeerName: PeerName;
  readonly NodeName: string;
}

/** Lists by the object that they are in: all nodes read the same one. */
const parsed = new WeakMap<ConfigMap, readonly ListedPeer[]>();

/** Peers that have ever started, and are not removed yet (prog/kube-utils/peerlist.go). What is no list is none. */
export function listedPeers(map: ConfigMap): readonly ListedPeer[] {
  let peers = parsed.get(map);
  if (peers === undefined) {
    peers = parse(map.metadata.annotations?.[PEERS_ANNOTATION]);
    parsed.set(map, peers);
  }
  return peers;
}

function parse(text: string | undefined): readonly ListedPeer[] {
  if (text === undefined) return [];
  try {
    const list = JSON.parse(text) as { readonly Peers?: unknown };
    return Array.isArray(list?.Peers) ? (list.Peers as ListedPeer[]) : [];
  } catch {
    return [];
  }
}

export function withPeers(map: ConfigMap, peers: readonly ListedPeer[]): ConfigMap {
  return withAnnotation(map, PEERS_ANNOTATION, JSON.stringify({ Peers: peers }));
}

/** Who says that it takes over what a peer had. */
export function reclaimer(map: ConfigMap, peer: PeerName): PeerName | undefined {
  return map.metadata.annotations?.[keyOf(peer)];
}

export function withReclaimer(map: ConfigMap, peer: PeerName, by: PeerName): ConfigMap {
  return withAnnotation(map, keyOf(peer), by);
}

/** What is said of a peer that is removed, and what it meant to remove itself. */
export function withoutPeer(map: ConfigMap, peer: PeerName): ConfigMap {
  const annotations = Object.fromEntries(
    Object.entries(map.metadata.annotations ?? {}).filter(
      ([key, value]) => key !== keyOf(peer) && value !== peer,
    ),
  );
  const left = listedPeers(map).filter(({ PeerName }) => PeerName !== peer);
  return withPeers({ ...map, metadata: { ...map.metadata, annotations } }, left);
}

/** Keys of annotations have no colons (prog/kube-utils/annotations.go cleanKey). */
function keyOf(peer: PeerName): string {
  return `${PREFIX}${peer.replace(/[^A-Za-z0-9\-_./]/g, "_")}`;
}

function withAnnotation(map: ConfigMap, key: string, value: string): ConfigMap {
  const { metadata } = map;
  return {
    ...map,
    metadata: { ...metadata, annotations: { ...metadata.annotations, [key]: value } },
  };
}
