import type { CniCall } from "@cnilab/core";
import { IPPROTO_TCP, IPPROTO_UDP } from "@cnilab/net";
import type { HcnEndpointPolicy } from "@cnilab/windows";

/** An entry of `policies` in the configuration of a Windows plugin (pkg/hns/netconf_windows.go). */
interface ConfiguredPolicy {
  readonly name: string;
  readonly value: HcnEndpointPolicy;
}

interface PortMapEntry {
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: string;
  readonly hostIP?: string;
}

/** What the configuration asks of the endpoint itself. */
export function configuredPolicies({ config }: CniCall): HcnEndpointPolicy[] {
  const all = (config["policies"] as readonly ConfiguredPolicy[] | undefined) ?? [];
  return all
    .filter(({ name }) => name.toLowerCase() === "endpointpolicy")
    .map(({ value }) => value);
}

/** Outbound NAT that leaves a network alone, unless there is one that does (`ApplyOutboundNatPolicy`). */
export function withOutboundNat(
  policies: readonly HcnEndpointPolicy[],
  exception: string,
): readonly HcnEndpointPolicy[] {
  if (exception === "") return policies;
  const there = policies.some(
    (p) => p.Type === "OutBoundNAT" && p.Settings.Exceptions?.includes(exception),
  );
  if (there) return policies;
  return [...policies, { Type: "OutBoundNAT", Settings: { Exceptions: [exception] } }];
}

/** A pod that reaches itself through a Service is seen as its node (`ApplyLoopbackDSRPolicy`). */
export function withLoopbackDsr(
  policies: readonly HcnEndpointPolicy[],
  { config }: CniCall,
  address: string,
): readonly HcnEndpointPolicy[] {
  if (config["loopbackDSR"] !== true) return policies;
  return [...policies, { Type: "OutBoundNAT", Settings: { Destinations: [address] } }];
}

/** Host ports (`ApplyPortMappingPolicy`); protocols that HNS does not know are left out. */
export function withPortMappings(
  policies: readonly HcnEndpointPolicy[],
  { config }: CniCall,
): readonly HcnEndpointPolicy[] {
  const mappings = config.runtimeConfig?.["portMappings"] as readonly PortMapEntry[] | undefined;
  const added = (mappings ?? []).flatMap((m): HcnEndpointPolicy[] => {
    const protocol = { tcp: IPPROTO_TCP, udp: IPPROTO_UDP }[m.protocol.toLowerCase()];
    if (protocol === undefined) return [];
    return [
      {
        Type: "PortMapping",
        Settings: {
          InternalPort: m.containerPort,
          ExternalPort: m.hostPort,
          Protocol: protocol,
          VIP: m.hostIP ?? "",
        },
      },
    ];
  });
  return added.length === 0 ? policies : [...policies, ...added];
}
