import { EPOCH_MS } from "@cnilab/core";
import { formatIp, type IpAddress, tryParseIp } from "@cnilab/net";
import type { ResourceRecord } from "../message/message.ts";
import {
  addressOfReverseName,
  fqdn,
  isReverseName,
  isSubdomain,
  joinNames,
  longestZone,
  relativeTo,
} from "../message/name.ts";
import { parseResolvConf } from "../resolver/resolv-conf.ts";
import type { CoreDnsOptions } from "../server/core-dns.ts";
import { onlyUse, type PluginSetup } from "../server/plugin.ts";
import { answerWith, type DnsRequest, type Handler, type Respond } from "../server/request.ts";
import type { AutoPather } from "./autopath.ts";
import { type DnsEndpointAddress, type DnsPort, KubernetesIndex } from "./kubernetes-index.ts";
import { parseRecordRequest, type RecordRequest } from "./kubernetes-name.ts";
import { type KubernetesSettings, parseKubernetes } from "./kubernetes-settings.ts";

/** The version of the specification that the schema follows. */
const SCHEMA_VERSION = '"1.1.0"';
const SCHEMA_TTL = 28_800;
const NS_PREFIX = "ns.dns.";
/** More names than these in a chain of CNAMEs are not followed. */
const MAX_CNAMES = 10;

/** CoreDNS `plugin/kubernetes`, and what it uses of `plugin/backend_lookup.go`. */
export const setupKubernetes: PluginSetup = (uses, context) => {
  const use = onlyUse(uses);
  const settings = parseKubernetes(use, context.zones);
  const { options } = context;
  if (options.api === undefined) throw use.error("there is no cluster to ask here");
  const index = new KubernetesIndex({
    api: options.api,
    clock: options.clock,
    watchEndpoints: settings.endpoints,
    watchPods: settings.pods === "verified",
    ...(settings.labels === undefined ? {} : { selector: settings.labels }),
    ...(settings.namespaceLabels === undefined
      ? {}
      : { namespaceSelector: settings.namespaceLabels }),
  });
  const hostSearch = parseResolvConf(context.readFile("/etc/resolv.conf") ?? "").search.map(
    (name) => fqdn(name).toLowerCase(),
  );
  const ownAddresses = context.bound ? () => [] : (options.localAddresses ?? (() => []));
  return (next) => new Kubernetes(next, { settings, index, options, hostSearch, ownAddresses });
};

interface KubernetesParts {
  readonly settings: KubernetesSettings;
  readonly index: KubernetesIndex;
  readonly options: CoreDnsOptions;
  /** Of the machine that CoreDNS runs on, for autopath. */
  readonly hostSearch: readonly string[];
  readonly ownAddresses: () => readonly IpAddress[];
}

/** Something that a name stands for: an address and port, or another name. */
interface Found {
  /** An address, or a name without a dot at the end. */
  readonly host: string;
  readonly port: number;
  /** Its own name, which SRV records point to. */
  readonly owner: string;
}

/** `undefined` where no such name is: NXDOMAIN. An empty list is NODATA. */
type Lookup = readonly Found[] | undefined;

class Kubernetes implements Handler, AutoPather {
  readonly #next: Handler;
  readonly #settings: KubernetesSettings;
  readonly #index: KubernetesIndex;
  readonly #epochSeconds: number;
  readonly #hostSearch: readonly string[];
  readonly #ownAddresses: () => readonly IpAddress[];

  constructor(
    next: Handler,
    { settings, index, options, hostSearch, ownAddresses }: KubernetesParts,
  ) {
    this.#next = next;
    this.#settings = settings;
    this.#index = index;
    this.#epochSeconds = options.epochSeconds ?? EPOCH_MS / 1000;
    this.#hostSearch = hostSearch;
    this.#ownAddresses = ownAddresses;
  }

  /** Ends the watches. */
  close(): void {
    this.#index.close();
  }

