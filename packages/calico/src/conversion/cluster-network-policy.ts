import type {
  ClusterNetworkPolicy,
  ClusterPolicyPeer,
  ClusterPolicyProtocol,
  ClusterPolicyRule,
} from "@cnilab/core";
import { tryParsePrefix } from "@cnilab/net";
import type { GlobalNetworkPolicy } from "../api/v3/network-policy.ts";
import type { Action, EntityRule, PolicyType, Rule } from "../api/v3/rule.ts";
import { compareUtf8 } from "../selector/compare-utf8.ts";
import { type ConvertedPolicy, convertRules } from "./converted-policy.ts";
import { namespaceSelectorText, podSelectorText } from "./label-selector.ts";
import { formatPort, namedPort, type ParsedPort, portRange, simplifyPorts } from "./ports.ts";
import { convertUid } from "./uid.ts";

const TIERS = { Admin: "kube-admin", Baseline: "kube-baseline" } as const;
const ACTIONS: Readonly<Record<string, Action>> = { Accept: "Allow", Deny: "Deny", Pass: "Pass" };

/**
 * A ClusterNetworkPolicy as Calico takes it (`libcalico-go/lib/backend/k8s/conversion/clusternetworkpolicy.go`).
 * `undefined` for a tier that there is not, and without a subject: such a policy does nothing.
 */
export function convertClusterNetworkPolicy(
  policy: ClusterNetworkPolicy,
): ConvertedPolicy<GlobalNetworkPolicy> | undefined {
  const { metadata, spec } = policy;
  const tier = (TIERS as Readonly<Record<string, string>>)[spec.tier];
  const { namespaces, pods } = spec.subject;
  if (tier === undefined || (namespaces === undefined && pods === undefined)) return undefined;
  const ingress = convertRules(
    "ingress",
    spec.ingress,
    (rule) => rulesOf(rule, rule.from, ingressEntity, "source"),
    failClosed,
  );
  const egress = convertRules(
    "egress",
    spec.egress,
    (rule) => rulesOf(rule, rule.to, egressEntity, "destination"),
    failClosed,
  );
  const namespaceSelector = namespaceSelectorText(namespaces ?? pods?.namespaceSelector);
  const types: PolicyType[] = [];
  if (ingress.rules.length > 0) types.push("Ingress");
  if (egress.rules.length > 0) types.push("Egress");
  const uid = convertUid(metadata.uid);
  return {
    id: { name: metadata.name, kind: "KubernetesClusterNetworkPolicy" },
    policy: {
      apiVersion: "projectcalico.org/v3",
      kind: "GlobalNetworkPolicy",
      metadata: {
        name: metadata.name,
        ...(uid !== undefined && { uid }),
        ...(metadata.resourceVersion !== undefined && {
          resourceVersion: metadata.resourceVersion,
        }),
        ...(metadata.creationTimestamp !== undefined && {
          creationTimestamp: metadata.creationTimestamp,
        }),
      },
      spec: {
        tier,
        order: spec.priority,
        namespaceSelector,
        selector: podSelectorText(namespaces === undefined ? pods?.podSelector : undefined),
        ...(ingress.rules.length > 0 && { ingress: ingress.rules }),
        ...(egress.rules.length > 0 && { egress: egress.rules }),
        ...(types.length > 0 && { types }),
      },
    },
    badRules: [...ingress.bad, ...egress.bad],
  };
}

/** A rule that cannot be converted denies all, unless it was to accept: then it is left out. */
function failClosed({ action }: ClusterPolicyRule): readonly Rule[] {
  return action === "Deny" || action === "Pass" ? [{ action: "Deny" }] : [];
}

