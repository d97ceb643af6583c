import { formatIp } from "@cnilab/net";
import { GROUP, VERSION } from "../api/kinds.ts";
import type { CiliumEndpoint, EndpointStatus } from "../api/v2/endpoint.ts";
import { printLabels } from "../labels/label-set.ts";
import type { AgentPart } from "./agent-part.ts";
import type { CiliumAgent } from "./cilium-agent.ts";
import type { Endpoint } from "./endpoint.ts";

/** Of WireGuard (pkg/wireguard/types StaticEncryptKey). */
const STATIC_ENCRYPT_KEY = 255;

/** A CiliumEndpoint for each pod of the node, by which other nodes know its identity (pkg/k8s/watchers endpointsynchronizer). */
export class EndpointObjects implements AgentPart {
  readonly name = "endpoint-objects";
  readonly #agent: CiliumAgent;

  constructor(agent: CiliumAgent) {
    this.#agent = agent;
  }

  start(): void {}

  /** The objects stay. */
  stop(): void {}

  /** Nothing is told of an endpoint that waits for its identity. */
  endpointChanged(endpoint: Endpoint): void {
    if (endpoint.podKey === undefined || endpoint.state !== "ready") return;
    const { api } = this.#agent.node;
    const status = this.#statusOf(endpoint);
    const there = api.get("CiliumEndpoint.cilium.io", endpoint.podKey);
    if (there === undefined) {
      api.create<"CiliumEndpoint.cilium.io">(this.#objectOf(endpoint, status));
      return;
    }
    api.update("CiliumEndpoint.cilium.io", endpoint.podKey, (object) =>
      JSON.stringify(object.status) === JSON.stringify(status) ? object : { ...object, status },
    );
  }

  endpointRemoved(endpoint: Endpoint): void {
    if (endpoint.podKey === undefined) return;
    const { api } = this.#agent.node;
    const there = api.get("CiliumEndpoint.cilium.io", endpoint.podKey);
    // A pod of the same name may be on another node by now.
    if (there?.status.id !== endpoint.id || !this.#isHere(there)) return;
    api.delete("CiliumEndpoint.cilium.io", endpoint.podKey);
  }

  #isHere({ status }: CiliumEndpoint): boolean {
    return status.networking?.node === this.#nodeIp;
  }

  #objectOf({ pod }: Endpoint, status: EndpointStatus): CiliumEndpoint {
    const { namespace = "default", name = "", uid = "" } = pod ?? {};
    const labels = this.#agent.node.api.get("Pod", `${namespace}/${name}`)?.metadata.labels;
    return {
      apiVersion: `${GROUP}/${VERSION}`,
      kind: "CiliumEndpoint",
      metadata: {
        namespace,
        name,
        ...(labels !== undefined && { labels }),
        ...(uid !== "" && { ownerReferences: [{ apiVersion: "v1", kind: "Pod", name, uid }] }),
      },
      status,
    };
  }

  #statusOf(endpoint: Endpoint): EndpointStatus {
    const { id, containerId, interfaceName, pod, ipv4, ipv6, identity, labels } = endpoint;
    const { namespace = "", name = "" } = pod ?? {};
    return {
      id,
      "external-identifiers": {
        "cni-attachment-id": `${containerId}:${interfaceName}`,
        "container-id": containerId,
        "k8s-namespace": namespace,
        "k8s-pod-name": name,
        "pod-name": `${namespace}/${name}`,
      },
      identity: { id: identity, labels: printLabels(labels) },
      networking: {
        addressing: [
          {
            ...(ipv4 !== undefined && { ipv4: formatIp(ipv4) }),
            ...(ipv6 !== undefined && { ipv6: formatIp(ipv6) }),
          },
        ],
        node: this.#nodeIp,
      },
      encryption: { key: this.#agent.config.wireguard === undefined ? 0 : STATIC_ENCRYPT_KEY },
      ...this.#namedPorts(endpoint),
      state: "ready",
    };
  }

  #namedPorts({ podKey }: Endpoint): Pick<EndpointStatus, "named-ports"> {
    const containers = this.#agent.node.api.get("Pod", podKey ?? "")?.spec.containers ?? [];
    const ports = containers.flatMap((container) =>
      (container.ports ?? []).flatMap(({ name, containerPort, protocol = "TCP" }) =>
        name === undefined ? [] : [{ name, port: containerPort, protocol }],
      ),
    );
    return ports.length === 0 ? {} : { "named-ports": ports };
  }

  /** What tunnels go to (pkg/node GetCiliumEndpointNodeIP). */
  get #nodeIp(): string {
    const { node, config } = this.#agent;
    const { underlay } = config.routing;
    const own = node.addresses.find((a) => (typeof a === "number" ? 4 : 6) === underlay);
    const address = own ?? node.addresses[0];
    return address === undefined ? "" : formatIp(address);
  }
}
