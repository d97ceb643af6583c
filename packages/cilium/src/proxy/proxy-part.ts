import type { AgentPart } from "../agent/agent-part.ts";
import type { CiliumAgent } from "../agent/cilium-agent.ts";
import type { Endpoint } from "../agent/endpoint.ts";
import { IdentityPart } from "../agent/identity/identity-part.ts";
import type { L7Proxy, PolicyEndpoint } from "../agent/policy/endpoint-policies.ts";
import { PolicyPart } from "../agent/policy/policy-part.ts";
import { DEVICE } from "../names/devices.ts";
import type { Redirect } from "../policy/endpoint-policy.ts";
import { NodeProxies } from "./node-proxies.ts";
import { installFromProxyRoutes, installToProxyRoutes } from "./proxy-routes.ts";

/** By their agents, which are there as long as their nodes. */
const PROXIES = new WeakMap<CiliumAgent, NodeProxies>();

/** Brings a node its proxies for policies of HTTP and DNS (pkg/proxy). To be started when the chains of iptables are there. */
export class ProxyPart implements AgentPart, L7Proxy {
  readonly name = "proxy";
  readonly proxies: NodeProxies;
  readonly #agent: CiliumAgent;

  constructor(agent: CiliumAgent) {
    this.#agent = agent;
    this.proxies = PROXIES.get(agent) ?? new NodeProxies(agent);
    PROXIES.set(agent, this.proxies);
  }

  start(): void {
    this.#installRoutes();
    this.proxies.start((address, names) => {
      this.#agent.part(IdentityPart)?.setDnsNames(address, names);
    });
    const policies = this.#agent.part(PolicyPart);
    if (policies !== undefined) policies.proxy = this;
  }

  stop(): void {
    this.proxies.stop();
  }

  endpointRemoved(endpoint: Endpoint): void {
    this.proxies.names.endpointRemoved(endpoint.id);
    this.proxies.setRedirects(endpoint, []);
  }

  setRedirects(endpoint: PolicyEndpoint, redirects: readonly Redirect[]): void {
    const own = this.#agent.endpoints.get(endpoint.id);
    if (own !== undefined) this.proxies.setRedirects(own, redirects);
  }

  proxyPort(proxyId: string): number {
    return this.proxies.proxyPort(proxyId);
  }

  /**
   * With tunnels, or without encryption, what proxies of ingress send finds its way by the node's own routes; with IPsec that of egress
   * would not (requireFromProxyRoutes).
   */
  #installRoutes(): void {
    const { config, kernel } = this.#agent;
    const isNeeded = config.routing.mode === "native" && config.wireguard !== undefined;
    for (const family of config.families) {
      installToProxyRoutes(kernel.initNs, family);
      // IPv6 takes no address of the device itself as a gateway: that of its other end stands there (getCiliumNetIPv6).
      const router =
        family === 4
          ? this.#agent.router(4)
          : kernel.initNs.device(DEVICE.net).addresses6SoFar[0]?.address;
      if (!isNeeded || router === undefined) continue;
      installFromProxyRoutes(kernel.initNs, router, family, this.#agent.mtu);
    }
  }
}
