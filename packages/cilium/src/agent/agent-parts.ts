import { IptablesRules } from "../iptables/iptables-rules.ts";
import { Loader } from "../loader/loader.ts";
import { SocketLb } from "../loader/socket-lb.ts";
import { ProxyPart } from "../proxy/proxy-part.ts";
import { WireguardPart } from "../wireguard/wireguard-part.ts";
import type { AgentPartFactory } from "./agent-part.ts";
import { ConntrackGc } from "./conntrack/conntrack-gc.ts";
import { EndpointObjects } from "./endpoint-objects.ts";
import { HealthEndpoint } from "./health-endpoint.ts";
import { IdentityPart } from "./identity/identity-part.ts";
import { IpMasqAgent } from "./ip-masq-agent.ts";
import { NodeRoutes } from "./node-routes.ts";
import { PolicyPart } from "./policy/policy-part.ts";
import { NodeServices } from "./services/node-services.ts";

/** The parts of an agent in the order of their start. Each thing that brings one adds a line. */
export const AGENT_PARTS: readonly AgentPartFactory[] = [
  // What a program is compiled with is known before:
  (agent) => new IdentityPart(agent),
  (agent) => new PolicyPart(agent),
  (agent) => new Loader(agent),
  (agent) => new SocketLb(agent),
  (agent) => new EndpointObjects(agent),
  (agent) => new HealthEndpoint(agent),
  (agent) => new NodeRoutes(agent),
  (agent) => new IptablesRules(agent),
  (agent) => new IpMasqAgent(agent),
  (agent) => (agent.config.l7Proxy ? new ProxyPart(agent) : undefined),
  (agent) => (agent.config.wireguard === undefined ? undefined : new WireguardPart(agent)),
  (agent) => new NodeServices(agent),
  (agent) => new ConntrackGc(agent),
];
