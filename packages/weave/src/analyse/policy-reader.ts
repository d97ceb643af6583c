import {
  type CniOptionValues,
  type Kind,
  type KubeObject,
  type NetworkPolicy,
  type NetworkPolicyPeer,
  type NetworkPolicyPort,
  objectKey,
  withPolicyTypes,
} from "@cnilab/core";
import { type Prefix, parsePrefix } from "@cnilab/net";
import {
  allPorts,
  type Direction,
  NETWORK_POLICY,
  ObjectsByKind,
  type PeerTerm,
  type Policy,
  type PolicyReader,
  type PolicyView,
  type PortTerm,
  type Rule,
} from "@cnilab/network-policy";
import { ipallocRange } from "../model-options.ts";
import { type GivenPolicy, type GivenRule, givenPolicy, whyRejected } from "./given-policy.ts";
import { NamedSets, peerText } from "./named-sets.ts";

const KINDS: readonly Kind[] = [
  "AdminNetworkPolicy",
  "BaselineAdminNetworkPolicy",
  "ClusterNetworkPolicy",
  "Namespace",
  "NetworkPolicy",
  "Node",
  "Pod",
];

/** NetworkPolicies as weave-npc enforces them. */
export const weavePolicyReader: PolicyReader = withOptions({});

function withOptions(options: CniOptionValues): PolicyReader {
  const range = ipallocRange(options);
  const isOff = options["expect-npc"] === false;
  return {
    kinds: KINDS,
    read: (objects) =>
      isOff
        ? withoutNpc(new ObjectsByKind(objects))
        : policyView(new ObjectsByKind(objects), range),
    withOptions,
  };
}

/** Nobody enforces anything. */
function withoutNpc(objects: ObjectsByKind): PolicyView {
  const reason = "expect-npc is false: weave-npc does not run";
  return {
    policies: [],
    settings: { blocksMatchPods: true },
    endpoint: (plain) => plain,
    ignored: objects.of("NetworkPolicy").map((object) => ({ object, reason })),
  };
}

/** @param podRange of which bridges of nodes have their addresses, too */
function policyView(objects: ObjectsByKind, podRange: Prefix): PolicyView {
  const ignored: { object: KubeObject; reason: string }[] = [];
  const deviations: { object: KubeObject; reason: string }[] = [];
  for (const kind of [
    "AdminNetworkPolicy",
    "BaselineAdminNetworkPolicy",
    "ClusterNetworkPolicy",
  ] as const) {
    for (const object of objects.of(kind)) {
      ignored.push({ object, reason: "weave-npc reads NetworkPolicies alone" });
    }
  }
  const policies: Policy[] = [];
  const sets = new NamedSets();
  const given = [...objects.of("NetworkPolicy")].sort(byKey);
  for (const object of given) {
    const reason = whyRejected(object);
    if (reason !== undefined) {
      ignored.push({ object, reason });
      continue;
    }
    const whole = givenPolicy(withPolicyTypes(object));
    const inTheWay = sets.provide(whole.peers);
    if (inTheWay?.isBeforeClosing === true) {
      const { peer } = inTheWay;
      ignored.push({ object, reason: `${taken(peer)}; its pods stay as they are without it` });
      continue;
    }
    const read = inTheWay === undefined ? whole : withoutRules(whole, inTheWay.peer);
    const terms = new PeerTerms(object.metadata.namespace ?? "default", podRange, sets);
    policies.push(policyOf({ ...read, object }, terms));
    for (const each of [...read.deviations, ...terms.deviations]) {
      deviations.push({ object, reason: each });
    }
  }
  return {
    policies: [...policies, ...alwaysAllowed(policies)],
    settings: { blocksMatchPods: true, nodesReachTheirPods: true },
    endpoint: (plain) => plain,
    ignored,
    deviations,
  };
}

function byKey(x: NetworkPolicy, y: NetworkPolicy): number {
  return objectKey(x) < objectKey(y) ? -1 : 1;
}

function withoutRules(given: GivenPolicy, peer: NetworkPolicyPeer): GivenPolicy {
  const deviation = `${taken(peer)}; its pods are closed, and none of its rules is there`;
  return { ...given, ingress: [], egress: [], deviations: [...given.deviations, deviation] };
}

function taken(peer: NetworkPolicyPeer): string {
  const other = peer.podSelector === undefined ? "pods in namespaces" : "namespaces";
  return `weave-npc makes of ${peerText(peer)} the name of a set of ${other} that is there already, and stops`;
}

