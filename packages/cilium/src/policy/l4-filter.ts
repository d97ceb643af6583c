import type { L4Proto } from "../api/v2/rule.ts";
import type { PeerSelector } from "./cached-selector.ts";
import type { TrafficDirection } from "./policy-map-key.ts";
import type { PolicyRule } from "./policy-rule.ts";
import { mergeSelectorPolicies, type SelectorPolicy } from "./selector-policy.ts";

/** What holds for one selector at the ports of a filter. */
export interface FilterPeer {
  readonly selector: PeerSelector;
  readonly policy: SelectorPolicy;
  readonly rules: readonly PolicyRule[];
}

/** Peers of one port, range of ports, or name of a port (pkg/policy/l4.go L4Filter). */
export class L4Filter {
  readonly direction: TrafficDirection;
  readonly protocol: L4Proto;
  /** 0 is every port, and for those with a name. */
  readonly port: number;
  /** 0 for a single port. */
  readonly endPort: number;
  readonly portName: string;
  readonly #peers = new Map<string, FilterPeer>();

  constructor(at: {
    readonly direction: TrafficDirection;
    readonly protocol: L4Proto;
    readonly port: number;
    readonly endPort: number;
    readonly portName: string;
  }) {
    this.direction = at.direction;
    this.protocol = at.protocol;
    this.port = at.port;
    this.endPort = at.endPort;
    this.portName = at.portName;
  }

  get peers(): Iterable<FilterPeer> {
    return this.#peers.values();
  }

  /** What holds for everybody. */
  get wildcard(): FilterPeer | undefined {
    for (const peer of this.#peers.values()) if (peer.selector.isWildcard) return peer;
    return undefined;
  }

  /** @throws PolicyConflictError */
  add(peer: FilterPeer): void {
    const { selector, policy, rules } = peer;
    const known = this.#peers.get(selector.key);
    if (known === undefined) {
      this.#peers.set(selector.key, peer);
      return;
    }
    this.#peers.set(selector.key, {
      selector,
      // Of who selects nobody nothing is kept.
      policy: selector.isNone ? known.policy : mergeSelectorPolicies(known.policy, policy),
      rules: [...new Set([...known.rules, ...rules])],
    });
  }

  peerOf({ key }: PeerSelector): FilterPeer | undefined {
    return this.#peers.get(key);
  }
}
