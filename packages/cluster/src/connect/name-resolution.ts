import type { ApiClient, ClusterConfig, EndpointSlice, Pod } from "@cnilab/core";
import { type IpAddress, tryParseIp } from "@cnilab/net";
import { SERVICE_NAME_LABEL } from "../controllers/endpoint-slice.ts";

/** What a name stands for; without addresses, why not. */
export interface Resolution {
  readonly addresses: readonly IpAddress[];
  /** `namespace/name` of the Service that the name belongs to. */
  readonly service: string | undefined;
  readonly reason: string;
}

/** ExternalName may lead to another one; CoreDNS follows so many. */
const LONGEST_CHAIN = 8;

/** Search domains of a pod's resolv.conf; `undefined` where it does not ask the cluster's DNS. */
export function searchDomains(pod: Pod, config: ClusterConfig): readonly string[] | undefined {
  const { dnsPolicy = "ClusterFirst", hostNetwork, dnsConfig } = pod.spec;
  const extra = dnsConfig?.searches ?? [];
  if (dnsPolicy === "None") return extra;
  if (dnsPolicy === "Default") return undefined;
  // ClusterFirst falls back to Default in the host's network (kubelet network/dns).
  if (dnsPolicy === "ClusterFirst" && hostNetwork === true) return undefined;
  const { clusterDomain } = config;
  return [
    `${pod.metadata.namespace}.svc.${clusterDomain}`,
    `svc.${clusterDomain}`,
    clusterDomain,
    ...extra,
  ];
}

/**
 * Names of Services and pods as the cluster's DNS gives them (Kubernetes DNS-based service discovery,
 * version 1.1), straight from the API objects.
 */
export class NameResolution {
  readonly #api: ApiClient;
  readonly #domain: string;

  constructor(api: ApiClient, config: ClusterConfig) {
    this.#api = api;
    this.#domain = config.clusterDomain;
  }

  /** Looks a name up as a resolver with these search domains and `ndots:5` does. */
  resolve(name: string, search: readonly string[]): Resolution {
    if (name.endsWith(".")) return this.#absolute(name.slice(0, -1), 0);
    const searched = search.map((domain) => `${name}.${domain}`);
    const dots = name.split(".").length - 1;
    const order = dots >= 5 ? [name, ...searched] : [...searched, name];
    let found: Resolution | undefined;
    for (const candidate of order) {
      const resolution = this.#absolute(candidate, 0);
      if (resolution.addresses.length > 0) return resolution;
      // The name is there and has no address: the resolver asks no further.
      if (resolution.service !== undefined) found ??= resolution;
    }
    return found ?? none(`there is no Service or DNS name ${name}`);
  }

  #absolute(name: string, depth: number): Resolution {
    const suffix = `.${this.#domain}`;
    if (!name.endsWith(suffix)) return none(`${name} is not a name of this cluster`);
    const labels = name.slice(0, -suffix.length).split(".");
    const type = labels.at(-1);
    const namespace = labels.at(-2);
    if (namespace === undefined) return none(`${name} is not a name of this cluster`);
    if (type === "pod" && labels.length === 3) return podName(labels[0] as string);
    if (type !== "svc") return none(`${name} is not a name of this cluster`);
    if (labels.length === 3) return this.#service(`${namespace}/${labels[0]}`, depth);
    if (labels.length === 4) {
      return this.#endpoint(`${namespace}/${labels[1]}`, labels[0] as string);
    }
    return none(`${name} is not a name of this cluster`);
  }

  #service(key: string, depth: number): Resolution {
    const service = this.#api.get("Service", key);
    if (service === undefined) return none(`there is no Service ${key}`);
    const { type, externalName, clusterIPs, clusterIP, publishNotReadyAddresses } = service.spec;
    if (type === "ExternalName") {
      const target = (externalName ?? "").replace(/\.$/, "");
      const address = tryParseIp(target);
      if (address !== undefined) return { addresses: [address], service: key, reason: "" };
      if (depth >= LONGEST_CHAIN) return none(`Service ${key} leads in a circle`, key);
      const resolution = this.#absolute(target, depth + 1);
      if (resolution.addresses.length > 0) return resolution;
      return none(`Service ${key} stands for ${target}, whose address is not known here`, key);
    }
    if (clusterIP !== "None") {
      const addresses = (clusterIPs ?? []).map(tryParseIp).filter((a) => a !== undefined);
      return { addresses, service: key, reason: "" };
    }
    const ready = this.#endpoints(key, publishNotReadyAddresses === true);
    const addresses = ready.flatMap((e) => e.addresses);
    if (addresses.length > 0) return { addresses, service: key, reason: "" };
    return none(`headless Service ${key} has no ready endpoint`, key);
  }

  #endpoint(key: string, hostname: string): Resolution {
    if (this.#api.get("Service", key)?.spec.clusterIP !== "None") {
      return none(`there is no headless Service ${key}`);
    }
    for (const endpoint of this.#endpoints(key, true)) {
      const names = endpoint.addresses.map(dashed);
      if (endpoint.hostname === hostname || names.includes(hostname)) {
        return { addresses: endpoint.addresses, service: key, reason: "" };
      }
    }
    return none(`headless Service ${key} has no endpoint ${hostname}`);
  }

  #endpoints(key: string, all: boolean): { hostname?: string; addresses: IpAddress[] }[] {
    return slicesOf(this.#api, key)
      .flatMap((slice) => slice.endpoints)
      .filter((e) => all || e.conditions?.ready !== false)
      .map((e) => ({
        ...(e.hostname === undefined ? {} : { hostname: e.hostname }),
        addresses: e.addresses.map(tryParseIp).filter((a) => a !== undefined),
      }));
  }
}

/** EndpointSlices of a Service. */
export function slicesOf(api: ApiClient, key: string): EndpointSlice[] {
  const [namespace, name] = key.split("/") as [string, string];
  return api
    .list("EndpointSlice", namespace)
    .filter(({ metadata }) => metadata.labels?.[SERVICE_NAME_LABEL] === name);
}

/** `10-244-1-7` of `10-244-1-7.default.pod.cluster.local`; CoreDNS answers without a look at pods. */
function podName(label: string): Resolution {
  const address = tryParseIp(label.replaceAll("-", ".")) ?? tryParseIp(label.replaceAll("-", ":"));
  if (address === undefined) return none(`${label} is no address with dashes`);
  return { addresses: [address], service: undefined, reason: "" };
}

function dashed(address: IpAddress): string {
  return String(typeof address === "number" ? dotted(address) : address).replaceAll(/[.:]/g, "-");
}

function dotted(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join(".");
}

function none(reason: string, service?: string): Resolution {
  return { addresses: [], service, reason };
}