  serve(request: DnsRequest, respond: Respond): void {
    const matched = longestZone(this.#settings.zones, request.name);
    if (matched === undefined) {
      this.#next.serve(request, respond);
      return;
    }
    const { name: asked, type } = request.question;
    // Records carry the zone in the case in which it was asked.
    const zone = asked.slice(asked.length - matched.length);
    const noSuchName = (): void => {
      if (this.#settings.fallthrough.through(request.name)) {
        this.#next.serve(request, respond);
        return;
      }
      respond(answerWith(request, [], [this.#soa(zone)], [], "NXDOMAIN"));
    };
    const give = (
      records: readonly ResourceRecord[] | undefined,
      additional: readonly ResourceRecord[] = [],
      truncated = false,
    ): void => {
      if (records === undefined) {
        noSuchName();
        return;
      }
      if (records.length === 0) {
        respond(answerWith(request, [], [this.#soa(zone)]));
        return;
      }
      const reply = answerWith(request, records, [], additional);
      if (!truncated || reply.message === undefined) {
        respond(reply);
        return;
      }
      const { message } = reply;
      respond({ ...reply, message: { ...message, flags: { ...message.flags, tc: true } } });
    };
    switch (type) {
      case "A":
      case "AAAA":
        this.#addresses(request, zone, asked, type, [], ({ records, truncated }) =>
          give(records, [], truncated),
        );
        return;
      case "SRV":
        this.#srv(asked, zone, give);
        return;
      case "TXT":
        give(this.#txt(request.name, asked, zone));
        return;
      case "CNAME":
        give(this.#cname(asked, zone));
        return;
      case "PTR":
        give(this.#ptr(request.name, asked, zone));
        return;
      case "SOA":
        // Away from the zone itself this says NODATA of any name, whether it is there or not.
        give(asked === zone ? [this.#soa(zone)] : []);
        return;
      case "AXFR":
      case "IXFR":
        respond({ rcode: "REFUSED" });
        return;
      case "NS":
        if (request.name === zone) {
          this.#ns(asked, zone, give);
          return;
        }
        break;
    }
    // Of every other type there is nothing; whether there is the name at all decides.
    give(this.#find(request.name, zone, "A") === undefined ? undefined : []);
  }

  /** The search list of the pod that asks. */
  autoPath(request: DnsRequest): readonly string[] {
    const zone = longestZone(this.#settings.zones, request.name);
    if (zone === undefined || this.#settings.pods !== "verified") return [];
    const [pod] = this.#index.podsOf(formatIp(request.client.address));
    if (pod === undefined) return [];
    const base = ["svc", ...(zone === "." ? [] : [zone])].join(".");
    const svc = fqdn(base);
    return [`${pod.namespace}.${svc}`, svc, zone, ...this.#hostSearch, ""];
  }

  /**
   * What the records of a name are made from (`Kubernetes.Services`).
   * @param name in lower case
   * @param zone in the case in which it was asked
   */
  #find(name: string, zone: string, type: string): Lookup {
    if (name.startsWith(NS_PREFIX) && name.indexOf(zone) === NS_PREFIX.length) {
      const family = type === "A" ? 4 : type === "AAAA" ? 6 : undefined;
      return this.#nameServers(zone)
        .filter(({ host }) => family !== undefined && familyOfText(host) === family)
        .map((found) => ({ ...found, owner: name }));
    }
    const base = relativeTo(zone.toLowerCase(), name);
    if (base === "") return [];
    const wanted = parseRecordRequest(base, this.#settings.zonal);
    if (wanted === undefined) return undefined;
    if (wanted.kind === undefined) return [];
    if (isReverseName(name) || !this.#exposes(wanted.namespace)) return undefined;
    const found = wanted.kind === "pod" ? this.#pods(wanted, zone) : this.#services(wanted, zone);
    // External names have no SRV records.
    return type === "SRV" ? found?.filter(({ host }) => tryParseIp(host) !== undefined) : found;
  }

  #exposes(namespace: string): boolean {
    const { namespaces } = this.#settings;
    return (
      (namespaces === undefined || namespaces.has(namespace)) && this.#index.hasNamespace(namespace)
    );
  }

  #pods({ service: label, namespace }: RecordRequest, zone: string): Lookup {
    const { pods } = this.#settings;
    if (pods === "disabled") return undefined;
    if (label === "") return [];
    const dashes = label.split("-").length - 1;
    const ip = label.replaceAll("-", dashes === 3 && !label.includes("--") ? "." : ":");
    const found = { host: ip, port: 0, owner: joinNames(label, namespace, "pod", zone) };
    if (pods === "insecure") return tryParseIp(ip) === undefined ? undefined : [found];
    const matching = [...this.#index.podsOf(ip)].filter((pod) => pod.namespace === namespace);
    return matching.length === 0 ? undefined : [found];
  }

  #services(wanted: RecordRequest, zone: string): Lookup {
    const { namespace, service: name, port, protocol, endpoint } = wanted;
    if (name === "") return [];
    const service = this.#index.service(namespace, name);
    if (service === undefined) return undefined;
    const owner = joinNames(name, namespace, "svc", zone);
    const { externalName, headless } = service;
    const cluster = externalName === undefined && !headless;
    if (this.#settings.ignoreEmptyService && cluster && !this.#hasEndpoints(namespace, name)) {
      return undefined;
    }
    if (wanted.zone !== "" && !headless) return undefined;
    if (externalName !== undefined) {
      const isName = tryParseIp(externalName) === undefined;
      if (endpoint !== "" || port !== "" || protocol !== "" || !isName) return undefined;
      return [{ host: externalName, port: 0, owner }];
    }
    if (headless || endpoint !== "") return this.#endpoints(wanted, owner);
    const ports = service.ports.filter((each) => matchesPort(wanted, each));
    if (ports.length === 0) return undefined;
    return ports.flatMap(({ port: number }) =>
      service.clusterIps.map((host) => ({ host, port: number, owner })),
    );
  }

  #hasEndpoints(namespace: string, name: string): boolean {
    for (const { addresses } of this.#index.endpoints(namespace, name)) {
      if (addresses.length > 0) return true;
    }
    return false;
  }

  #endpoints(wanted: RecordRequest, owner: string): Lookup {
    const inZone = this.#endpointsIn(wanted, wanted.zone, owner);
    const found =
      inZone.length === 0 && wanted.preferZone ? this.#endpointsIn(wanted, "", owner) : inZone;
    // A zonal name of a headless Service is there, whether or not any endpoint is in that zone.
    return found.length === 0 && wanted.zone === "" ? undefined : found;
  }

  #endpointsIn(wanted: RecordRequest, zone: string, owner: string): Found[] {
    const found: Found[] = [];
    for (const { addresses, ports } of this.#index.endpoints(wanted.namespace, wanted.service)) {
      const matching = ports.filter((port) => matchesPort(wanted, port));
      for (const address of addresses) {
        if (zone !== "" && address.zone !== zone) continue;
        const label = this.#labelOf(address);
        if (wanted.endpoint !== "" && wanted.endpoint !== label.toLowerCase()) continue;
        for (const { port } of matching) {
          found.push({ host: address.ip, port, owner: joinNames(label, owner) });
        }
      }
    }
    return found;
  }

  /** An endpoint's own label: its hostname, its pod's name where that is wished, or its address with dashes. */
  #labelOf({ ip, hostname, targetName }: DnsEndpointAddress): string {
    if (hostname !== undefined) return hostname;
    if (this.#settings.endpointPodNames && targetName !== undefined) return targetName;
    const dashed = ip.replace(/[.:]/g, "-");
    return dashed.endsWith("-") ? `${dashed}0` : dashed;
  }

  /** Records of the type, with those of names that the name leads to; undefined for NXDOMAIN. */
  #addresses(
    request: DnsRequest,
    zone: string,
    name: string,
    type: "A" | "AAAA",
    chain: readonly ResourceRecord[],
    done: (found: {
      readonly records: readonly ResourceRecord[] | undefined;
      readonly truncated: boolean;
    }) => void,
  ): void {
    const found = this.#find(name.toLowerCase(), zone, type);
    const external = found?.find(({ host }) => tryParseIp(host) === undefined && host !== "");
    if (external === undefined) {
      const records = found && this.#addressRecords(name, found, type);
      done({ records, truncated: false });
      return;
    }
    const target = fqdn(external.host);
    const cname = this.#record(name, "CNAME", target);
    const nothing = { records: [], truncated: false };
    const loops =
      isSubdomain(name.toLowerCase(), target.toLowerCase()) ||
      chain.length > MAX_CNAMES ||
      chain.some(({ data }) => data === target);
    if (loops) {
      done(nothing);
      return;
    }
    if (isSubdomain(zone.toLowerCase(), target.toLowerCase())) {
      this.#addresses(request, zone, target, type, [...chain, cname], ({ records, truncated }) =>
        done({ records: records?.length ? [cname, ...records] : [], truncated }),
      );
      return;
    }
    request.lookup(target, type, (answer) => {
      if (answer === undefined) return done(nothing);
      done({ records: [cname, ...answer.answer], truncated: answer.flags.tc });
    });
  }

  #addressRecords(name: string, found: readonly Found[], type: "A" | "AAAA"): ResourceRecord[] {
    const family = type === "A" ? 4 : 6;
    const hosts = new Set<string>();
    for (const { host } of found) if (familyOfText(host) === family) hosts.add(host);
    return [...hosts].map((host) => this.#record(name, type, canonical(host)));
  }

  #srv(
    asked: string,
    zone: string,
    give: (
      records: readonly ResourceRecord[] | undefined,
      additional?: readonly ResourceRecord[],
    ) => void,
  ): void {
    const found = this.#find(asked.toLowerCase(), zone, "SRV");
    if (found === undefined) {
      give(undefined);
      return;
    }
    // The same arithmetic as in Go, for the same result of 100 by the number of answers.
    const weight = Math.max(Math.floor((100 / (100 * found.length)) * 100), 1);
    const records = new Map<string, ResourceRecord>();
    const additional = new Map<string, ResourceRecord>();
    for (const { host, port, owner } of found) {
      if (port === -1) continue;
      const data = `0 ${weight} ${port} ${owner}`;
      records.set(data, this.#record(asked, "SRV", data));
      const type = familyOfText(host) === 4 ? "A" : "AAAA";
      additional.set(`${owner} ${host}`, this.#record(owner, type, canonical(host)));
    }
    give([...records.values()], [...additional.values()]);
  }

  #txt(name: string, asked: string, zone: string): readonly ResourceRecord[] | undefined {
    const base = relativeTo(zone.toLowerCase(), name);
    if (base === "dns-version") return [this.#record(asked, "TXT", SCHEMA_VERSION, SCHEMA_TTL)];
    const found = this.#find(name, zone, "TXT");
    if (found === undefined) return undefined;
    if (found.length > 0) return [];
    // Empty names such as a namespace's are NXDOMAIN for this type; only zonal ones are NODATA.
    const wanted = parseRecordRequest(base, this.#settings.zonal);
    return wanted !== undefined && wanted.zone !== "" ? [] : undefined;
  }

  #cname(asked: string, zone: string): readonly ResourceRecord[] | undefined {
    const found = this.#find(asked.toLowerCase(), zone, "CNAME");
    const [first] = found ?? [];
    if (first === undefined) return found === undefined ? undefined : [];
    return tryParseIp(first.host) === undefined
      ? [this.#record(asked, "CNAME", fqdn(first.host))]
      : [];
  }

  #ptr(name: string, asked: string, zone: string): readonly ResourceRecord[] | undefined {
    const address = addressOfReverseName(name);
    if (address === undefined) return this.#find(name, zone, "PTR") === undefined ? undefined : [];
    const names = new Set(this.#namesOf(address));
    if (names.size === 0) return undefined;
    return [...names].map((target) => this.#record(asked, "PTR", target));
  }

  /** Of a Service with this cluster IP, else of every endpoint that has it. */
  *#namesOf(address: IpAddress): Iterable<string> {
    const { primaryZone, namespaces } = this.#settings;
    for (const { name, namespace } of this.#index.serviceOf(address)) {
      if (namespaces !== undefined && !this.#exposes(namespace)) continue;
      return yield joinNames(name, namespace, "svc", primaryZone);
    }
    for (const { service, namespace, addresses } of this.#index.endpointsOf(address)) {
      if (namespaces !== undefined && !this.#exposes(namespace)) continue;
      for (const each of addresses) {
        if (tryParseIp(each.ip) !== address) continue;
        yield joinNames(this.#labelOf(each), service, namespace, "svc", primaryZone);
      }
    }
  }

  #ns(
    asked: string,
    zone: string,
    give: (
      records: readonly ResourceRecord[] | undefined,
      additional?: readonly ResourceRecord[],
    ) => void,
  ): void {
    const servers = this.#nameServers(zone);
    const owners = new Set(servers.map(({ owner }) => owner));
    give(
      [...owners].map((owner) => this.#record(asked, "NS", owner)),
      servers.map(({ owner, host }) =>
        this.#record(owner, familyOfText(host) === 4 ? "A" : "AAAA", canonical(host)),
      ),
    );
  }

  /** The Services that CoreDNS itself is an endpoint of, else its own addresses (`ns.go` nsAddrs). */
  #nameServers(zone: string): Found[] {
    const own = this.#ownAddresses();
    const found: Found[] = [];
    let among = false;
    for (const address of own) {
      for (const { service: name, namespace, addresses } of this.#index.endpointsOf(address)) {
        among = true;
        const service = this.#index.service(namespace, name);
        if (service === undefined) continue;
        const owner = joinNames(name, namespace, "svc", zone);
        if (service.headless) {
          for (const each of addresses) {
            found.push({ host: each.ip, port: 0, owner: joinNames(this.#labelOf(each), owner) });
          }
        } else {
          for (const host of service.clusterIps) found.push({ host, port: 0, owner });
        }
      }
    }
    if (among) return found;
    return own.map((address) => ({
      host: formatIp(address),
      port: 0,
      owner: `${NS_PREFIX}${zone}`,
    }));
  }

  #record(
    name: string,
    type: string,
    data: string,
    ttl: number = this.#settings.ttl,
  ): ResourceRecord {
    return { name, ttl, type, data };
  }

  #soa(zone: string): ResourceRecord {
    const { ttl } = this.#settings;
    const serial = this.#epochSeconds + Math.floor(this.#index.modifiedAt / 1000);
    const server = joinNames("ns.dns", zone);
    const data = `${server} ${joinNames("hostmaster", zone)} ${serial} 7200 1800 86400 ${ttl}`;
    return { name: zone, ttl: Math.min(ttl, 300), type: "SOA", data };
  }
}

/** Names of ports and protocols ignore case; an empty one matches all. */
function matchesPort({ port, protocol }: RecordRequest, each: DnsPort): boolean {
  return (
    (port === "" || port === each.name.toLowerCase()) &&
    (protocol === "" || protocol === each.protocol.toLowerCase())
  );
}

/** IPv4 addresses written as IPv6 (`::ffff:10.0.0.1`) count as IPv4, as Go's `net.IP.To4` has it. */
function familyOfText(text: string): 4 | 6 | undefined {
  const address = tryParseIp(text);
  if (address === undefined) return undefined;
  return typeof address === "number" || mapped(address) ? 4 : 6;
}

function mapped({ a, b, c }: Exclude<IpAddress, number>): boolean {
  return a === 0 && b === 0 && c === 0xffff;
}

function canonical(text: string): string {
  const address = tryParseIp(text);
  if (address === undefined) return text;
  return formatIp(typeof address !== "number" && mapped(address) ? address.d : address);
}
