import {
  type ApiClient,
  type ClusterConfig,
  InputError,
  isPolicyOrigin,
  objectKey,
  type Pod,
} from "@cnilab/core";
import type { ResolverFlavour } from "@cnilab/dns";
import {
  type Drop,
  type Exchange,
  type ExchangeRequest,
  exchange,
  type FilterRule,
  type Kernel,
  type NetNamespace,
  type Trace,
} from "@cnilab/linux";
import {
  familyOf,
  formatIp,
  IPPROTO_ICMP,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type IpAddress,
  isLinkLocal,
  isLoopback,
  parseIp,
  tryParseIp,
} from "@cnilab/net";
import { HOSTS, RESOLV_CONF } from "../kubelet/pod-files.ts";
import type { Endpoint } from "./endpoint.ts";
import { askHttp, type HttpAsk, type HttpOutcome } from "./http-request.ts";
import { lostQuestions } from "./lost-question.ts";
import {
  lookUp,
  type NameAnswer,
  type NameAsker,
  type NameLookup,
  query,
  whyUnresolved,
} from "./name-lookup.ts";
import { serviceAddresses, serviceIsServed, slicesOf } from "./service-endpoints.ts";
import { policyDrop, reasonOf, type Verdict, verdictOf } from "./verdict.ts";

export type ConnectProtocol = "TCP" | "UDP" | "SCTP" | "ICMP";

const PROTOCOLS: Readonly<Record<ConnectProtocol, number>> = {
  TCP: IPPROTO_TCP,
  UDP: IPPROTO_UDP,
  SCTP: IPPROTO_SCTP,
  ICMP: IPPROTO_ICMP,
};

export interface ConnectRequest {
  readonly from: Endpoint;
  readonly to: Endpoint;
  /** A number or the name of a port; absent, the first port of whom is asked. */
  readonly port?: number | string | undefined;
  readonly protocol?: ConnectProtocol | undefined;
  readonly trace?: Trace | undefined;
}

/** A request over HTTP, as `curl` makes one. */
export interface HttpCall extends Omit<HttpAsk, "address" | "port" | "tls"> {
  readonly from: Endpoint;
  readonly to: Endpoint;
  readonly port: number;
  /** Host of the URL where it begins with https. */
  readonly tls?: HttpAsk["tls"];
  /** Asked in place of what the name stands for (`curl --resolve`). */
  readonly address?: IpAddress | undefined;
}

/** What became of a request; without an outcome it never left. */
export interface HttpConnection {
  readonly address: IpAddress | undefined;
  readonly outcome: HttpOutcome | undefined;
  /** How the host's name was resolved; absent where it was not asked for. */
  readonly lookup?: NameLookup;
  /** Why nothing was sent. */
  readonly failure: Pick<Connection, "verdict" | "reason"> | undefined;
  /** Packets that ended on the way while the name was looked up. */
  readonly drops: readonly Drop[];
}

/** What became of an attempt to talk to somebody. */
export interface Connection {
  readonly verdict: Verdict;
  /** Why, in one line. */
  readonly reason: string;
  /** What policies say on the side of the source, and of the destination. */
  readonly egress: boolean;
  readonly ingress: boolean;
  /** Who answered: `ns/pod`, `node/NAME`, `internet` or an address. */
  readonly backend?: string;
  /** Source address that the server saw. */
  readonly seenAs?: string;
  /** How the destination's name was resolved; absent where it is not a name. */
  readonly lookup?: NameLookup;
  /** Address that was asked; `undefined` where the name has none. */
  readonly address: IpAddress | undefined;
  readonly port: number | undefined;
  readonly drops: readonly Drop[];
  /** What the sockets saw; `undefined` where no packet was sent. */
  readonly exchange: Exchange | undefined;
}

/** Where a connection would start, and where it would go. */
export interface Located {
  /** Addresses that the source could send from. */
  readonly source: readonly IpAddress[];
  readonly address: IpAddress;
  readonly port: number | undefined;
  /** Who has the address, where it is somebody of the cluster. */
  readonly holder: ReturnType<Surroundings["holderOf"]>;
}

/** A node as far as connections go: where its own packets start, and those of its pods. */
export interface NodeNamespaces {
  readonly machine: Kernel;
  readonly addresses: readonly IpAddress[];
  readonly kubelet: {
    sandboxOf(podUid: string): NetNamespace | undefined;
    /** A file that it writes for a pod's containers, as `/etc/resolv.conf`. */
    fileOf(podUid: string, path: string): string | undefined;
  };
}

