import { IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP } from "@cnilab/net";
import {
  type HcnLoadBalancerSettings,
  LoadBalancerDistributionNone,
  LoadBalancerDistributionSourceIP,
  LoadBalancerFlagsDSR,
  LoadBalancerFlagsIPv6,
  LoadBalancerPortMappingFlagsLocalRoutedVIP,
  LoadBalancerPortMappingFlagsVipExternalIP,
} from "@cnilab/windows";
import type { ProxyEndpoint } from "../endpoint.ts";
import type { ServicePort } from "../service-port.ts";
import type { WinkernelConfig } from "./winkernel-config.ts";

/** An endpoint of a service port that takes traffic, and the HNS endpoint that stands for it. */
export interface PlannedEndpoint {
  readonly hnsId: string;
  readonly isLocal: boolean;
  readonly port: number;
}

/** Which of a service port's endpoints take traffic (`syncProxyRules`), and what that means for its load balancers. */
export interface EndpointChoice {
  readonly usable: readonly ProxyEndpoint[];
  /** False while all endpoints end or none serves: node ports and external addresses are left as they are. */
  readonly available: boolean;
}

/**
 * Ready ones. A Service with load balancer addresses falls back to those that serve while they end, and where none serves
 * at all it takes every one; with a Local external policy only this node's count for that. Topology hints are not looked at.
 */
export function chooseEndpoints(
  port: ServicePort,
  endpoints: readonly ProxyEndpoint[],
  nodeName: string,
): EndpointChoice {
  const { externalPolicyLocal, internalPolicyLocal, loadBalancerIPs } = port;
  const isHere = ({ nodeName: node }: ProxyEndpoint) => node === nodeName;
  const watched = endpoints.filter((e) => !externalPolicyLocal || isHere(e));
  const hasIngress = loadBalancerIPs.length > 0;
  const allEnding =
    hasIngress && watched.every((e) => e.terminating || (!e.ready && !e.terminating));
  const noneServes = hasIngress && !watched.some((e) => e.serving);
  const usable = endpoints.filter((e) => {
    if (internalPolicyLocal && externalPolicyLocal && !isHere(e)) return false;
    return noneServes || ((allEnding || e.ready) && e.serving);
  });
  return { usable, available: !allEnding && !noneServes };
}

/** What becomes of one load balancer of a service port. */
export type PlannedLoadBalancer =
  | { readonly slot: string; readonly settings: HcnLoadBalancerSettings }
  /** It stays as it is, or away. */
  | { readonly slot: string; readonly settings: "leave" }
  | { readonly slot: string; readonly settings: "remove" };

export interface PlanFacts {
  readonly config: Pick<WinkernelConfig, "enableDSR" | "forwardHealthCheckVip">;
  readonly isIPv6: boolean;
  readonly endpoints: readonly PlannedEndpoint[];
  readonly available: boolean;
  /** Empty for the node's own address. */
  readonly sourceVip: string;
  /** HNS endpoint of the host, where health checks go. */
  readonly rootEndpoint: string | undefined;
  /** Port of kube-proxy's own health check. */
  readonly healthzPort: number;
}

const PROTOCOLS = { tcp: IPPROTO_TCP, udp: IPPROTO_UDP, sctp: IPPROTO_SCTP } as const;

/** The load balancers of a service port: cluster IP, node port, external and ingress addresses, health checks. */
export function planLoadBalancers(port: ServicePort, facts: PlanFacts): PlannedLoadBalancer[] {
  const { config, endpoints, available, rootEndpoint } = facts;
  const external = LoadBalancerPortMappingFlagsVipExternalIP;
  const local = endpoints.filter((e) => e.isLocal);
  const fromOutside = port.externalPolicyLocal ? local : endpoints;
  const make = (slot: string, to: readonly PlannedEndpoint[], options: Options) =>
    planned(port, facts, slot, to, options);
  const planes = [
    make("cluster", port.internalPolicyLocal ? local : endpoints, {
      vip: port.clusterIP,
      dsr: config.enableDSR,
      flags: 0,
      port: port.port,
    }),
  ];
  const leaveUnless = (plan: PlannedLoadBalancer): PlannedLoadBalancer =>
    available || plan.settings === "remove" ? plan : { slot: plan.slot, settings: "leave" };
  const dsr = port.externalPolicyLocal;
  if (port.nodePort !== 0) {
    const flags = external | LoadBalancerPortMappingFlagsLocalRoutedVIP;
    const options = { vip: "", dsr, flags, port: port.nodePort };
    planes.push(leaveUnless(make("nodePort", fromOutside, options)));
  }
  for (const vip of port.externalIPs) {
    const options = { vip, dsr, flags: external, port: port.port };
    planes.push(leaveUnless(make(`external ${vip}`, fromOutside, options)));
  }
  for (const vip of port.loadBalancerIPs) {
    planes.push(
      make(`ingress ${vip}`, fromOutside, { vip, dsr, flags: external, port: port.port }),
    );
    if (!config.forwardHealthCheckVip || rootEndpoint === undefined || !available) continue;
    const healthPort = port.healthCheckNodePort || facts.healthzPort;
    const root = [{ hnsId: rootEndpoint, isLocal: true, port: healthPort }];
    planes.push(make(`health ${vip}`, root, { vip, dsr: false, flags: 0, port: healthPort }));
  }
  return planes;
}

interface Options {
  readonly vip: string;
  readonly dsr: boolean;
  readonly flags: number;
  /** The port that clients ask for. */
  readonly port: number;
}

function planned(
  { protocol, affinitySeconds }: ServicePort,
  { isIPv6, sourceVip }: PlanFacts,
  slot: string,
  endpoints: readonly PlannedEndpoint[],
  { vip, dsr, flags, port }: Options,
): PlannedLoadBalancer {
  const last = endpoints.at(-1);
  if (last === undefined) return { slot, settings: "remove" };
  return {
    slot,
    settings: {
      HostComputeEndpoints: endpoints.map(({ hnsId }) => hnsId),
      SourceVIP: sourceVip,
      FrontendVIPs: vip === "" ? [] : [vip],
      PortMappings: [
        {
          Protocol: PROTOCOLS[protocol],
          // HNS takes one port for all endpoints.
          InternalPort: last.port,
          ExternalPort: port,
          // How long a client keeps its endpoint cannot be said.
          DistributionType:
            affinitySeconds > 0 ? LoadBalancerDistributionSourceIP : LoadBalancerDistributionNone,
          Flags: flags,
        },
      ],
      Flags: (dsr ? LoadBalancerFlagsDSR : 0) | (isIPv6 ? LoadBalancerFlagsIPv6 : 0),
    },
  };
}
