import type {
  IntOrString,
  NetworkPolicy,
  NetworkPolicyPeer,
  NetworkPolicyPort,
} from "@cnilab/core";
import { IpBlockSpec } from "./ip-block.ts";
import { RuleSpec } from "./rule-spec.ts";
import { type PolicyType, type RuleHost, SelectorSpec } from "./selector-spec.ts";

/** What a policy needs of the kernel, each by its key. */
export interface PolicyAnalysis {
  readonly rules: ReadonlyMap<string, RuleSpec>;
  /** Namespaces, as sets of their pods' sets. */
  readonly namespaces: ReadonlyMap<string, SelectorSpec>;
  /** Pods of the policy's own namespace. */
  readonly pods: ReadonlyMap<string, SelectorSpec>;
  /** Pods of namespaces with certain labels. */
  readonly namespacedPods: ReadonlyMap<string, SelectorSpec>;
  readonly ipBlocks: ReadonlyMap<string, IpBlockSpec>;
}

/** A policy that weave-npc does not take; it is as if it were not there. */
export class RejectedPolicy extends Error {
  override readonly name = "RejectedPolicy";
}

/** By policy: all nodes come to the same, and share it. */
const analysed = new WeakMap<NetworkPolicy, PolicyAnalysis>();

/**
 * Rules and sets of a policy (npc/analyser.go). `endPort` is not known to it, so the first port alone is let through.
 * @throws RejectedPolicy for a policy with named ports
 */
export function analysePolicy(policy: NetworkPolicy): PolicyAnalysis {
  let analysis = analysed.get(policy);
  if (analysis === undefined) {
    analysis = analyse(policy);
    analysed.set(policy, analysis);
  }
  return analysis;
}

function analyse({ metadata, spec }: NetworkPolicy): PolicyAnalysis {
  const { namespace = "default" } = metadata;
  const rules = new Map<string, RuleSpec>();
  const namespaces = new Map<string, SelectorSpec>();
  const pods = new Map<string, SelectorSpec>();
  const namespacedPods = new Map<string, SelectorSpec>();
  const ipBlocks = new Map<string, IpBlockSpec>();
  const target = new SelectorSpec({
    pods: spec.podSelector ?? {},
    namespace,
    policyTypes: (spec.policyTypes ?? []).map((type) =>
      type === "Ingress" ? "ingress" : "egress",
    ),
  });
  pods.set(target.key, target);

  /** A selector that is there already keeps its policy types. */
  const note = (known: Map<string, SelectorSpec>, given: SelectorSpec) => {
    if (!known.has(given.key)) known.set(given.key, given);
    return given;
  };
  const hostOf = ({ podSelector, namespaceSelector, ipBlock }: NetworkPolicyPeer) => {
    if (podSelector !== undefined && namespaceSelector !== undefined) {
      const given = new SelectorSpec({ pods: podSelector, namespaces: namespaceSelector });
      return note(namespacedPods, given);
    }
    if (podSelector !== undefined)
      return note(pods, new SelectorSpec({ pods: podSelector, namespace }));
    if (namespaceSelector !== undefined) {
      return note(namespaces, new SelectorSpec({ namespaces: namespaceSelector }));
    }
    if (ipBlock === undefined) return undefined;
    const block = new IpBlockSpec(ipBlock, namespace);
    ipBlocks.set(block.key, block);
    return block;
  };
  const addRules = (
    type: PolicyType,
    peers: readonly NetworkPolicyPeer[] = [],
    ports: readonly NetworkPolicyPort[] = [],
  ) => {
    for (const { port } of ports) {
      if (typeof port === "string") throw rejected(metadata.name, port);
    }
    const hosts: readonly (RuleHost | undefined)[] =
      peers.length === 0 ? [undefined] : peers.map(hostOf);
    const allowed = ports.length === 0 ? [undefined] : ports.map(portWords);
    for (const host of hosts) {
      const [source, destination] = type === "ingress" ? [host, target] : [target, host];
      for (const port of allowed) {
        const rule = new RuleSpec(type, source, destination, port);
        rules.set(rule.key, rule);
      }
    }
  };
  for (const { from, ports } of spec.ingress ?? []) addRules("ingress", from, ports);
  for (const { to, ports } of spec.egress ?? []) addRules("egress", to, ports);
  return { rules, namespaces, pods, namespacedPods, ipBlocks };
}

function rejected(policy: string, port: IntOrString): RejectedPolicy {
  return new RejectedPolicy(
    `named ports in network policies is not supported yet. Rejecting network policy: ${policy} from further processing. named port ${port} in network policy`,
  );
}

function portWords({ protocol = "TCP", port }: NetworkPolicyPort): {
  readonly protocol: string;
  readonly port: string;
} {
  return { protocol, port: port === undefined ? "0:65535" : String(port) };
}
