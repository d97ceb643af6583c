import type { Endpoint, EndpointSlice, Protocol } from "@cnilab/core";
import { compareIp, formatEndpoint, type IpAddress, tryParseIp } from "@cnilab/net";

/** Best first: so they stand in the slots (pkg/loadbalancer BackendState). */
export const BACKEND_STATES = [
  "active",
  "terminating",
  /** In maps it is no different from `terminating`, but nothing new is ever sent to it. */
  "terminating-not-serving",
  "quarantined",
  "maintenance",
] as const;

export type BackendState = (typeof BACKEND_STATES)[number];

/** As `lb4_backend.flags` has them. */
export const BACKEND_STATE_FLAGS: Readonly<Record<BackendState, number>> = {
  active: 0,
  terminating: 1,
  "terminating-not-serving": 1,
  quarantined: 2,
  maintenance: 3,
};

/** Cilium's own default, where no annotation says otherwise. */
export const DEFAULT_BACKEND_WEIGHT = 100;

export interface Backend {
  readonly address: IpAddress;
  readonly port: number;
  readonly protocol: Protocol;
  readonly node: string;
  readonly portNames: readonly string[];
  readonly forZones: readonly string[];
  readonly state: BackendState;
}

/** What a backend is known by, whichever Services it serves. */
export function backendKey({ address, port, protocol }: Omit<Backend, "node" | "state">): string {
  return `${formatEndpoint(address, port)}/${protocol}`;
}

/** Slots are filled in this order (pkg/loadbalancer/reconciler sortedBackends). */
export function compareBackends(x: Backend, y: Backend): number {
  return (
    BACKEND_STATES.indexOf(x.state) - BACKEND_STATES.indexOf(y.state) ||
    compareIp(x.address, y.address) ||
    x.port - y.port
  );
}

/** Backends of a Service's slices. An address that stands twice is taken as the last slice by name has it. */
export function backendsOf(slices: readonly EndpointSlice[]): Backend[] {
  const found = new Map<string, Backend>();
  const byName = [...slices].sort((x, y) => (x.metadata.name < y.metadata.name ? -1 : 1));
  for (const { addressType, endpoints, ports = [] } of byName) {
    if (addressType === "FQDN") continue;
    for (const endpoint of endpoints) {
      for (const address of endpoint.addresses.flatMap((text) => tryParseIp(text) ?? [])) {
        for (const { name = "", port, protocol = "TCP" } of ports) {
          if (port === undefined) continue;
          const backend: Backend = {
            address,
            port,
            protocol,
            node: endpoint.nodeName ?? "",
            portNames: name === "" ? [] : [name],
            forZones: (endpoint.hints?.forZones ?? []).map((zone) => zone.name),
            state: stateOf(endpoint),
          };
          const known = found.get(backendKey(backend));
          found.set(backendKey(backend), {
            ...backend,
            portNames: [...new Set([...(known?.portNames ?? []), ...backend.portNames])],
          });
        }
      }
    }
  }
  return [...found.values()];
}

/** As kube-proxy takes conditions: what is ready is ready, even while it ends. */
function stateOf({ conditions = {} }: Endpoint): BackendState {
  const { ready = true, terminating = false } = conditions;
  if (ready) return "active";
  if (!terminating) return "maintenance";
  return (conditions.serving ?? ready) ? "terminating" : "terminating-not-serving";
}