/** Whoever can be one end of a connection, as the cluster finds it. */
export interface Surroundings {
  readonly api: ApiClient;
  readonly config: ClusterConfig;
  readonly nodes: ReadonlyMap<string, NodeNamespaces>;
  /** Who has an address. */
  holderOf(
    address: IpAddress,
  ): { readonly kind: "pod" | "service" | "node"; readonly name: string } | undefined;
  /** The host outside with this address, made if there is none. */
  outside(address: IpAddress): NetNamespace;
  internet(): NetNamespace;
  /** How to call a namespace that answered and is no pod's. */
  nameOf(netns: NetNamespace): string;
}

/** Where a connection starts. */
interface Source {
  readonly netns: NetNamespace;
  readonly name: string;
  readonly resolvConf: string;
  readonly hosts: string;
  readonly flavour: ResolverFlavour;
  /** Whether it is no machine of the cluster and none of its pods. */
  readonly outside?: boolean;
}

/** Where a connection is to go. */
interface Destination {
  readonly addresses: readonly IpAddress[];
  readonly port: number | undefined;
  readonly lookup?: NameLookup;
}

type Sides = { -readonly [side in "egress" | "ingress"]: boolean };

type Failure = Pick<Connection, "verdict" | "reason" | "lookup">;

/** Connects two endpoints by sending packets, and says in words what became of them. */
export class Connector {
  readonly #around: Surroundings;

  constructor(around: Surroundings) {
    this.#around = around;
  }

  /** @throws InputError where an end cannot be one, or a port is missing */
  connect(request: ConnectRequest): Connection {
    const source = this.#source(request.from);
    if ("verdict" in source) return failed(source);
    const protocol = request.protocol ?? "TCP";
    const destination = this.#destination(request, source, protocol);
    if ("verdict" in destination) return failed(destination, sidesOf(destination, source));
    const { addresses, port, lookup } = destination;
    const address = firstSpoken(source.netns, addresses);
    if (address === undefined) {
      return failed({ verdict: "unreachable", reason: `${request.to.text} has no address` });
    }
    this.#makeOutsider(address);
    const asked = {
      protocol: PROTOCOLS[protocol],
      dst: address,
      port: port ?? 0,
      owner: source.name,
    };
    const done = exchange(source.netns, { ...asked, trace: request.trace });
    const policy = policyDrop(done.drops);
    const sides = sidesOfDrop(policy, source.netns);
    if (!sides.egress) sides.ingress = admitted(source.netns, asked);
    const described = this.#describe(done, address, protocol === "ICMP" ? undefined : port, sides);
    return lookup === undefined ? described : { ...described, lookup };
  }

  /** @throws InputError where the source cannot be one */
  requestHttp(call: HttpCall): HttpConnection {
    const none = { address: undefined, outcome: undefined, drops: [] };
    const source = this.#source(call.from);
    if ("verdict" in source) return { ...none, failure: source };
    let { address } = call;
    let lookup: NameLookup | undefined;
    if (address === undefined) {
      const { from, to, port, trace } = call;
      const destination = this.#destination({ from, to, port, trace }, source, "TCP");
      if ("verdict" in destination) {
        const { lookup: lost } = destination;
        return { ...none, failure: destination, drops: lost?.drops ?? [] };
      }
      const { addresses } = destination;
      lookup = destination.lookup;
      address = firstSpoken(source.netns, addresses);
      if (address === undefined) {
        return { ...none, failure: unreachable(`${to.text} has no address`) };
      }
    }
    this.#makeOutsider(address);
    const outcome = askHttp(source.netns, source.name, { ...call, address });
    return {
      address,
      outcome,
      failure: undefined,
      drops: [],
      ...(lookup === undefined ? {} : { lookup }),
    };
  }

  /**
   * Asks for a name as a program of an endpoint would, search path and all: for addresses, or for records of a type.
   * @throws InputError where the endpoint cannot be a source
   */
  lookUp(
    from: Endpoint,
    name: string,
    options: { readonly type?: string | undefined; readonly trace?: Trace | undefined } = {},
  ): NameAnswer | Pick<Connection, "verdict" | "reason"> {
    const source = this.#source(from);
    if ("verdict" in source) return source;
    const asker = this.#asker(source);
    if (options.type !== undefined) return query(asker, name, options.type, options.trace);
    const lookup = lookUp(asker, name, options.trace);
    const problem = lookup.addresses.length > 0 ? undefined : whyUnresolved(name, lookup, asker);
    return { ...lookup, resolvConf: asker.resolvConf, problem };
  }

