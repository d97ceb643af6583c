import { type ApiClient, inNaturalOrder, type Node } from "@cnilab/core";
import type * as v3 from "../api/v3.ts";
import { NODE_ANNOTATIONS } from "../calc/l3-routes/node-annotations.ts";
import { annotateNode } from "../routing/startup.ts";

/** So many nodes, so that one may fail. */
const COUNT = 2;
/** The label and the cluster id of the example in Calico's documentation ("Configure BGP peering"). */
const LABEL = "route-reflector";
const CLUSTER_ID = "244.0.0.1";

const API_VERSION = "projectcalico.org/v3";

/**
 * What an administrator does to go from the mesh to route reflectors: the mesh is switched off, two nodes become reflectors, and
 * every node peers with these. What the input brings of it stays as it is.
 */
export function setUpReflectors(api: ApiClient, name: string): void {
  const configuration: v3.BGPConfiguration = {
    apiVersion: API_VERSION,
    kind: "BGPConfiguration",
    metadata: { name: "default" },
    spec: { nodeToNodeMeshEnabled: false },
  };
  if (api.get("BGPConfiguration.projectcalico.org", "default") === undefined) {
    api.create(configuration);
  }
  const peer: v3.BGPPeer = {
    apiVersion: API_VERSION,
    kind: "BGPPeer",
    metadata: { name: "peer-with-route-reflectors" },
    spec: { nodeSelector: "all()", peerSelector: `${LABEL} == 'true'` },
  };
  if (api.get("BGPPeer.projectcalico.org", peer.metadata.name) === undefined) api.create(peer);
  const nodes = [...api.list("Node")];
  if (nodes.filter(isReflector).length >= COUNT) return;
  const first = nodes
    .map(({ metadata }) => metadata.name)
    .sort(inNaturalOrder)
    .slice(0, COUNT);
  if (!first.includes(name)) return;
  annotateNode(api, name, { [NODE_ANNOTATIONS.routeReflectorClusterId]: CLUSTER_ID });
  api.update("Node", name, (node) => {
    const { labels } = node.metadata;
    if (labels?.[LABEL] === "true") return node;
    return { ...node, metadata: { ...node.metadata, labels: { ...labels, [LABEL]: "true" } } };
  });
}

function isReflector({ metadata }: Node): boolean {
  return metadata.annotations?.[NODE_ANNOTATIONS.routeReflectorClusterId] !== undefined;
}
