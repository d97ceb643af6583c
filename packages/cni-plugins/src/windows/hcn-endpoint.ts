import type { CniCall, CniResult } from "@cnilab/core";
import { formatIp, formatMac, type InterfaceAddress, type IpAddress } from "@cnilab/net";
import {
  type HcnEndpointPolicy,
  HcnError,
  type HcnNetworkType,
  type HcnRoute,
  type HostComputeNetwork,
  parseWindowsMac,
  WindowsMachine,
} from "@cnilab/windows";
import { ipamAdd, ipamDel, ipamType } from "../delegate-ipam.ts";
import { failure } from "../failure.ts";
import { addressesOf } from "../parsed-result.ts";
import { asVersion, CURRENT_VERSION } from "../result-version.ts";

/** The machine that a Windows plugin runs on. @throws CniError where it is another */
export function windowsMachineOf({ host, config }: CniCall): WindowsMachine {
  if (host instanceof WindowsMachine) return host;
  throw failure(`plugin ${config.type} runs on Windows, ${host.hostname} does not`);
}

/** The HNS network with the name of the CNI network. @throws CniError */
export function hcnNetworkOf(call: CniCall, type: HcnNetworkType): HostComputeNetwork {
  const { name } = call.config;
  const network = windowsMachineOf(call).hns.getNetworkByName(name);
  if (network === undefined) {
    throw failure(`error while getting network ${name}: Network name "${name}" not found`);
  }
  if (network.Type === type) return network;
  throw failure(`network ${name} is of unexpected type: ${network.Type}`);
}

/** The address that IPAM gives, the first one. @throws CniError */
export function firstAddress(call: CniCall): InterfaceAddress {
  const [first] = addressesOf(ipamAdd(call));
  if (first === undefined) throw failure("IPAM plugin return is missing IP config");
  return first;
}

export interface HcnEndpointPlan {
  readonly address: InterfaceAddress;
  readonly gateway: IpAddress;
  readonly mac?: string;
  readonly policies: readonly HcnEndpointPolicy[];
}

/** Makes the endpoint and attaches it to the pod's compartment (pkg/hns/endpoint_windows.go AddHcnEndpoint). @throws CniError */
export function addHcnEndpoint(
  call: CniCall,
  network: HostComputeNetwork,
  { address, gateway, mac, policies }: HcnEndpointPlan,
): CniResult {
  const machine = windowsMachineOf(call);
  const compartment = machine.findNamespace(call.netns);
  if (compartment === undefined) throw failure(`namespace ${call.netns} not found`);
  const route: HcnRoute = {
    NextHop: formatIp(gateway),
    DestinationPrefix: typeof gateway === "number" ? "0.0.0.0/0" : "::/0",
  };
  const { hns } = machine;
  try {
    const endpoint = hns.createEndpoint(network.ID, {
      Name: endpointName(call),
      IpConfigurations: [{ IpAddress: formatIp(address.address) }],
      ...(mac === undefined ? {} : { MacAddress: mac }),
      Routes: [route],
      Policies: policies,
    });
    hns.addNamespaceEndpoint(compartment, endpoint.ID, call.ifName);
    const own = parseWindowsMac(endpoint.MacAddress);
    return asVersion(
      {
        cniVersion: CURRENT_VERSION,
        interfaces: [{ name: endpoint.Name, mac: formatMac(own ?? 0) }],
        ips: [
          {
            address: `${formatIp(address.address)}/${address.length}`,
            gateway: formatIp(gateway),
          },
        ],
      },
      call.config.cniVersion,
    );
  } catch (error) {
    if (!(error instanceof HcnError)) throw error;
    throw failure(`error while adding HostComputeEndpoint: ${error.message}`);
  }
}

/** Gives the address back, and takes the endpoint away if it is there. */
export function removeHcnEndpoint(call: CniCall): void {
  if (ipamType(call) !== "") ipamDel(call);
  const { hns } = windowsMachineOf(call);
  const endpoint = hns.getEndpointByName(endpointName(call));
  if (endpoint !== undefined) hns.deleteEndpoint(endpoint.ID);
}

function endpointName({ containerId, config }: CniCall): string {
  return `${containerId}_${config.name}`;
}
