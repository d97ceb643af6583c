import { CNI_ERROR, type CniCall, CniError, type CniPlugin, type CniResult } from "@cnilab/core";
import { type Kernel, KernelError, type Veth } from "@cnilab/linux";
import {
  addressBits,
  familyOf,
  formatIp,
  formatMac,
  type IpAddress,
  Prefix,
  tryParseInterfaceAddress,
  tryParseIp,
} from "@cnilab/net";
import { CiliumAgent } from "../agent/cilium-agent.ts";
import { createEndpoint } from "../agent/endpoint-create.ts";
import {
  DEFAULT_ROUTE,
  type EndpointAddress,
  setUpInterface,
} from "../agent/endpoint-interface.ts";
import { endpointInterfaceName, temporaryInterfaceName } from "../names/interface-names.ts";

/** Stands for the agent's IPAM where the plugin asks for addresses. */
export const CILIUM_IPAM = "cilium-agent";

/** The plugin cilium-cni (plugins/cilium-cni/cmd/cmd.go): addresses and an endpoint from the agent, a veth between. */
export class CiliumCni implements CniPlugin {
  readonly type = "cilium-cni";
  readonly supportedVersions: readonly string[] = [
    "0.1.0",
    "0.2.0",
    "0.3.0",
    "0.3.1",
    "0.4.0",
    "1.0.0",
    "1.1.0",
  ];

  add(call: CniCall): CniResult {
    const kernel = call.host as Kernel;
    const agent = runningAgent(kernel);
    if (call.config.prevResult !== undefined) {
      throw failure(
        "CNI PrevResult supplied, but not in chaining mode -- this is invalid, please set chaining-mode in CNI configuration",
      );
    }
    const sandbox = kernel.findNamespace(call.netns);
    if (sandbox === undefined) {
      throw failure(`opening netns pinned at ${call.netns}: no such file or directory`);
    }
    sandbox.findDevice(call.ifName)?.remove();
    const ipam = { type: CILIUM_IPAM };
    const given = call.delegate(CILIUM_IPAM, "ADD", { ...call.config, ipam });
    let host: Veth | undefined;
    try {
      const addresses = addressesOf(given, agent);
      const id = `${call.containerId}:${call.ifName}`;
      const { outer, inner } = setUpInterface(kernel.initNs, sandbox, {
        hostName: endpointInterfaceName(id),
        temporaryName: temporaryInterfaceName(id),
        name: call.ifName,
        addresses,
        mtu: agent.devices.mtu.device,
        routeMtu: agent.mtu,
      });
      host = outer;
      const { namespace, name, uid } = podOf(call.args);
      createEndpoint(agent, {
        containerId: call.containerId,
        interfaceName: call.ifName,
        namespace,
        name,
        uid,
        addresses: addresses.map(({ address }) => address),
        device: outer,
        mac: inner.mac,
        sandbox,
      });
      return resultOf(call, outer, inner, addresses, agent.mtu);
    } catch (error) {
      host?.remove();
      call.delegate(CILIUM_IPAM, "DEL", { ...call.config, ipam });
      if (error instanceof KernelError)
        throw failure(`unable to set up link on host side: ${error.message}`);
      throw error;
    }
  }

  /** While the agent is away the request is queued, and the agent does it when it is back (plugins/cilium-cni/lib/deletion_queue.go). */
  del(call: CniCall): void {
    const kernel = call.host as Kernel;
    const agent = CiliumAgent.of(kernel);
    kernel.findNamespace(call.netns)?.findDevice(call.ifName)?.remove();
    const endpoint = agent?.endpoints.byContainer(call.containerId, call.ifName);
    if (endpoint !== undefined) agent?.deleteEndpoint(endpoint);
    call.delegate(CILIUM_IPAM, "DEL", { ...call.config, ipam: { type: CILIUM_IPAM } });
  }

  check(call: CniCall): void {
    const kernel = call.host as Kernel;
    const agent = runningAgent(kernel);
    const endpoint = agent.endpoints.byContainer(call.containerId, call.ifName);
    if (endpoint === undefined) {
      throw failure(
        `unable to retrieve health for endpoint: [GET /endpoint/{id}/healthz][404] getEndpointIdHealthzNotFound`,
      );
    }
    const dev = kernel.findNamespace(call.netns)?.findDevice(call.ifName);
    if (dev === undefined) throw failure(`cannot find container link ${call.ifName}`);
    for (const { address } of addressesOf(call.config.prevResult, agent)) {
      if (dev.hasAddress(address)) continue;
      throw failure(`expected ip ${formatIp(address)} not found on interface ${call.ifName}`);
    }
  }
}

/** @throws CniError where its socket is not there */
function runningAgent(kernel: Kernel): CiliumAgent {
  const agent = CiliumAgent.of(kernel);
  if (agent?.isUp === true) return agent;
  throw failure(
    'unable to connect to Cilium agent: failed to create cilium agent client after 30.000000 seconds timeout: Get "http://localhost/v1/config": dial unix /var/run/cilium/cilium.sock: connect: no such file or directory\nIs the agent running?',
  );
}

function addressesOf(result: CniResult | undefined, agent: CiliumAgent): EndpointAddress[] {
  return (result?.ips ?? []).map(({ address: text, gateway }) => {
    const address = tryParseInterfaceAddress(text)?.address ?? (tryParseIp(text) as IpAddress);
    const via = gateway === undefined ? undefined : tryParseIp(gateway);
    return { address, gateway: via ?? (agent.router(familyOf(address)) as IpAddress) };
  });
}

function resultOf(
  call: CniCall,
  outer: Veth,
  inner: Veth,
  addresses: readonly EndpointAddress[],
  mtu: number,
): CniResult {
  return {
    cniVersion: call.config.cniVersion,
    interfaces: [
      { name: outer.name, mac: formatMac(outer.mac) },
      { name: call.ifName, mac: formatMac(inner.mac), sandbox: call.netns },
    ],
    ips: addresses.map(({ address, gateway }) => ({
      address: `${formatIp(address)}/${addressBits(familyOf(address))}`,
      gateway: formatIp(gateway),
      interface: 1,
    })),
    routes: addresses.flatMap(({ gateway }) => [
      { dst: String(Prefix.host(gateway)) },
      { dst: String(DEFAULT_ROUTE[familyOf(gateway)]), gw: formatIp(gateway), mtu },
    ]),
  };
}

/** `K8S_POD_…` of CNI_ARGS. */
function podOf(args: string): {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
} {
  const value = (key: string) => new RegExp(`(?:^|;)${key}=([^;]*)`).exec(args)?.[1] ?? "";
  return {
    namespace: value("K8S_POD_NAMESPACE"),
    name: value("K8S_POD_NAME"),
    uid: value("K8S_POD_UID"),
  };
}

function failure(message: string): CniError {
  return new CniError(CNI_ERROR.generic, message);
}