  /**
   * Throws what {@link connect} would throw, and sends nothing but the questions without which that cannot be told: a port's name
   * is known when it is known whom a name means.
   */
  check(request: ConnectRequest): void {
    const source = this.#source(request.from);
    if ("verdict" in source) return;
    const { to, port = to.port } = request;
    if (to.kind === "name" && typeof port === "number") return;
    this.#destination(request, source, request.protocol ?? "TCP");
  }

  /** Looks for both ends and the port, and sends nothing but questions for names. @throws InputError as {@link connect} */
  locate(request: ConnectRequest): Located | Pick<Connection, "verdict" | "reason"> {
    const source = this.#source(request.from);
    if ("verdict" in source) return source;
    const destination = this.#destination(request, source, request.protocol ?? "TCP");
    if ("verdict" in destination) return destination;
    const { addresses, port } = destination;
    const address = firstSpoken(source.netns, addresses);
    if (address === undefined) return unreachable(`${request.to.text} has no address`);
    return {
      source: addressesOf(source.netns),
      address,
      port,
      holder: this.#around.holderOf(address),
    };
  }

  #describe(
    done: Exchange,
    address: IpAddress,
    port: number | undefined,
    sides: Sides,
  ): Connection {
    const backend = this.#backend(done);
    const verdict = verdictOf(done);
    return {
      verdict,
      reason: reasonOf(done, { address, port }, backend),
      ...sides,
      ...(backend === undefined || verdict !== "allowed" ? {} : { backend }),
      ...(done.report === undefined ? {} : { seenAs: formatIp(done.report.seenAddress) }),
      address,
      port,
      drops: done.drops,
      exchange: done,
    };
  }

  /** Who answered, by the program that has the socket; for ICMP, by the address that answered. */
  #backend({ report, replyFrom }: Exchange): string | undefined {
    if (report !== undefined) {
      const [namespace, pod, container] = report.owner.split("/");
      if (container !== undefined) return `${namespace}/${pod}`;
      return this.#around.nameOf(report.netns);
    }
    if (replyFrom === undefined) return undefined;
    const holder = this.#around.holderOf(replyFrom);
    if (holder === undefined) return formatIp(replyFrom);
    return holder.kind === "node" ? `node/${holder.name}` : holder.name;
  }

  // ---- where from

  #source(from: Endpoint): Source | Failure {
    const { api, nodes } = this.#around;
    switch (from.kind) {
      case "pod":
        return this.#podSource(from.key, from.text);
      case "name": {
        const key = `${from.namespace}/${from.name}`;
        if (api.get("Pod", key) !== undefined) return this.#podSource(key, from.text);
        throw new InputError(
          `there is no pod ${key}; a source is a pod, deploy/NAME, node/NAME, internet or an address`,
          `"${from.text}"`,
        );
      }
      case "node": {
        const node = nodes.get(from.name);
        if (node === undefined) return unreachable(`node ${from.name} is down`);
        return machineSource(node.machine.initNs, from.name);
      }
      case "internet":
        return { ...machineSource(this.#around.internet(), "internet"), outside: true };
      case "address":
        return this.#addressSource(from.address, from.text);
      case "service":
        throw new InputError("a Service sends nothing; name one of its pods", `"${from.text}"`);
    }
  }

  #addressSource(address: IpAddress, text: string): Source | Failure {
    const holder = this.#around.holderOf(address);
    switch (holder?.kind) {
      case "pod":
        return this.#podSource(holder.name, text);
      case "node":
        return this.#source({ kind: "node", name: holder.name, text });
      case "service":
        throw new InputError(`is the address of Service ${holder.name}, which sends nothing`, text);
      default:
        return { ...machineSource(this.#around.outside(address), text), outside: true };
    }
  }

  #podSource(key: string, text: string): Source | Failure {
    const pod = this.#around.api.get("Pod", key);
    const kubelet = this.#around.nodes.get(pod?.spec.nodeName ?? "")?.kubelet;
    const uid = pod?.metadata.uid ?? "";
    const netns = kubelet?.sandboxOf(uid);
    if (pod === undefined || kubelet === undefined || netns === undefined) {
      return unreachable(pod === undefined ? `pod ${text} is gone` : notRunning(pod));
    }
    return {
      netns,
      name: key,
      get resolvConf() {
        return kubelet.fileOf(uid, RESOLV_CONF) ?? "";
      },
      get hosts() {
        return kubelet.fileOf(uid, HOSTS) ?? "";
      },
      flavour: flavourOf(pod),
    };
  }

  #asker({ netns, name: owner, resolvConf, hosts, flavour }: Source): NameAsker {
    return {
      netns,
      owner,
      resolvConf,
      hosts,
      flavour,
      nameOf: (server) => {
        const holder = this.#around.holderOf(server);
        if (holder?.kind === "pod") return `pod ${holder.name}`;
        if (holder?.kind !== "service") return holder?.name;
        const isServed = serviceIsServed(this.#around.api, holder.name);
        return `Service ${holder.name}${isServed ? "" : ", which has no ready endpoint"}`;
      },
    };
  }

  // ---- where to

  #destination(
    { to, port = to.port, trace }: ConnectRequest,
    source: Source,
    protocol: ConnectProtocol,
  ): Destination | Failure {
    switch (to.kind) {
      case "pod":
        return this.#podDestination(to.key, port, protocol, to.text);
      case "service":
        return this.#serviceDestination(to.key, port, protocol, to.text, source, trace);
      case "node": {
        const node = this.#around.nodes.get(to.name);
        if (node === undefined) return unreachable(`node ${to.name} is down`);
        return { addresses: node.addresses, port: numeric(port, protocol, to.text) };
      }
      case "internet": {
        const netns = this.#around.internet();
        return { addresses: addressesOf(netns), port: numeric(port, protocol, to.text) };
      }
      case "address": {
        const holder = this.#around.holderOf(to.address);
        const found = this.#portOf(holder, port, protocol, to.text);
        return { addresses: [to.address], port: found };
      }
      case "name":
        return this.#nameDestination(to, port, source, protocol, trace);
    }
  }

  #portOf(
    holder: { readonly kind: string; readonly name: string } | undefined,
    port: number | string | undefined,
    protocol: ConnectProtocol,
    text: string,
  ): number | undefined {
    if (holder?.kind === "pod") return this.#podPort(holder.name, port, protocol, text);
    if (holder?.kind === "service") return this.#servicePort(holder.name, port, protocol, text);
    return numeric(port, protocol, text);
  }

  #nameDestination(
    to: Endpoint & { readonly kind: "name" },
    port: number | string | undefined,
    source: Source,
    protocol: ConnectProtocol,
    trace: Trace | undefined,
  ): Destination | Failure {
    const key = `${to.namespace}/${to.name}`;
    const isPod = this.#around.api.get("Pod", key) !== undefined;
    const before = trace?.mark();
    const asker = this.#asker(source);
    const lookup = lookUp(asker, to.name, trace);
    if (lookup.addresses.length > 0) {
      const number = this.#portOfName(lookup, port, protocol, to.text);
      return { addresses: lookup.addresses, port: number, lookup };
    }
    if (isPod) {
      // The pod was meant: that no Service has its name is nothing to follow.
      if (before !== undefined) trace?.rewind(before);
      return this.#podDestination(key, port, protocol, to.text);
    }
    return { verdict: "unresolved", reason: whyUnresolved(to.name, lookup, asker), lookup };
  }

  /** The port that a Service calls so, where the name is a Service's. */
  #portOfName(
    lookup: NameLookup,
    port: number | string | undefined,
    protocol: ConnectProtocol,
    text: string,
  ): number | undefined {
    if (typeof port === "number") return numeric(port, protocol, text);
    const { api, config } = this.#around;
    const key = serviceNamed(lookup, config.clusterDomain);
    if (key !== undefined && api.get("Service", key) !== undefined) {
      return this.#servicePort(key, port, protocol, text);
    }
    const [address] = lookup.addresses;
    const holder = address === undefined ? undefined : this.#around.holderOf(address);
    return this.#portOf(holder, port, protocol, text);
  }

  #podDestination(
    key: string,
    port: number | string | undefined,
    protocol: ConnectProtocol,
    text: string,
  ): Destination | Failure {
    const pod = this.#around.api.get("Pod", key);
    if (pod === undefined) return unreachable(`pod ${key} is gone`);
    const number = this.#podPort(key, port, protocol, text);
    const addresses = (pod.status?.podIPs ?? []).map(({ ip }) => parseIp(ip));
    if (addresses.length === 0) return unreachable(notRunning(pod));
    return { addresses, port: number };
  }

  #serviceDestination(
    key: string,
    port: number | string | undefined,
    protocol: ConnectProtocol,
    text: string,
    source: Source,
    trace: Trace | undefined,
  ): Destination | Failure {
    const known = source.outside === true ? this.#outsideAddresses(key) : [];
    if (known.length > 0) {
      return { addresses: known, port: this.#servicePort(key, port, protocol, text) };
    }
    if (this.#around.api.get("Service", key)?.spec.type === "ExternalName") {
      return this.#aliasDestination(key, port, protocol, text, source, trace);
    }
    const { addresses, reason } = serviceAddresses(this.#around.api, key);
    if (addresses.length === 0) return { verdict: "unresolved", reason };
    return { addresses, port: this.#servicePort(key, port, protocol, text) };
  }

  /** An ExternalName is nothing but a name. */
  #aliasDestination(
    key: string,
    port: number | string | undefined,
    protocol: ConnectProtocol,
    text: string,
    source: Source,
    trace: Trace | undefined,
  ): Destination | Failure {
    const [namespace, name] = key.split("/") as [string, string];
    const asker = this.#asker(source);
    const lookup = lookUp(
      asker,
      `${name}.${namespace}.svc.${this.#around.config.clusterDomain}.`,
      trace,
    );
    if (lookup.addresses.length === 0) {
      return { verdict: "unresolved", reason: whyUnresolved(text, lookup, asker), lookup };
    }
    return {
      addresses: lookup.addresses,
      port: this.#portOfName(lookup, port, protocol, text),
      lookup,
    };
  }

  /** By which the outside knows a Service: its load balancer's, or its external ones. */
  #outsideAddresses(key: string): IpAddress[] {
    const service = this.#around.api.get("Service", key);
    const ingress = (service?.status?.loadBalancer?.ingress ?? []).map(({ ip }) => ip ?? "");
    return [...ingress, ...(service?.spec.externalIPs ?? [])].flatMap((ip) => tryParseIp(ip) ?? []);
  }

  #podPort(
    key: string,
    port: number | string | undefined,
    protocol: ConnectProtocol,
    text: string,
  ): number | undefined {
    if (protocol === "ICMP" || typeof port === "number") return numeric(port, protocol, text);
    const ports = (this.#around.api.get("Pod", key)?.spec.containers ?? [])
      .flatMap((c) => c.ports ?? [])
      .filter((p) => (p.protocol ?? "TCP") === protocol);
    const found = ports.find((p) => port === undefined || p.name === port);
    if (found !== undefined) return found.containerPort;
    return missingPort(
      port,
      protocol,
      text,
      ports.map((p) => p.name ?? String(p.containerPort)),
    );
  }

  #servicePort(
    key: string,
    port: number | string | undefined,
    protocol: ConnectProtocol,
    text: string,
  ): number | undefined {
    if (protocol === "ICMP" || typeof port === "number") return numeric(port, protocol, text);
    const { api } = this.#around;
    const service = api.get("Service", key);
    // The name of a headless Service leads to its pods, and its SRV records to their ports.
    const ports =
      service?.spec.clusterIP === "None"
        ? slicesOf(api, key).flatMap((s) => s.ports ?? [])
        : (service?.spec.ports ?? []);
    const fitting = ports.filter((p) => (p.protocol ?? "TCP") === protocol);
    const found = fitting.find((p) => port === undefined || p.name === port)?.port;
    if (found !== undefined) return found;
    return missingPort(
      port,
      protocol,
      text,
      fitting.map((p) => p.name || String(p.port)),
    );
  }

  #makeOutsider(address: IpAddress): void {
    if (isLoopback(address) || isLinkLocal(address)) return;
    if (this.#around.holderOf(address) !== undefined) return;
    const { clusterCidrs, serviceCidrs } = this.#around.config;
    if ([...clusterCidrs, ...serviceCidrs].some((range) => range.contains(address))) return;
    this.#around.outside(address);
  }
}

