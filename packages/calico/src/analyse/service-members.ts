import type { EndpointSlice, Protocol, Service } from "@cnilab/core";
import { Prefix, tryParseIp } from "@cnilab/net";
import type { PeerTerm, PortTerm } from "@cnilab/network-policy";
import { LABEL_NAMESPACE } from "../conversion/labels.ts";

/** Some of a Service's endpoints, with the ports that all of these have. */
export interface ServiceMembers {
  readonly peers: PeerTerm;
  readonly ports: readonly PortTerm[];
}

const SERVICE_NAME = "kubernetes.io/service-name";

/**
 * Who is behind Services: what EndpointSlices say, ready or not (`felix/serviceindex/serviceindex.go`). Manifests have none of
 * them; there it is whom the Service selects.
 */
export class ServiceIndex {
  readonly #services = new Map<string, Service>();
  readonly #slices = new Map<string, EndpointSlice[]>();

  constructor(services: readonly Service[], slices: readonly EndpointSlice[]) {
    for (const service of services) {
      const { namespace = "default", name } = service.metadata;
      this.#services.set(`${namespace}/${name}`, service);
    }
    for (const slice of slices) {
      const { namespace = "default", labels = {} } = slice.metadata;
      const key = `${namespace}/${labels[SERVICE_NAME]}`;
      const known = this.#slices.get(key);
      if (known === undefined) this.#slices.set(key, [slice]);
      else known.push(slice);
    }
  }

  membersOf(namespace: string, name: string): readonly ServiceMembers[] {
    const key = `${namespace}/${name}`;
    const slices = this.#slices.get(key);
    if (slices !== undefined) return slices.map(membersOfSlice);
    const service = this.#services.get(key);
    return service === undefined ? [] : membersBySelector(namespace, service);
  }
}

function membersOfSlice({ endpoints, ports = [] }: EndpointSlice): ServiceMembers {
  const addresses = endpoints.flatMap((each) => each.addresses);
  const cidrs = addresses.flatMap((text) => {
    const address = tryParseIp(text);
    return address === undefined ? [] : [Prefix.host(address)];
  });
  return {
    peers: { kind: "block", cidrs, except: [] },
    ports: ports.flatMap(({ port, protocol = "TCP" }) =>
      port === undefined ? [] : [{ protocol, first: port, last: port }],
    ),
  };
}

function membersBySelector(
  namespace: string,
  { spec: { selector = {}, ports = [] } }: Service,
): readonly ServiceMembers[] {
  if (Object.keys(selector).length === 0) return [];
  const labels = Object.entries({ ...selector, [LABEL_NAMESPACE]: namespace });
  const where = {
    op: "all",
    of: labels.map(([key, value]) => ({ op: "in", key, values: [value] }) as const),
  } as const;
  return [
    {
      peers: { kind: "labels", where },
      ports: ports.map(({ port, targetPort = port, protocol = "TCP" }) =>
        portTerm(targetPort, protocol),
      ),
    },
  ];
}

function portTerm(port: number | string, protocol: Protocol): PortTerm {
  return typeof port === "string"
    ? { protocol, portName: port }
    : { protocol, first: port, last: port };
}
