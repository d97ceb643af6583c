import type {
  NetworkPolicy as KubernetesNetworkPolicy,
  NetworkPolicyPeer,
  NetworkPolicyPort,
} from "@cnilab/core";
import { tryParsePrefix } from "@cnilab/net";
import type { NetworkPolicy } from "../api/v3/network-policy.ts";
import type { EntityRule, PolicyType, Rule } from "../api/v3/rule.ts";
import { compareUtf8 } from "../selector/compare-utf8.ts";
import { type ConvertedPolicy, convertRules } from "./converted-policy.ts";
import { namespaceSelectorText, podSelectorText } from "./label-selector.ts";
import { formatPort, type ParsedPort, parsePort, simplifyPorts } from "./ports.ts";
import { protocolName } from "./protocols.ts";
import { convertUid } from "./uid.ts";

/** Where converted policies stand in the tier `default`. */
const CONVERTED_ORDER = 1000;

/** A NetworkPolicy of Kubernetes as Calico takes it (`libcalico-go/lib/backend/k8s/conversion/conversion.go` K8sNetworkPolicyToCalico). */
export function convertNetworkPolicy(
  policy: KubernetesNetworkPolicy,
): ConvertedPolicy<NetworkPolicy> {
  const { name, namespace = "default", uid, resourceVersion, creationTimestamp } = policy.metadata;
  const ingress = convertRules("ingress", policy.spec.ingress, ({ from, ports }) =>
    rulesOf(from, ports, "source"),
  );
  const egress = convertRules("egress", policy.spec.egress, ({ to, ports }) =>
    rulesOf(to, ports, "destination"),
  );
  const ownUid = convertUid(uid);
  return {
    id: { name, namespace, kind: "KubernetesNetworkPolicy" },
    policy: {
      apiVersion: "projectcalico.org/v3",
      kind: "NetworkPolicy",
      metadata: {
        name,
        namespace,
        ...(ownUid !== undefined && { uid: ownUid }),
        ...(resourceVersion !== undefined && { resourceVersion }),
        ...(creationTimestamp !== undefined && { creationTimestamp }),
      },
      spec: {
        order: CONVERTED_ORDER,
        tier: "default",
        selector: podSelectorText(policy.spec.podSelector),
        ...(ingress.rules.length > 0 && { ingress: ingress.rules }),
        ...(egress.rules.length > 0 && { egress: egress.rules }),
        types: typesOf(policy.spec.policyTypes),
      },
    },
    badRules: [...ingress.bad, ...egress.bad],
  };
}

function typesOf(policyTypes: readonly PolicyType[] = []): readonly PolicyType[] {
  const types = (["Ingress", "Egress"] as const).filter((type) => policyTypes.includes(type));
  return types.length === 0 ? ["Ingress"] : types;
}

/** One rule for each protocol and peer; peers are who sends to ingress rules and who receives from egress rules. */
function rulesOf(
  peers: readonly NetworkPolicyPeer[] | undefined,
  ports: readonly NetworkPolicyPort[] | undefined,
  side: "source" | "destination",
): readonly Rule[] {
  const anyPeer: readonly EntityRule[] = [{}];
  const entities = peers === undefined || peers.length === 0 ? anyPeer : peers.map(peerEntity);
  return [...portsByProtocol(ports ?? [])].flatMap(([protocol, list]) => {
    const portList = { ...(list.length > 0 && { ports: simplifyPorts(list).map(formatPort) }) };
    return entities.map((entity) =>
      ruleOf(
        protocol,
        side === "source"
          ? { source: entity, destination: portList }
          : { destination: { ...portList, ...entity } },
      ),
    );
  });
}

function ruleOf(protocol: string, sides: Pick<Rule, "source" | "destination">): Rule {
  const { source = {}, destination = {} } = sides;
  return {
    action: "Allow",
    ...(protocol !== "" && { protocol }),
    ...(Object.keys(source).length > 0 && { source }),
    ...(Object.keys(destination).length > 0 && { destination }),
  };
}

/**
 * Ports by protocol, protocols in the order of their names. No ports of a protocol: all of it, whatever else it has. No protocol is TCP
 * even where there is no port: a policy is stored with its default.
 * @throws RangeError for a port that is none
 */
function portsByProtocol(
  ports: readonly NetworkPolicyPort[],
): ReadonlyMap<string, readonly ParsedPort[]> {
  if (ports.length === 0) return new Map([["", []]]);
  const all = new Map<string, ParsedPort[]>();
  for (const { protocol = "TCP", port, endPort } of ports) {
    const name = protocolName(protocol);
    const known = all.get(name);
    if (port === undefined) {
      all.set(name, []);
      continue;
    }
    const parsed = parseRulePort(endPort === undefined ? `${port}` : `${port}:${endPort}`);
    if (known === undefined) all.set(name, [parsed]);
    else if (known.length > 0) known.push(parsed);
  }
  return new Map([...all].sort(([x], [y]) => compareUtf8(x, y)));
}

function parseRulePort(text: string): ParsedPort {
  try {
    return parsePort(text);
  } catch (error) {
    throw new RangeError(
      `failed to parse k8s port: invalid port ${text}: ${(error as Error).message}`,
    );
  }
}

function peerEntity({ ipBlock, podSelector, namespaceSelector }: NetworkPolicyPeer): EntityRule {
  if (ipBlock !== undefined) {
    const net = tryParsePrefix(ipBlock.cidr);
    if (net === undefined) return {};
    const notNets: string[] = [];
    for (const text of ipBlock.except ?? []) {
      const except = tryParsePrefix(text);
      if (except === undefined) break;
      notNets.push(except.toString());
    }
    return { nets: [net.toString()], ...(notNets.length > 0 && { notNets }) };
  }
  const namespaces = namespaceSelectorText(namespaceSelector);
  return {
    selector: podSelectorText(podSelector),
    ...(namespaces !== "" && { namespaceSelector: namespaces }),
  };
}
