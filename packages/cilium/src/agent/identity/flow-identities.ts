import type { Kernel } from "@cnilab/linux";
import type { IpAddress } from "@cnilab/net";
import { ipcacheKeyOf } from "../../datapath/maps/ipcache-map.ts";
import type { FlowIdentities } from "../../hubble/cluster-lookups.ts";
import { RESERVED_IDENTITY } from "../../identity/numeric-identity.ts";
import { printLabels } from "../../labels/label-set.ts";
import { ProxyPart } from "../../proxy/proxy-part.ts";
import { CiliumAgent } from "../cilium-agent.ts";
import { ClusterSecurity } from "../policy/cluster-security.ts";

/** What Hubble asks of a cluster's agents; `undefined` where none of the machines has one that runs. */
export function agentIdentities(machines: ReadonlyMap<string, Kernel>): FlowIdentities | undefined {
  const agentOf = (node: string) => {
    const machine = machines.get(node);
    return machine && CiliumAgent.of(machine);
  };
  const any = [...machines.keys()].map(agentOf).find((agent) => agent?.isUp === true);
  if (any === undefined) return undefined;
  const { selectors } = any.cluster.part(ClusterSecurity).policies;
  return {
    // What programs tell while the agent is away nobody reads; a node of another CNI has no agent.
    isObserved: (node) => agentOf(node)?.isUp ?? true,
    identityOf(node: string, address: IpAddress): number {
      const agent = agentOf(node);
      if (agent === undefined) return RESERVED_IDENTITY.unknown;
      // The map is there as long as the machine is; without an entry the datapath takes it for the world.
      return agent.maps.ipcache.get(ipcacheKeyOf(address))?.identity ?? RESERVED_IDENTITY.world;
    },
    endpointId: (node, address) => agentOf(node)?.endpoints.byAddress(address)?.id ?? 0,
    labelsOf(identity: number): readonly string[] {
      const labels = selectors.labelsOf(identity);
      return labels === undefined ? [] : printLabels(labels);
    },
    // As they are asked for, without the dot at the end (pkg/hubble/parser/cell GetNamesOf).
    namesOf(node: string, endpointId: number, address: IpAddress): readonly string[] {
      const { names } = agentOf(node)?.part(ProxyPart)?.proxies ?? {};
      return names?.namesOf(endpointId, address).map((name) => name.replace(/\.$/, "")) ?? [];
    },
  };
}
