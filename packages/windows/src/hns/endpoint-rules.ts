import { familyOf, formatIp, IPPROTO_TCP, IPPROTO_UDP, type IpAddress, Prefix } from "@cnilab/net";
import type { HcnEndpointPolicy } from "../hcn/endpoint.ts";
import { hcnPrefix } from "../hcn/hcn-address.ts";
import { type VfpAction, type VfpCondition, VfpRule } from "../vfp/vfp-rule.ts";
import type { RuleSet } from "./rule-set.ts";
import type { ContainerPort } from "./switch-tables.ts";

/** Priorities are this model's own. */
const NAT_PRIORITY = 200;

/** Protocols that outbound NAT translates, by the names in its rules: VFP has no transposition of ICMP (kubernetes.io, Windows networking). */
const NAT_PROTOCOLS = { TCP: IPPROTO_TCP, UDP: IPPROTO_UDP } as const;

/** Turns the policies of an endpoint into rules at its port. */
export function addEndpointRules(
  rules: RuleSet,
  port: ContainerPort,
  endpoint: {
    readonly id: string;
    readonly addresses: readonly IpAddress[];
    readonly policies: readonly HcnEndpointPolicy[];
    /** Addresses of the node, one of each family. */
    readonly node: readonly IpAddress[];
  },
): void {
  for (const policy of endpoint.policies) {
    if (policy.Type === "OutBoundNAT") addOutboundNat(rules, port, policy.Settings, endpoint);
    if (policy.Type === "ACL") addAcl(rules, port, policy.Settings);
  }
}

function addOutboundNat(
  rules: RuleSet,
  port: ContainerPort,
  settings: Extract<HcnEndpointPolicy, { Type: "OutBoundNAT" }>["Settings"],
  {
    id,
    addresses,
    node,
  }: {
    readonly id: string;
    readonly addresses: readonly IpAddress[];
    readonly node: readonly IpAddress[];
  },
): void {
  for (const own of addresses) {
    const family = familyOf(own);
    const address = node.find((a) => familyOf(a) === family);
    if (address === undefined) continue;
    const ofFamily = (texts: readonly string[]) =>
      texts.map(hcnPrefix).filter((p) => p.family === family);
    // The node itself would not take a packet that comes with its own address.
    const exceptions = [...ofFamily(settings.Exceptions ?? []), Prefix.host(address)];
    const destinations = ofFamily(settings.Destinations ?? []);
    for (const [name, protocol] of Object.entries(NAT_PROTOCOLS)) {
      const condition: VfpCondition = {
        protocols: [protocol],
        sources: [Prefix.host(own)],
        ...(destinations.length > 0 ? { destinations } : { exceptions }),
      };
      const action: VfpAction = { type: "dynnat", address };
      const rule = `SNAT_${name}_OUTBOUNDNAT_${id.slice(0, 5)}_${formatIp(address)}`;
      rules.add(port.nat.of("OUT", family), new VfpRule(rule, NAT_PRIORITY, condition, action));
    }
  }
}

function addAcl(
  rules: RuleSet,
  port: ContainerPort,
  acl: Extract<HcnEndpointPolicy, { Type: "ACL" }>["Settings"],
): void {
  const inbound = acl.Direction === "In";
  const remotes = list(acl.RemoteAddresses)?.map(hcnPrefix);
  for (const family of [4, 6] as const) {
    const those = remotes?.filter((p) => p.family === family);
    if (those?.length === 0) continue;
    const local = list(acl.LocalPorts)?.map(Number);
    const remote = list(acl.RemotePorts)?.map(Number);
    const [sourcePorts, destinationPorts] = inbound ? [remote, local] : [local, remote];
    const protocols = list(acl.Protocols)?.map(Number);
    const condition: VfpCondition = {
      ...(protocols && { protocols }),
      ...(those && (inbound ? { sources: those } : { destinations: those })),
      ...(sourcePorts && { sourcePorts }),
      ...(destinationPorts && { destinationPorts }),
    };
    const name = `ACL_${acl.Action}_${acl.Direction}_${acl.Priority}`;
    const action: VfpAction = { type: acl.Action === "Allow" ? "allow" : "block" };
    const group = port.acl.of(inbound ? "IN" : "OUT", family);
    rules.add(group, new VfpRule(name, acl.Priority, condition, action));
  }
}

function list(text: string | undefined): string[] | undefined {
  return text === undefined || text === "" ? undefined : text.split(",");
}
