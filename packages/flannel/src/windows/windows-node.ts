import { hostLocal } from "@cnilab/cni-plugins";
import { type ClusterConfig, type CniCall, CniError, type NetworkConfigList } from "@cnilab/core";
import type { Prefix } from "@cnilab/net";
import type { HcnEndpointPolicy, WindowsMachine } from "@cnilab/windows";
import type { VxlanConf } from "../conf/backend-conf.ts";
import type { NetConf } from "../conf/net-conf.ts";
import { HOST_GW_NETWORK } from "./windows-host-gw-backend.ts";
import { vxlanNetworkName } from "./windows-vxlan-backend.ts";

/** Where kube-proxy's start script finds the address that was set aside for it. */
const SOURCE_VIP_FILE = "/k/sourceVip.json";

/**
 * The CNI configuration of a Windows node: what kubernetes-sigs/sig-windows-tools writes for the Flannel backends
 * (hostprocess/flannel), with the address ranges of this cluster in the place of its placeholders.
 */
export function windowsConflist(
  conf: NetConf,
  { clusterCidrs, serviceCidrs }: ClusterConfig,
): NetworkConfigList {
  const { backend } = conf;
  const exceptions = [...serviceCidrs, ...clusterCidrs].map(String);
  const overlay = backend.type === "vxlan";
  const policies: HcnEndpointPolicy[] = [
    { Type: "OutBoundNAT", Settings: { Exceptions: exceptions } },
    ...serviceCidrs.map(
      (cidr): HcnEndpointPolicy => ({
        Type: "SDNRoute",
        Settings: { DestinationPrefix: String(cidr), NeedEncap: true },
      }),
    ),
  ];
  return {
    name: overlay ? vxlanNetworkName(backend) : HOST_GW_NETWORK,
    cniVersion: "0.3.1",
    plugins: [
      {
        type: "flannel",
        capabilities: { portMappings: true, dns: true },
        delegate: {
          type: overlay ? "win-overlay" : "win-bridge",
          apiVersion: 2,
          loopbackDSR: true,
          policies: policies.map((value) => ({ name: "EndpointPolicy", value })),
        },
      },
    ],
  };
}

/**
 * Sets an address of the node's range aside for kube-proxy's load balancers, as the start scripts do with
 * `host-local.exe` (kubernetes-sigs/windows-service-proxy, setup-source-vip).
 */
export function reserveSourceVip(machine: WindowsMachine, conf: VxlanConf, subnet: Prefix): void {
  if (machine.files.read(SOURCE_VIP_FILE) !== undefined) return;
  const name = vxlanNetworkName(conf);
  const call: CniCall = {
    containerId: "source-vip",
    netns: "none",
    ifName: "source-vip",
    args: "",
    config: {
      cniVersion: "0.3.0",
      name,
      type: "host-local",
      ipam: { type: "host-local", subnet: String(subnet) },
    },
    host: machine,
    delegate: () => undefined,
  };
  try {
    machine.files.write(SOURCE_VIP_FILE, JSON.stringify(hostLocal.add(call)));
  } catch (error) {
    if (!(error instanceof CniError)) throw error;
  }
}
