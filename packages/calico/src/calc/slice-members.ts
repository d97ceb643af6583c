import type { EndpointSlice } from "@cnilab/core";
import { formatIp, Prefix, tryParseIp } from "@cnilab/net";

/** Label by which a slice tells its Service. */
const SERVICE_NAME = "kubernetes.io/service-name";

/** A slice's members of a Service's sets (`felix/serviceindex/serviceindex.go`): ready or not, an endpoint is one. */
export interface SliceMembers {
  /** `<namespace>/<name>`. */
  readonly service: string;
  readonly withPorts: readonly string[];
  readonly addresses: readonly string[];
}

/** What a slice adds to the sets of its Service; a port without a number adds none. */
export function sliceMembers({ metadata, endpoints, ports = [] }: EndpointSlice): SliceMembers {
  const addresses = endpoints.flatMap((endpoint) =>
    endpoint.addresses.flatMap((text) => tryParseIp(text) ?? []),
  );
  const numbered = ports.filter(({ port }) => port !== undefined);
  return {
    service: `${metadata.namespace ?? "default"}/${metadata.labels?.[SERVICE_NAME] ?? ""}`,
    withPorts: addresses.flatMap((ip) => {
      const text = formatIp(ip);
      return numbered.map(
        ({ protocol = "TCP", port }) => `${text},${protocol.toLowerCase()}:${port}`,
      );
    }),
    addresses: addresses.map((ip) => Prefix.host(ip).toString()),
  };
}