function rulesOf(
  { action: given, name, protocols }: ClusterPolicyRule,
  peers: readonly ClusterPolicyPeer[],
  entityOf: (peer: ClusterPolicyPeer) => EntityRule,
  side: "source" | "destination",
): readonly Rule[] {
  const action = ACTIONS[given];
  if (action === undefined)
    throw new RangeError(`unsupported cluster network policy action ${given}`);
  return [...portsByProtocol(protocols)].flatMap(([protocol, list]) => {
    const ports = { ...(list.length > 0 && { ports: simplifyPorts(list).map(formatPort) }) };
    return peers.map((peer): Rule => {
      const entity = entityOf(peer);
      const source = side === "source" ? entity : {};
      const destination = side === "source" ? ports : { ...ports, ...entity };
      return {
        ...(name !== undefined && name !== "" && { metadata: { annotations: { name } } }),
        action,
        ...(protocol !== "" && { protocol }),
        ...(Object.keys(source).length > 0 && { source }),
        ...(Object.keys(destination).length > 0 && { destination }),
      };
    });
  });
}

/** Ports by protocol, the protocols in the order of their names; a named port has none. @throws RangeError for a port that is none */
function portsByProtocol(
  protocols: readonly ClusterPolicyProtocol[] | undefined,
): ReadonlyMap<string, readonly ParsedPort[]> {
  const anything: ReadonlyMap<string, readonly ParsedPort[]> = new Map([["", []]]);
  if (protocols === undefined || protocols.length === 0) return anything;
  const all = new Map<string, ParsedPort[]>();
  for (const each of protocols) {
    const read = readProtocol(each);
    if (read === undefined) return anything;
    const [protocol, port] = read;
    const known = all.get(protocol);
    if (port === undefined) all.set(protocol, []);
    else if (known === undefined) all.set(protocol, [port]);
    else if (known.length > 0) known.push(port);
  }
  return new Map([...all].sort(([x], [y]) => compareUtf8(x, y)));
}

function readProtocol(
  each: ClusterPolicyProtocol,
): readonly [protocol: string, port: ParsedPort | undefined] | undefined {
  const { tcp, udp, sctp, destinationNamedPort = "" } = each;
  const protocol =
    tcp !== undefined ? "TCP" : udp !== undefined ? "UDP" : sctp !== undefined ? "SCTP" : undefined;
  try {
    if (protocol === undefined)
      return destinationNamedPort === "" ? undefined : ["", namedPort(destinationNamedPort)];
    const { number = 0, range } = (tcp ?? udp ?? sctp)?.destinationPort ?? {};
    if (number !== 0) return [protocol, { first: number, last: number }];
    return [protocol, range && portRange(range.start, range.end)];
  } catch (error) {
    throw new RangeError(`failed to parse k8s protocol: ${(error as Error).message}`);
  }
}

function ingressEntity({ namespaces, pods }: ClusterPolicyPeer): EntityRule {
  if (pods !== undefined) return podsEntity(pods);
  if (namespaces !== undefined) return { namespaceSelector: namespaceSelectorText(namespaces) };
  throw new RangeError("none of supported fields in 'From' is set.");
}

function egressEntity({ namespaces, pods, networks = [] }: ClusterPolicyPeer): EntityRule {
  if (namespaces === undefined && pods === undefined && networks.length === 0) {
    throw new RangeError("none of supported fields in 'To' is set.");
  }
  const nets = networks.map((text) => {
    const net = tryParsePrefix(text);
    if (net === undefined)
      throw new RangeError(`invalid CIDR in ANP rule: invalid CIDR address: ${text}`);
    return net.toString();
  });
  return {
    ...(namespaces !== undefined && { namespaceSelector: namespaceSelectorText(namespaces) }),
    ...(pods !== undefined && podsEntity(pods)),
    ...(nets.length > 0 && { nets }),
  };
}

function podsEntity({
  podSelector,
  namespaceSelector,
}: NonNullable<ClusterPolicyPeer["pods"]>): EntityRule {
  return {
    selector: podSelectorText(podSelector),
    namespaceSelector: namespaceSelectorText(namespaceSelector),
  };
}