/** A machine's own programs. */
function machineSource(netns: NetNamespace, name: string): Source {
  const { files } = netns.kernel;
  return {
    netns,
    name,
    resolvConf: files.read(RESOLV_CONF) ?? "",
    hosts: files.read(HOSTS) ?? "",
    flavour: "glibc",
  };
}

/** Images built on Alpine Linux have musl. */
function flavourOf({ spec }: Pod): ResolverFlavour {
  return /\b(alpine|musl)/.test(spec.containers[0]?.image ?? "") ? "musl" : "glibc";
}

/** `ns/name` of the Service whose name, or one of whose endpoints' names, the answer was for. */
function serviceNamed({ steps }: NameLookup, domain: string): string | undefined {
  const found = steps.find(({ answer }) => (answer?.answer.length ?? 0) > 0);
  const name = found?.name.toLowerCase().replace(/\.$/, "");
  const suffix = `.svc.${domain}`;
  if (name === undefined || !name.endsWith(suffix)) return undefined;
  const [service, namespace] = name.slice(0, -suffix.length).split(".").slice(-2);
  return namespace === undefined ? undefined : `${namespace}/${service}`;
}

/** Nothing was sent, but for questions to name servers. */
function failed(failure: Failure, sides: Sides = { egress: true, ingress: true }): Connection {
  return {
    ...failure,
    ...sides,
    address: undefined,
    port: undefined,
    drops: [],
    exchange: undefined,
  };
}

