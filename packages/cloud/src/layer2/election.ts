import type { EndpointSlice, Node, Service } from "@cnilab/core";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";

const EXCLUDE_LABEL = "node.kubernetes.io/exclude-from-external-load-balancers";

/**
 * The node that announces a Service's addresses: each speaker works it out by itself and gets the same answer, by the lowest
 * SHA-256 of `NODE#ADDRESS` (MetalLB speaker/layer2_controller.go `ShouldAnnounce`). Nobody does while the Service has no
 * endpoint; with external policy Local only nodes that have one of their own can.
 * @param address the Service's first one, as text
 * @param alive nodes whose speaker is there
 */
export function electedNode(
  service: Service,
  address: string,
  slices: readonly EndpointSlice[],
  nodes: ReadonlyMap<string, Node>,
  alive: ReadonlySet<string>,
): string | undefined {
  const serving = slices.flatMap((slice) => slice.endpoints).filter(canServe);
  if (serving.length === 0) return undefined;
  const local = service.spec.externalTrafficPolicy === "Local";
  const withEndpoint = new Set(serving.map(({ nodeName }) => nodeName));
  let best: { readonly name: string; readonly hash: string } | undefined;
  for (const name of alive) {
    const node = nodes.get(name);
    if (node === undefined || !isUsable(node) || (local && !withEndpoint.has(name))) continue;
    const hash = bytesToHex(sha256(utf8ToBytes(`${name}#${address}`)));
    if (best === undefined || hash < best.hash) best = { name, hash };
  }
  return best?.name;
}

/** `EndpointCanServe` of MetalLB internal/k8s/epslices. */
export function canServe({ conditions }: EndpointSlice["endpoints"][number]): boolean {
  return conditions?.serving ?? conditions?.ready ?? true;
}

/** Neither kept from load balancers by its label, nor without a network. */
export function isUsable({ metadata, status }: Node): boolean {
  if (metadata.labels?.[EXCLUDE_LABEL] !== undefined) return false;
  return !(status?.conditions ?? []).some(
    ({ type, status: is }) => type === "NetworkUnavailable" && is === "True",
  );
}
