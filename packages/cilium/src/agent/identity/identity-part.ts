import type { IpAddress } from "@cnilab/net";
import { Loader } from "../../loader/loader.ts";
import type { AgentPart } from "../agent-part.ts";
import type { CiliumAgent } from "../cilium-agent.ts";
import type { Endpoint } from "../endpoint.ts";
import { ClusterSecurity } from "../policy/cluster-security.ts";
import { DnsNames } from "../policy/dns-names.ts";
import { PolicyPart } from "../policy/policy-part.ts";
import type { NodeIpcache } from "./cluster-ipcache.ts";
import { EndpointIdentities } from "./endpoint-identities.ts";
import { hostAddresses } from "./host-addresses.ts";

/** Tells a node's endpoints who they are, and its map of addresses who others are. */
export class IdentityPart implements AgentPart {
  readonly name = "identity";
  readonly #agent: CiliumAgent;
  readonly #security: ClusterSecurity;
  readonly #identities: EndpointIdentities;
  #ipcache: NodeIpcache | undefined;
  #names: DnsNames | undefined;
  /** Parts are told of it, and of its first identity with that. */
  #adding: Endpoint | undefined;

  constructor(agent: CiliumAgent) {
    this.#agent = agent;
    this.#security = agent.cluster.part(ClusterSecurity);
    this.#identities = new EndpointIdentities(this.#security.identities, {
      node: agent.node.name,
      random: agent.random.fork("identities"),
      changed: (endpoint) => this.#changed(endpoint as Endpoint),
    });
  }

  start(): void {
    const { node, maps } = this.#agent;
    this.#ipcache = this.#security.policies.ipcache.join({
      map: maps.ipcache,
      nodeIps: node.addresses,
      addresses: hostAddresses(this.#agent),
    });
    this.#names = new DnsNames(this.#security.policies.selectors, this.#ipcache);
  }

  stop(): void {
    this.#identities.stop();
    this.#names?.stop();
    this.#ipcache?.leave();
  }

  endpointAdded(endpoint: Endpoint): void {
    this.#adding = endpoint;
    this.#identities.add(endpoint);
    this.#adding = undefined;
  }

  endpointRemoved(endpoint: Endpoint): void {
    this.#identities.remove(endpoint);
  }

  /** All names of DNS that an address has on this node, as its proxy has learned them; none where the last one is forgotten. */
  setDnsNames(address: IpAddress, names: readonly string[]): void {
    this.#names?.set(address, names);
  }

  /** Whether the node hears of nothing: addresses, identities and labels stay as they are, and no new identity can be made. */
  get isCutOff(): boolean {
    return this.#identities.isCutOff;
  }

  /** A fault: the API server is out of the agent's reach, or is again. */
  setCutOff(isCutOff: boolean): void {
    this.#ipcache?.setCutOff(isCutOff);
    this.#agent.part(PolicyPart)?.setCutOff(isCutOff);
    this.#identities.isCutOff = isCutOff;
  }

  /** Regeneration: its policy, its programs, and what others are told (pkg/endpoint/policy.go regenerate). */
  #changed(endpoint: Endpoint): void {
    if (endpoint === this.#adding) {
      endpoint.state = "waiting-to-regenerate";
      return;
    }
    endpoint.state = "regenerating";
    this.#agent.part(PolicyPart)?.identityChanged(endpoint);
    this.#agent.part(Loader)?.reload(endpoint);
    endpoint.state = "ready";
    this.#agent.tellChanged(endpoint);
  }
}
