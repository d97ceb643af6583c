import { CNI_ERROR, CniError } from "@cnilab/core";
import type { NetDevice, NetNamespace } from "@cnilab/linux";
import { formatIp, type IpAddress, type Mac } from "@cnilab/net";
import type { CiliumAgent } from "./cilium-agent.ts";
import { Endpoint } from "./endpoint.ts";

/** What the CNI plugin says of a pod (`PUT /endpoint`). */
export interface EndpointRequest {
  readonly containerId: string;
  readonly interfaceName: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly addresses: readonly IpAddress[];
  readonly device: NetDevice;
  readonly mac: Mac;
  readonly sandbox: NetNamespace;
}

/** daemon/cmd/endpoint.go createEndpoint. @throws CniError */
export function createEndpoint(agent: CiliumAgent, request: EndpointRequest): Endpoint {
  const { endpoints } = agent;
  for (const address of request.addresses) {
    if (endpoints.byAddress(address) === undefined) continue;
    throw failed(
      `[PUT /endpoint/{id}][400] putEndpointIdInvalid "IP ipv${typeof address === "number" ? 4 : 6}:${formatIp(address)} is already in use"`,
    );
  }
  if (endpoints.byContainer(request.containerId, request.interfaceName) !== undefined) {
    throw failed(`[PUT /endpoint/{id}][409] putEndpointIdExists`);
  }
  const id = endpoints.freeId();
  if (id === undefined) {
    throw failed(
      `[PUT /endpoint/{id}][500] putEndpointIdFailed "unable to allocate endpoint ID: no more endpoint IDs available"`,
    );
  }
  const { namespace, name, uid } = request;
  const endpoint = new Endpoint({
    id,
    kind: "pod",
    containerId: request.containerId,
    interfaceName: request.interfaceName,
    pod: { namespace, name, uid },
    addresses: request.addresses,
    device: request.device,
    mac: request.mac,
    netnsCookie: agent.kernel.bpf.netnsCookie(request.sandbox),
  });
  agent.addEndpoint(endpoint);
  return endpoint;
}

function failed(message: string): CniError {
  return new CniError(CNI_ERROR.generic, `unable to create endpoint: ${message}`);
}