function unreachable(reason: string): Failure {
  return { verdict: "unreachable", reason };
}

function notRunning(pod: Pod): string {
  const waiting = pod.status?.containerStatuses?.[0]?.state?.waiting?.reason;
  const why = waiting ?? pod.status?.conditions?.find((c) => c.status === "False")?.message;
  const phase = pod.status?.phase ?? "Pending";
  return `pod ${objectKey(pod)} has no network: ${phase}${why === undefined ? "" : `, ${why}`}`;
}

/** A rule's origin says which side it is for; otherwise the place where the packet was dropped does. */
function sideOf(drop: Drop, source: NetNamespace): "egress" | "ingress" {
  const detail = drop.rule?.origin?.detail ?? "";
  if (detail.startsWith("egress")) return "egress";
  if (detail.startsWith("ingress")) return "ingress";
  return drop.netns.kernel === source.kernel ? "egress" : "ingress";
}

function sidesOfDrop(drop: Drop | undefined, source: NetNamespace): Sides {
  const sides = { egress: true, ingress: true };
  if (drop !== undefined) sides[sideOf(drop, source)] = false;
  return sides;
}

/** What policies say where a name came to nothing: of the source's own questions, which are all that was sent. */
function sidesOf({ lookup }: Failure, { netns }: Source): Sides {
  const own = lostQuestions(lookup?.drops ?? [], netns, lookup?.steps ?? []).filter((l) => l.own);
  return sidesOfDrop(policyDrop(own.map(({ drop }) => drop)), netns);
}

