import type { Pod } from "@cnilab/core";
import { Prefix } from "@cnilab/net";
import { cidrLabel } from "../../labels/cidr-labels.ts";
import { type LabelSet, labelSet } from "../../labels/label-set.ts";
import { reservedLabel } from "../../labels/reserved-labels.ts";
import type { ResolvedPolicy } from "../../policy/policy-repository.ts";
import type { AgentPart } from "../agent-part.ts";
import type { CiliumAgent } from "../cilium-agent.ts";
import type { Endpoint } from "../endpoint.ts";
import { hostAddresses } from "../identity/host-addresses.ts";
import { ClusterSecurity } from "./cluster-security.ts";
import type { L7Proxy, PolicyNode, PolicyStatus } from "./endpoint-policies.ts";
import { type PodPorts, portsOfPod } from "./named-ports.ts";

/** Keeps the policy maps of a node's endpoints. */
export class PolicyPart implements AgentPart {
  readonly name = "policy";
  /** To be set before endpoints are told of, by whoever brings proxies. */
  proxy: L7Proxy | undefined;
  readonly #agent: CiliumAgent;
  readonly #security: ClusterSecurity;
  readonly #node: PolicyNode;
  #hostLabels: LabelSet = [reservedLabel("host")];
  #isCutOff = false;
  #stop: (() => void) | undefined;

  constructor(agent: CiliumAgent) {
    this.#agent = agent;
    this.#security = agent.cluster.part(ClusterSecurity);
    const hostLabels = () => this.#hostLabels;
    const proxy = () => this.proxy;
    this.#node = {
      name: agent.node.name,
      get hostLabels() {
        return hostLabels();
      },
      get proxy() {
        return proxy();
      },
    };
  }

  start(): void {
    this.#hostLabels = this.#labelsOfHost();
    this.#stop = this.#security.policies.ipcache.onApiServers(() => {
      const labels = this.#labelsOfHost();
      if (labels.length === this.#hostLabels.length) return;
      this.#hostLabels = labels;
      for (const endpoint of this.#agent.endpoints) this.#endpoints.update(endpoint);
    });
  }

  stop(): void {
    this.#stop?.();
    for (const endpoint of this.#agent.endpoints) this.#endpoints.remove(endpoint);
  }

  endpointAdded(endpoint: Endpoint): void {
    const map = this.#agent.maps.lxcPolicy(endpoint.id);
    this.#endpoints.add(this.#node, endpoint, map, this.#portsOf(endpoint));
  }

  endpointRemoved(endpoint: Endpoint): void {
    this.#endpoints.remove(endpoint, false);
  }

  identityChanged(endpoint: Endpoint): void {
    if (!this.#isCutOff) this.#endpoints.update(endpoint);
  }

  /** A proxy that the endpoint's policy sends something to has another port. */
  proxyChanged(endpoint: Endpoint): void {
    this.#endpoints.proxyChanged(endpoint);
  }

  /** What became of the endpoint's policy; `undefined` before it had one. */
  status(endpoint: Endpoint): PolicyStatus | undefined {
    return this.#endpoints.status(endpoint);
  }

  resolved(endpoint: Endpoint): ResolvedPolicy | undefined {
    return this.#endpoints.resolved(endpoint);
  }

  /** Maps stay as they are, or follow again. */
  setCutOff(isCutOff: boolean): void {
    if (this.#isCutOff === isCutOff) return;
    this.#isCutOff = isCutOff;
    for (const endpoint of this.#agent.endpoints) {
      if (isCutOff) this.#endpoints.remove(endpoint);
      else this.endpointAdded(endpoint);
    }
  }

  get #endpoints() {
    return this.#security.policies.endpoints;
  }

  /** Of the identity 1 here: the host may be an API server, and have ranges where those match nodes. */
  #labelsOfHost(): LabelSet {
    const { ipcache } = this.#security.policies;
    const addresses = hostAddresses(this.#agent);
    const labels = [reservedLabel("host")];
    if (addresses.some((address) => ipcache.isApiServer(address))) {
      labels.push(reservedLabel("kube-apiserver"));
    }
    if (this.#agent.config.policy.cidrMatchesNodes) {
      labels.push(...addresses.map((address) => cidrLabel(Prefix.host(address))));
    }
    return labelSet(labels);
  }

  #portsOf({ podKey }: Endpoint): PodPorts {
    const pod: Pod | undefined =
      podKey === undefined ? undefined : this.#agent.node.api.get("Pod", podKey);
    return pod === undefined ? NO_PORTS : portsOfPod(pod);
  }
}

const NO_PORTS: PodPorts = new Map();
