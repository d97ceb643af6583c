import type { Mac } from "@cnilab/net";
import { type NumericIdentity, RESERVED_IDENTITY } from "../../identity/numeric-identity.ts";
import type { EndpointConfig } from "../endpoint-config.ts";
import type { PolicyMap } from "../maps/policy-map.ts";
import type { NodeConfig } from "../node-config.ts";
import type { NodeMaps } from "../node-maps.ts";
import { isDsrEnabled } from "./nodeport/uses-dsr.ts";
import type { ServiceHooks } from "./service-hooks.ts";

/** Which source a program is compiled from: `bpf_lxc.c` and so on. */
export type BpfSource = "lxc" | "host" | "overlay" | "wireguard";

/** What all functions of one object file know: where it is loaded, for whom, and how the node is set up. */
export interface BpfObject {
  readonly source: BpfSource;
  readonly maps: NodeMaps;
  readonly config: NodeConfig;
  readonly services: ServiceHooks;
  /** `EVENT_SOURCE`: the endpoint that its messages come from; 0 where there is none. */
  readonly eventSource: number;
  /** `SECLABEL`, `SECLABEL_IPV4` and `_IPV6`. */
  readonly securityLabel: NumericIdentity;
  /** `WORLD_IPV4_ID`, `WORLD_IPV6_ID`: one and the same where the cluster has one family. */
  readonly worldIpv4: NumericIdentity;
  readonly worldIpv6: NumericIdentity;
  readonly dualStack: boolean;
  /** Of bpf_lxc. */
  readonly endpoint: EndpointConfig | undefined;
  /** The policy that it looks at: the endpoint's own, or the host's. */
  readonly policy: PolicyMap | undefined;
  readonly policyAuditMode: boolean;
  /** `THIS_INTERFACE_IFINDEX`, `THIS_INTERFACE_MAC` */
  readonly interfaceIfindex: number;
  readonly interfaceMac: Mac;
  /** `HAVE_ENCAP` */
  readonly haveEncap: boolean;
  /** `ENABLE_ROUTING`: false with endpoint routes. */
  readonly routing: boolean;
  /** `USE_BPF_PROG_FOR_INGRESS_POLICY` */
  readonly ingressPolicyAtContainer: boolean;
}

export interface BpfObjectOptions
  extends Pick<
    BpfObject,
    "source" | "maps" | "config" | "services" | "interfaceIfindex" | "interfaceMac"
  > {
  readonly endpoint?: EndpointConfig;
}

export function bpfObject(options: BpfObjectOptions): BpfObject {
  const { source, maps, config, services, endpoint, interfaceIfindex, interfaceMac } = options;
  const dualStack = config.enableIpv4 && config.enableIpv6;
  const hostEndpoint = source === "host" ? config.hostEndpointId : 0;
  const eventSource = endpoint?.id ?? hostEndpoint;
  return {
    source,
    maps,
    config,
    services,
    eventSource,
    securityLabel:
      endpoint?.securityLabel ??
      (source === "host" ? RESERVED_IDENTITY.host : RESERVED_IDENTITY.world),
    worldIpv4: dualStack ? RESERVED_IDENTITY.worldIpv4 : RESERVED_IDENTITY.world,
    worldIpv6: dualStack ? RESERVED_IDENTITY.worldIpv6 : RESERVED_IDENTITY.world,
    dualStack,
    endpoint,
    policy:
      endpoint !== undefined || (source === "host" && config.hostFirewall)
        ? maps.lxcPolicy(eventSource)
        : undefined,
    policyAuditMode: endpoint?.policyAuditMode ?? config.policyAuditMode,
    interfaceIfindex,
    interfaceMac,
    haveEncap:
      config.encapIfindex !== 0 || (isDsrEnabled(config.lb) && config.lb.dsrDispatch === "geneve"),
    routing: endpoint === undefined ? !config.endpointRoutes : endpoint.routing,
    ingressPolicyAtContainer: endpoint?.toContainer ?? config.endpointRoutes,
  };
}
