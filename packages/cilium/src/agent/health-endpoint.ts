import { startEchoServer } from "@cnilab/linux";
import { familyOf, IPPROTO_TCP, type IpAddress } from "@cnilab/net";
import { RESERVED_IDENTITY } from "../identity/numeric-identity.ts";
import { parseLabels } from "../labels/label-set.ts";
import { DEVICE } from "../names/devices.ts";
import type { AgentPart } from "./agent-part.ts";
import type { CiliumAgent } from "./cilium-agent.ts";
import { Endpoint } from "./endpoint.ts";
import { setUpInterface } from "./endpoint-interface.ts";

/** Namespace and inner device of the endpoint, and its port (cilium-health/launch/endpoint.go, pkg/defaults). */
const NAMESPACE = "cilium-health";
const INNER = "cilium";
const PORT = 4240;
const LABELS = parseLabels(["reserved:health"]);

/** The endpoint by which other nodes see whether packets get to this one's pods. Nobody asks it by himself: nodes do not probe each other here. */
export class HealthEndpoint implements AgentPart {
  readonly name = "health-endpoint";
  readonly #agent: CiliumAgent;

  constructor(agent: CiliumAgent) {
    this.#agent = agent;
  }

  /** One of a former run stays: its address is the node's own. */
  start(): void {
    const { endpoints, allocation } = this.#agent;
    for (const endpoint of endpoints) if (endpoint.kind === "health") return;
    if (allocation.health.length > 0) this.#launch(allocation.health);
  }

  stop(): void {}

  #launch(addresses: readonly IpAddress[]): void {
    const agent = this.#agent;
    const { kernel, devices, endpoints } = agent;
    const id = endpoints.freeId();
    if (id === undefined) return;
    const netns = kernel.findNamespace(NAMESPACE) ?? kernel.addNamespace(NAMESPACE);
    netns.loopback.setUp();
    const { outer, inner } = setUpInterface(kernel.initNs, netns, {
      hostName: DEVICE.health,
      temporaryName: INNER,
      name: INNER,
      addresses: addresses.map((address) => ({
        address,
        gateway: agent.router(familyOf(address)) as IpAddress,
      })),
      mtu: devices.mtu.device,
      routeMtu: devices.mtu.route,
    });
    startEchoServer(netns, { protocol: IPPROTO_TCP, port: PORT, owner: "cilium-health" });
    const endpoint = new Endpoint({
      id,
      kind: "health",
      containerId: "",
      interfaceName: INNER,
      addresses,
      device: outer,
      mac: inner.mac,
      netnsCookie: kernel.bpf.netnsCookie(netns),
    });
    endpoint.identity = RESERVED_IDENTITY.health;
    endpoint.labels = LABELS;
    agent.endpoints.add(endpoint);
  }
}
