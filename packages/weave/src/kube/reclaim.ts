import type { ApiClient, ConfigMap } from "@cnilab/core";
import type { PeerName } from "../mesh/peer-name.ts";
import {
  CONFIG_MAP_KEY,
  CONFIG_MAP_NAME,
  CONFIG_MAP_NAMESPACE,
  listedPeers,
  reclaimer,
  withoutPeer,
  withPeers,
  withReclaimer,
} from "./peer-list.ts";

export interface Reclaimer {
  readonly api: ApiClient;
  readonly peer: PeerName;
  readonly node: string;
  /** `weave rmpeer`. */
  readonly removePeer: (peer: PeerName) => void;
}

/** Whether the cluster knows a peer of that name (`kube-utils -check-peer-new`). */
export function isListed(api: ApiClient, peer: PeerName): boolean {
  return listedPeers(configMap(api)).some(({ PeerName }) => PeerName === peer);
}

/** Writes down who we are, and takes over what peers had whose nodes are gone (prog/kube-utils/main.go). */
export function reclaim(of: Reclaimer): void {
  configMap(of.api);
  of.api.update("ConfigMap", CONFIG_MAP_KEY, (map) => {
    const peers = listedPeers(map);
    if (peers.some(({ PeerName }) => PeerName === of.peer)) return map;
    return withPeers(map, [...peers, { PeerName: of.peer, NodeName: of.node }]);
  });
  reclaimRemovedPeers(of);
}

/** What peers had whose nodes are gone becomes ours, unless somebody else has said that it takes it. */
export function reclaimRemovedPeers({ api, peer: ourself, node, removePeer }: Reclaimer): void {
  const gone = listedPeers(configMap(api)).filter(
    ({ PeerName, NodeName }) =>
      PeerName !== ourself && (NodeName === node || api.get("Node", NodeName) === undefined),
  );
  for (const { PeerName } of gone) {
    let isOurs = false;
    api.update("ConfigMap", CONFIG_MAP_KEY, (map) => {
      const peers = listedPeers(map);
      isOurs = peers.some((peer) => peer.PeerName === PeerName);
      const other = reclaimer(map, PeerName);
      // One that is gone itself will not do what it meant to.
      if (other !== undefined && other !== ourself) {
        isOurs &&= !peers.some((peer) => peer.PeerName === other);
      }
      return isOurs && other !== ourself ? withReclaimer(map, PeerName, ourself) : map;
    });
    if (!isOurs) continue;
    removePeer(PeerName);
    api.update("ConfigMap", CONFIG_MAP_KEY, (map) => withoutPeer(map, PeerName));
  }
}

function configMap(api: ApiClient): ConfigMap {
  return (
    api.get("ConfigMap", CONFIG_MAP_KEY) ??
    api.create<"ConfigMap">({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: CONFIG_MAP_NAME, namespace: CONFIG_MAP_NAMESPACE },
    })
  );
}
