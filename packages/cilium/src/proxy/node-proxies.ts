import { KernelError } from "@cnilab/linux";
import { IPPROTO_TCP, IPPROTO_UDP, type IpAddress } from "@cnilab/net";
import type { CiliumAgent } from "../agent/cilium-agent.ts";
import type { Endpoint } from "../agent/endpoint.ts";
import { ClusterSecurity } from "../agent/policy/cluster-security.ts";
import { PolicyPart } from "../agent/policy/policy-part.ts";
import { CtTuple, TUPLE_F_IN, TUPLE_F_OUT } from "../datapath/maps/conntrack-map.ts";
import { ipcacheKeyOf } from "../datapath/maps/ipcache-map.ts";
import type { AccessLogMessage } from "../hubble/access-log-message.ts";
import { type NumericIdentity, RESERVED_IDENTITY } from "../identity/numeric-identity.ts";
import type { Redirect } from "../policy/endpoint-policy.ts";
import type { TrafficDirection } from "../policy/policy-map-key.ts";
import type { ResolvedPolicy } from "../policy/policy-repository.ts";
import { DnsProxy } from "./dns/dns-proxy.ts";
import { DnsRules } from "./dns/dns-rules.ts";
import { NameManager, type NameSink } from "./dns/name-manager.ts";
import { headerSecret } from "./http/header-secret.ts";
import { type IdentityLabels, ProxyNetworkPolicy } from "./http/network-policy.ts";
import { PolicyListener } from "./http/policy-listener.ts";
import type { ProxiedEndpoint, ProxiedEnds, ProxyEnvironment } from "./proxy-environment.ts";
import { type ListenerName, listenerOf, ProxyPorts } from "./proxy-ports.ts";
import { PROXY_CHAIN, tproxyRules } from "./proxy-rules.ts";

/** A redirect, and the proxy that it leads to. */
export interface ActiveRedirect {
  readonly name: string;
  readonly proxy: ListenerName;
  readonly proxyPort: number;
}

interface EndpointRedirects {
  readonly endpoint: Endpoint;
  readonly redirects: readonly Redirect[];
  /** What listeners judge by, made when a connection first asks. */
  judged: { readonly by: ResolvedPolicy; readonly policy: ProxyNetworkPolicy } | undefined;
}

/**
 * The proxies of one node. cilium-envoy is a program beside the agent and goes on while that is away, with what it was told last; the DNS
 * proxy is in the agent. Ports and names are kept over restarts (proxy_ports_state.json, endpoints' headers).
 */
export class NodeProxies implements ProxyEnvironment {
  readonly names: NameManager;
  readonly #agent: CiliumAgent;
  readonly #ports: ProxyPorts;
  readonly #rules: DnsRules;
  readonly #listeners = new Map<ListenerName, PolicyListener>();
  readonly #byEndpoint = new Map<number, EndpointRedirects>();
  /** Ports by what redirects are called. */
  readonly #portOf = new Map<string, number>();
  readonly #labelsOf: IdentityLabels;
  #dns: DnsProxy | undefined;

