import type { ApiClient, EndpointSlice, IntOrString, Service, ServicePort } from "@cnilab/core";
import { type IpAddress, type IpFamily, tryParseIp } from "@cnilab/net";
import type { Subscription } from "rxjs";

const SERVICE_NAME_LABEL = "kubernetes.io/service-name";

/** Where one request may go. */
export interface ProxyEndpoint {
  readonly address: IpAddress;
  readonly port: number;
}

/** What a backend's Service leads to now; without endpoints, why. */
export interface ReadyEndpoints {
  readonly endpoints: readonly ProxyEndpoint[];
  /** One line that names the object to mend; empty where there are endpoints. */
  readonly why: string;
}

/**
 * Ready endpoints of Services, out of EndpointSlices as a watch brings them: a proxy connects to pods, past every Service's
 * address.
 */
export class EndpointIndex {
  readonly #api: ApiClient;
  readonly #families: readonly IpFamily[];
  /** Slices by Service, then by their own name. */
  readonly #slices = new Map<string, Map<string, EndpointSlice>>();
  readonly #subscription: Subscription;

  /** @param families that the proxy itself has an address of, the one it prefers first */
  constructor(api: ApiClient, families: readonly IpFamily[]) {
    this.#api = api;
    this.#families = families;
    this.#subscription = api.watch("EndpointSlice").subscribe(({ type, object, old }) => {
      if (old !== undefined) this.#remove(old);
      if (type === "DELETED") this.#remove(object);
      else this.#add(object);
    });
  }

  stop(): void {
    this.#subscription.unsubscribe();
  }

  service(key: string): Service | undefined {
    return this.#api.get("Service", key);
  }

  /** @param byTargetPort whether the port may be given as the Service's targetPort, too (ingress-nginx) */
  ready(key: string, port: IntOrString, byTargetPort: boolean): ReadyEndpoints {
    const service = this.service(key);
    if (service === undefined) return none(`there is no Service ${key}`);
    const found = portOf(service, port, byTargetPort);
    if (found === undefined) {
      const known = (service.spec.ports ?? []).map(({ name, port: p }) => name ?? p).join(", ");
      return none(`Service ${key} has no port ${port}; it has ${known || "none"}`);
    }
    const slices = [...(this.#slices.get(key)?.values() ?? [])];
    for (const family of this.#families) {
      const endpoints = slices
        .filter((s) => s.addressType === (family === 4 ? "IPv4" : "IPv6"))
        .flatMap((slice) => readyIn(slice, found));
      if (endpoints.length > 0) return { endpoints, why: "" };
    }
    return none(whyEmpty(key, service, slices, found));
  }

  #add(slice: EndpointSlice): void {
    const service = serviceOf(slice);
    let known = this.#slices.get(service);
    if (known === undefined) {
      known = new Map();
      this.#slices.set(service, known);
    }
    known.set(slice.metadata.name, slice);
  }

  #remove(slice: EndpointSlice): void {
    const service = serviceOf(slice);
    const known = this.#slices.get(service);
    known?.delete(slice.metadata.name);
    if (known?.size === 0) this.#slices.delete(service);
  }
}

function serviceOf({ metadata }: EndpointSlice): string {
  return `${metadata.namespace}/${metadata.labels?.[SERVICE_NAME_LABEL]}`;
}

function portOf(
  { spec }: Service,
  port: IntOrString,
  byTargetPort: boolean,
): ServicePort | undefined {
  const wanted = String(port);
  return spec.ports?.find(
    (p) =>
      String(p.port) === wanted ||
      p.name === wanted ||
      (byTargetPort && String(p.targetPort) === wanted),
  );
}

/** Endpoints in the order of their addresses, so that every proxy goes round in the same one. */
function readyIn(slice: EndpointSlice, servicePort: ServicePort): ProxyEndpoint[] {
  const port = slice.ports?.find((p) => (p.name ?? "") === (servicePort.name ?? ""))?.port;
  if (port === undefined) return [];
  return slice.endpoints.flatMap(({ addresses, conditions }) => {
    const address = tryParseIp(addresses[0] ?? "");
    return conditions?.ready === false || address === undefined ? [] : [{ address, port }];
  });
}

function whyEmpty(
  key: string,
  { spec }: Service,
  slices: readonly EndpointSlice[],
  port: ServicePort,
): string {
  const all = slices.reduce((sum, { endpoints }) => sum + endpoints.length, 0);
  if (all > 0) {
    const has = slices.some(({ ports = [] }) =>
      ports.some((p) => (p.name ?? "") === (port.name ?? "")),
    );
    if (!has) {
      return `Service ${key}: no pod has the port ${port.targetPort ?? port.port} that its port ${port.name ?? port.port} leads to (targetPort)`;
    }
    return `Service ${key} has ${all} ${all === 1 ? "endpoint" : "endpoints"}, and none is ready`;
  }
  if (spec.selector === undefined) return `Service ${key} has no selector and no EndpointSlice`;
  const selector = Object.entries(spec.selector).map(([name, value]) => `${name}=${value}`);
  return `Service ${key} has no endpoints: its selector ${selector.join(",")} finds no running pod`;
}

function none(why: string): ReadyEndpoints {
  return { endpoints: [], why };
}

export function backendKey(backend: { readonly namespace: string; readonly name: string }): string {
  return `${backend.namespace}/${backend.name}`;
}
