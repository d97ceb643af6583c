import type { NetworkPolicyPeer } from "@cnilab/core";
import { SelectorSpec } from "../npc/selector-spec.ts";

/** Why a set that is wanted is not made: one of that name is there, of another type. */
export interface SetInTheWay {
  readonly peer: NetworkPolicyPeer;
  /** Sets of namespaces are made before pods are closed, those of pods in namespaces behind. */
  readonly isBeforeClosing: boolean;
}

/**
 * Sets for peers of any namespace. They are named after the text of the selectors, that for namespaces and that for pods put together,
 * so that different selectors may mean one name: `namespaceSelector: {}` with and without `podSelector: {}` (npc/selector.go).
 */
export class NamedSets {
  readonly #sets = new Map<string, SelectorSpec>();

  /** Makes what a policy needs, up to the first that is in the way. */
  provide(peers: readonly NetworkPolicyPeer[]): SetInTheWay | undefined {
    const wanted = peers.filter(({ namespaceSelector }) => namespaceSelector !== undefined);
    const ofNamespaces = wanted.filter(({ podSelector }) => podSelector === undefined);
    const ofPods = wanted.filter(({ podSelector }) => podSelector !== undefined);
    for (const peer of [...ofNamespaces, ...ofPods]) {
      const spec = specOf(peer);
      const there = this.#sets.get(spec.key);
      if (there === undefined) this.#sets.set(spec.key, spec);
      else if (there.setType !== spec.setType) {
        return { peer, isBeforeClosing: spec.setType === "list:set" };
      }
    }
    return undefined;
  }

  /** Whose addresses are in the set that a peer names: of the first that made it. */
  members(peer: NetworkPolicyPeer): SelectorSpec {
    const spec = specOf(peer);
    return this.#sets.get(spec.key) ?? spec;
  }
}

function specOf({ podSelector, namespaceSelector }: NetworkPolicyPeer): SelectorSpec {
  return new SelectorSpec({
    ...(podSelector !== undefined && { pods: podSelector }),
    ...(namespaceSelector !== undefined && { namespaces: namespaceSelector }),
  });
}

/** `namespaceSelector {team=a} and podSelector {}`. */
export function peerText({ podSelector, namespaceSelector }: NetworkPolicyPeer): string {
  const text = (given: NonNullable<typeof podSelector>) =>
    `{${new SelectorSpec({ pods: given }).key}}`;
  const parts = [
    ...(namespaceSelector === undefined ? [] : [`namespaceSelector ${text(namespaceSelector)}`]),
    ...(podSelector === undefined ? [] : [`podSelector ${text(podSelector)}`]),
  ];
  return parts.join(" and ");
}
