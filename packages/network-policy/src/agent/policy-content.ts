import type { Origin } from "@cnilab/core";
import { formatIp, type IpFamily } from "@cnilab/net";
import { EndpointClasses } from "../analyse/endpoint-classes.ts";
import { type PolicySet, Subjects } from "../analyse/subjects.ts";
import { DEFAULT_SETTINGS } from "../policy/match.ts";
import {
  DIRECTIONS,
  type Direction,
  type Policy,
  policyName,
  type Rule,
} from "../policy/policy.ts";
import type { PolicyEndpoint } from "../policy/policy-endpoint.ts";
import { rulesInOrder } from "../policy/rule-order.ts";
import { byTier, endOfTier } from "../policy/tier.ts";
import { POLICY_MAPS } from "./base-chains.ts";
import { nameHash } from "./names.ts";
import { RuleTexts } from "./rule-texts.ts";
import type { ContentRule, ContentSet, TableContent } from "./table-content.ts";

/**
 * What the agent's table holds for some policies and everybody whom they may be about. Pods that the same policies select
 * share a chain for each direction; in it, `return` lets a packet go on to the other direction's question.
 * @param endpoints of both IP versions
 */
export function policyContent(
  policies: readonly Policy[],
  endpoints: Readonly<Record<IpFamily, readonly PolicyEndpoint[]>>,
): TableContent {
  const sets = new Map<string, ContentSet>();
  const chains = new Map<string, ContentRule[]>();
  for (const family of [4, 6] as const) {
    const of = endpoints[family];
    const classes = new EndpointClasses(policies, of, DEFAULT_SETTINGS);
    const subjects = new Subjects(policies, classes);
    const texts = new RuleTexts(family, classes, of);
    for (const direction of DIRECTIONS) {
      const leads = new Map<string, string>();
      const written = new Set<number>();
      classes.classes.forEach(({ members }, each) => {
        const set = subjects.policiesOf(direction, each);
        if (set.policies.length === 0) return;
        const chain = chainName(direction, set);
        if (!written.has(set.id)) {
          written.add(set.id);
          addChains(chains, chain, set, direction, texts);
        }
        for (const member of members) {
          leads.set(formatIp((of[member] as PolicyEndpoint).address), `jump ${chain}`);
        }
      });
      sets.set(POLICY_MAPS[direction][family], {
        type: `type ipv${family}_addr : verdict`,
        isMap: true,
        elements: leads,
      });
    }
    for (const [name, set] of texts.sets) sets.set(name, set);
  }
  return { sets, chains };
}

function chainName(direction: Direction, { policies }: PolicySet): string {
  return `${direction}-${nameHash(policies.map(policyName).join())}`;
}

/** Adds the rules of one family to the chains of a set of policies: one chain a tier. */
function addChains(
  chains: Map<string, ContentRule[]>,
  name: string,
  { policies }: PolicySet,
  direction: Direction,
  texts: RuleTexts,
): void {
  const tiers = byTier(policies);
  tiers.forEach((ofTier, i) => {
    const chain = chainOfTier(name, i);
    const next = i + 1 < tiers.length ? `goto ${chainOfTier(name, i + 1)}` : "return";
    const end: ContentRule =
      endOfTier(ofTier, direction) === "Deny"
        ? { text: "drop", origin: deniedBy(ofTier, direction) }
        : { text: next, origin: undefined };
    // The other IP version's rules may be there already; what ends the chain stays last.
    const rules = chains.get(chain)?.slice(0, -1) ?? [];
    for (const { policy, rule } of rulesInOrder(ofTier, direction)) {
      const verdict = { Allow: "return", Deny: "drop", Pass: next, Log: "log" }[rule.action];
      for (const match of texts.matches(rule, direction)) {
        rules.push({ text: `${match} ${verdict}`, origin: originOf(policy, rule) });
      }
    }
    chains.set(chain, [...rules, end]);
  });
}

function chainOfTier(name: string, i: number): string {
  return i === 0 ? name : `${name}-${i + 1}`;
}

function originOf({ object: { kind, metadata } }: Policy, rule: Rule): Origin {
  const named = rule.name === undefined ? "" : ` "${rule.name}"`;
  return {
    kind,
    ...(metadata.namespace !== undefined && { namespace: metadata.namespace }),
    name: metadata.name,
    detail: `${rule.path.replace(/^spec\./, "")}${named}`,
  };
}

/** The end of the NetworkPolicies' tier: no rule of any of them has let the packet through. */
function deniedBy(policies: readonly Policy[], direction: Direction): Origin {
  const [first, ...others] = policies as readonly [Policy, ...Policy[]];
  const { kind, metadata } = first.object;
  const also = others.map(({ object }) => object.metadata.name).join(", ");
  return {
    kind,
    ...(metadata.namespace !== undefined && { namespace: metadata.namespace }),
    name: metadata.name,
    detail: `${direction}, no rule of it${also === "" ? "" : ` or of ${also}`} allows this`,
  };
}