/** Whether the destination's policies let in what the source's do not let out. */
function admitted(source: NetNamespace, asked: ExchangeRequest): boolean {
  const overlooks = ({ origin }: FilterRule) =>
    isPolicyOrigin(origin) && origin?.detail?.startsWith("egress") === true;
  return policyDrop(exchange(source, { ...asked, overlooks }).drops) === undefined;
}

/** The first address of a family that a namespace has an address of; else the first at all. */
function firstSpoken(netns: NetNamespace, addresses: readonly IpAddress[]): IpAddress | undefined {
  const own = new Set(addressesOf(netns).map(familyOf));
  return addresses.find((a) => own.has(familyOf(a))) ?? addresses[0];
}

function addressesOf(netns: NetNamespace): IpAddress[] {
  return netns.devices
    .flatMap((dev) => dev.addresses.map((a) => a.address))
    .filter((a) => !isLoopback(a) && !isLinkLocal(a));
}

function numeric(
  port: number | string | undefined,
  protocol: ConnectProtocol,
  text: string,
): number | undefined {
  if (protocol === "ICMP") return undefined;
  if (typeof port === "number") return port;
  return missingPort(port, protocol, text, []);
}

function missingPort(
  port: number | string | undefined,
  protocol: ConnectProtocol,
  text: string,
  there: readonly string[],
): never {
  const known = there.length === 0 ? "" : `; it has ${[...new Set(there)].join(", ")}`;
  throw new InputError(
    port === undefined
      ? `say which ${protocol} port is meant, as in ${text}:80`
      : `there is no ${protocol} port named ${port}${known}; write its number`,
    `"${text}"`,
  );
}
