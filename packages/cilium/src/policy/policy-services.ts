import type { EndpointSlice, Service } from "@cnilab/core";
import { type IpAddress, tryParseIp } from "@cnilab/net";
import type { PolicyService } from "./to-services.ts";

const SERVICE_NAME_LABEL = "kubernetes.io/service-name";

/** Services with the backends that their slices tell, as policies see them. */
export function policyServices(
  services: readonly Service[],
  slices: Iterable<EndpointSlice>,
): readonly PolicyService[] {
  const backends = new Map<string, IpAddress[]>();
  for (const slice of slices) {
    const key = serviceOf(slice);
    if (key === undefined) continue;
    const addresses = backends.get(key);
    if (addresses === undefined) backends.set(key, addressesOf(slice));
    else addresses.push(...addressesOf(slice));
  }
  return services.map(({ metadata, spec }) => {
    const { name, namespace = "default", labels = {} } = metadata;
    return {
      name,
      namespace,
      labels,
      selector: spec.selector ?? {},
      backends: backends.get(`${namespace}/${name}`) ?? [],
    };
  });
}

/** `namespace/name` of the Service that a slice is of. */
export function serviceOf({ metadata }: EndpointSlice): string | undefined {
  const name = metadata.labels?.[SERVICE_NAME_LABEL];
  return name === undefined ? undefined : `${metadata.namespace ?? "default"}/${name}`;
}

export function addressesOf({ endpoints }: EndpointSlice): IpAddress[] {
  return endpoints.flatMap(({ addresses }) => addresses.flatMap((text) => tryParseIp(text) ?? []));
}