function policyOf(given: GivenPolicy, terms: PeerTerms): Policy {
  const { object, leavesOpen } = given;
  const rules = (direction: Direction) => {
    const found = given[direction].map((rule) => ruleOf(rule, direction, terms));
    return found.length === 0 && leavesOpen.includes(direction) ? undefined : found;
  };
  const [ingress, egress] = [rules("ingress"), rules("egress")];
  return {
    object,
    tier: NETWORK_POLICY,
    priority: 0,
    subject: {
      kind: "pods",
      namespace: terms.namespace,
      podSelector: object.spec.podSelector ?? {},
    },
    ...(ingress !== undefined && { ingress }),
    ...(egress !== undefined && { egress }),
    ...(leavesOpen.length > 0 && { leavesOpen }),
  };
}

function ruleOf({ path, peers, ports }: GivenRule, direction: Direction, terms: PeerTerms): Rule {
  return {
    path,
    action: "Allow",
    ...(peers.length > 0 && {
      peers: peers.map((each) => terms.of(each.value, direction, `${path}.${each.path}`)),
    }),
    ...(ports.length > 0 && { ports: ports.map(({ value }) => portOf(value)) }),
  };
}

/** `endPort` is not known. */
function portOf({ protocol = "TCP", port }: NetworkPolicyPort): PortTerm {
  if (port === undefined) return { protocol, ...allPorts(protocol) };
  return { protocol, first: Number(port), last: Number(port) };
}

const ALL_NODES: PeerTerm = { kind: "nodes", nodeSelector: {} };

/** Whom the peers of a policy's rules mean. */
class PeerTerms {
  readonly namespace: string;
  readonly deviations: string[] = [];
  readonly #podRange: Prefix;
  readonly #sets: NamedSets;

  constructor(namespace: string, podRange: Prefix, sets: NamedSets) {
    this.namespace = namespace;
    this.#podRange = podRange;
    this.#sets = sets;
  }

  of(peer: NetworkPolicyPeer, direction: Direction, path: string): PeerTerm {
    const { podSelector = {}, namespaceSelector, ipBlock } = peer;
    if (ipBlock === undefined) {
      if (namespaceSelector === undefined) {
        return { kind: "pods", namespace: this.namespace, podSelector };
      }
      const { namespaces = {}, pods = {} } = this.#sets.members(peer);
      return { kind: "pods", namespaceSelector: namespaces, podSelector: pods };
    }
    const cidr = parsePrefix(ipBlock.cidr);
    const except = (ipBlock.except ?? []).map((text) => parsePrefix(text));
    const block: PeerTerm = { kind: "block", cidrs: [cidr], except };
    if (direction === "egress") return block;
    // What nodes send to pods of others has the address of their bridge for its source, whatever else they have.
    const others: PeerTerm = { kind: "all", of: [block, { kind: "not", of: ALL_NODES }] };
    return this.#meansBridges(cidr, except, path)
      ? { kind: "any", of: [others, ALL_NODES] }
      : others;
  }

  /**
   * Bridges have addresses of the pods' range, each of the part that its node had at the time: nobody knows it before. Where a block has
   * some of the range, the greater part decides.
   */
  #meansBridges(cidr: Prefix, except: readonly Prefix[], path: string): boolean {
    const range = this.#podRange;
    if (!cidr.overlaps(range) || except.some((hole) => hole.covers(range))) return false;
    const holes = except.filter((hole) => range.covers(hole));
    if (cidr.covers(range) && holes.length === 0) return true;
    const meant = (cidr.covers(range) ? range : cidr).size - holes.reduce((n, h) => n + h.size, 0n);
    const isMeant = 2n * meant > range.size;
    this.deviations.push(
      `${path} has a part of ${range}, from which nodes' bridges have their addresses, and with them what nodes send to pods of others: that is taken as ${isMeant ? "meant" : "not meant"}`,
    );
    return isMeant;
  }
}

/** Whose rules these are. */
const WEAVE_NET: KubeObject = {
  apiVersion: "apps/v1",
  kind: "DaemonSet",
  metadata: { name: "weave-net", namespace: "kube-system" },
};

const MULTICAST: PeerTerm = { kind: "block", cidrs: [parsePrefix("224.0.0.0/4")], except: [] };

/** What pods send to their own node, or to a multicast group, is let through before policies are asked. */
function alwaysAllowed(policies: readonly Policy[]): readonly Policy[] {
  const subjects = policies.filter(({ egress }) => egress).map(({ subject }) => subject);
  if (subjects.length === 0) return [];
  const ownNode: PeerTerm = { kind: "all", of: [{ kind: "local" }, ALL_NODES] };
  const rule: Rule = {
    path: "chain WEAVE-NPC-EGRESS",
    action: "Allow",
    peers: [ownNode, MULTICAST],
  };
  const subject: PeerTerm = { kind: "any", of: subjects };
  const form = { object: WEAVE_NET, tier: NETWORK_POLICY, priority: 0, isBuiltIn: true } as const;
  return [{ ...form, subject, egress: [rule], leavesOpen: ["egress"] }];
}