  constructor(agent: CiliumAgent) {
    this.#agent = agent;
    const { clock } = agent.cluster;
    const { dnsProxy } = agent.config;
    const { selectors } = agent.cluster.part(ClusterSecurity).policies;
    this.#labelsOf = (identity) => selectors.labelsOf(identity);
    this.#rules = new DnsRules(this.#labelsOf);
    this.names = new NameManager(clock, dnsProxy, (id) => this.#connectionsOf(id));
    this.#ports = new ProxyPorts(agent.random.fork("proxy-ports"), (port) => this.#isOpen(port));
    this.random = agent.random.fork("proxies");
  }

  readonly random: ProxyEnvironment["random"];

  get nodeName(): string {
    return this.#agent.node.name;
  }

  get netns(): ProxyEnvironment["netns"] {
    return this.#agent.kernel.initNs;
  }

  endpointAt(address: IpAddress): ProxiedEndpoint | undefined {
    const { endpoints, node } = this.#agent;
    const endpoint = endpoints.byAddress(address);
    return endpoint ?? (node.addresses.includes(address) ? endpoints.host : undefined);
  }

  identityOf(address: IpAddress): NumericIdentity {
    const entry = this.#agent.maps.ipcache.get(ipcacheKeyOf(address));
    return entry?.identity ?? RESERVED_IDENTITY.world;
  }

  /** An address alone does not tell who is behind another node's (cilium/conntrack.cc lookupSrcIdentity). */
  sourceIdentity(ends: ProxiedEnds, ingress: boolean): NumericIdentity {
    const { client, clientPort, server, serverPort, protocol } = ends;
    const flags = ingress ? TUPLE_F_IN : TUPLE_F_OUT;
    const tuple = new CtTuple(client, server, serverPort, clientPort, protocol, flags);
    const tracked = this.#agent.maps.ct(client, protocol).get(tuple)?.srcSecId ?? 0;
    if (tracked !== 0) return tracked;
    return this.#agent.endpoints.byAddress(client)?.identity ?? this.identityOf(client);
  }

  policyOf(endpointId: number): ProxyNetworkPolicy | undefined {
    const own = this.#byEndpoint.get(endpointId);
    if (own === undefined) return undefined;
    const resolved = this.#agent.part(PolicyPart)?.resolved(own.endpoint);
    if (resolved === undefined || own.judged?.by === resolved) return own.judged?.policy;
    const namedPort = (_direction: unknown, name: string): number => {
      const named = own.redirects.find(({ filter }) => filter.portName === name);
      return named === undefined ? 0 : portOf(named);
    };
    const { api } = this.#agent.node;
    const policy = new ProxyNetworkPolicy(resolved, { namedPort }, this.#labelsOf, (match) =>
      headerSecret(api, match),
    );
    own.judged = { by: resolved, policy };
    return policy;
  }

  log(message: AccessLogMessage): void {
    const { events } = this.#agent.maps;
    if (events.isRead) events.output(message);
  }

  /** Sorted by what they are called. */
  get redirects(): readonly ActiveRedirect[] {
    const all = [...this.#byEndpoint.values()].flatMap(({ redirects }) => redirects);
    return all
      .flatMap(({ proxyId, parser }) => {
        const proxy = listenerOf(parser, directionOf(proxyId));
        const proxyPort = this.#portOf.get(proxyId);
        return proxy === undefined || proxyPort === undefined
          ? []
          : { name: proxyId, proxy, proxyPort };
      })
      .sort((x, y) => (x.name < y.name ? -1 : 1));
  }

  proxyPort(proxyId: string): number {
    return this.#portOf.get(proxyId) ?? 0;
  }

  /** All that the endpoint now needs; none when it needs no more. */
  setRedirects(endpoint: Endpoint, redirects: readonly Redirect[]): void {
    const own = this.#byEndpoint.get(endpoint.id);
    for (const { proxyId } of own?.redirects ?? []) this.#portOf.delete(proxyId);
    if (redirects.length === 0) this.#byEndpoint.delete(endpoint.id);
    else this.#byEndpoint.set(endpoint.id, { endpoint, redirects, judged: undefined });
    for (const { proxyId, parser } of redirects) {
      const name = listenerOf(parser, directionOf(proxyId));
      const port = name === undefined ? undefined : this.#listen(name);
      if (port !== undefined) this.#portOf.set(proxyId, port);
    }
    this.#rules.set(
      endpoint.id,
      redirects.filter(({ parser }) => parser === "dns"),
    );
  }

  /** The agent is back: its rules are there again, and its own proxy listens. */
  start(sink: NameSink): void {
    this.names.start(sink);
    const { rejectCode } = this.#agent.config.dnsProxy;
    const { families } = this.#agent.config;
    const port = this.#ports.allocate("cilium-dns-egress");
    if (port === undefined) return;
    const options = { port, families, rejectCode, rules: this.#rules, names: this.names };
    try {
      this.#dns = new DnsProxy(this, options);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      return;
    }
    for (const name of [...this.#listeners.keys(), "cilium-dns-egress"] as const) {
      this.#installRules(name);
    }
  }

  stop(): void {
    // What listeners go on with.
    for (const id of this.#byEndpoint.keys()) this.policyOf(id);
    this.#dns?.close();
    this.#dns = undefined;
    this.names.stop();
  }

  /** @returns its port; `undefined` where there is none left */
  #listen(name: ListenerName): number | undefined {
    const port = this.#ports.allocate(name);
    if (port === undefined || name === "cilium-dns-egress" || this.#listeners.has(name))
      return port;
    this.#listeners.set(name, new PolicyListener(this, name, port, this.#agent.config.families));
    this.#installRules(name);
    return port;
  }

  #installRules(name: ListenerName): void {
    const port = this.#ports.get(name) as number;
    for (const family of this.#agent.config.families) {
      const iptables = this.netns.iptables(family);
      for (const rule of tproxyRules(family, name, port)) {
        iptables.append("mangle", PROXY_CHAIN, rule);
      }
    }
  }

  #isOpen(port: number): boolean {
    const { sockets } = this.netns;
    return [IPPROTO_TCP, IPPROTO_UDP].some(
      (protocol) => sockets.listening(protocol, port).length > 0,
    );
  }

  /** Whom it has connections to, as they are tracked (pkg/maps/ctmap/gc). */
  *#connectionsOf(endpointId: number): Iterable<IpAddress> {
    const { endpoints, maps, cluster } = this.#agent;
    const own = new Set(endpoints.get(endpointId)?.addresses);
    const seconds = cluster.clock.now / 1000;
    for (const map of [maps.ct4, maps.ctAny4, maps.ct6, maps.ctAny6]) {
      for (const [{ daddr, saddr, flags }, { lifetime }] of map.entries()) {
        // Its source stands there as the destination of the way back.
        if (flags === TUPLE_F_OUT && lifetime >= seconds && own.has(daddr)) yield saddr;
      }
    }
  }
}

function directionOf(proxyId: string): TrafficDirection {
  return proxyId.split(":")[1] === "ingress" ? "ingress" : "egress";
}

/** Of a redirect; names of ports have become numbers in what it is called. */
function portOf({ proxyId }: Redirect): number {
  return Number(proxyId.split(":")[3]);
}
