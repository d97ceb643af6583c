import type { ApiClient, EndpointSlice } from "@cnilab/core";
import { type IpAddress, tryParseIp } from "@cnilab/net";
import { SERVICE_NAME_LABEL } from "../controllers/endpoint-slice.ts";

/** Where `svc/NAME` leads, without anybody who is asked for names; without addresses, why not. */
export interface ServiceAddresses {
  readonly addresses: readonly IpAddress[];
  readonly reason: string;
}

/** The cluster IPs of a Service, or the ready endpoints of a headless one. An ExternalName has none. */
export function serviceAddresses(api: ApiClient, key: string): ServiceAddresses {
  const service = api.get("Service", key);
  if (service === undefined) return { addresses: [], reason: `there is no Service ${key}` };
  const { clusterIPs, clusterIP, publishNotReadyAddresses } = service.spec;
  if (clusterIP !== "None") return { addresses: parsed(clusterIPs ?? []), reason: "" };
  const ready = slicesOf(api, key)
    .flatMap(({ endpoints }) => endpoints)
    .filter((e) => publishNotReadyAddresses === true || e.conditions?.ready !== false);
  const addresses = parsed(ready.flatMap((e) => e.addresses));
  return { addresses, reason: `headless Service ${key} has no ready endpoint` };
}

/** Whether a Service has an endpoint that is ready. */
export function serviceIsServed(api: ApiClient, key: string): boolean {
  return slicesOf(api, key).some(({ endpoints }) =>
    endpoints.some(({ conditions }) => conditions?.ready !== false),
  );
}

function parsed(texts: readonly string[]): IpAddress[] {
  return texts.flatMap((text) => tryParseIp(text) ?? []);
}

/** EndpointSlices of a Service. */
export function slicesOf(api: ApiClient, key: string): EndpointSlice[] {
  const [namespace, name] = key.split("/") as [string, string];
  return api
    .list("EndpointSlice", namespace)
    .filter(({ metadata }) => metadata.labels?.[SERVICE_NAME_LABEL] === name);
}
