import { type Network, SharedLpmEntries } from "@cnilab/linux";
import {
  encodePolicyKey,
  type PolicyEntry,
  type PolicyKey,
  type PolicyMap,
} from "../../datapath/maps/policy-map.ts";
import { EndpointPolicy, type PolicyOwner } from "../../policy/endpoint-policy.ts";
import type { MapStateChanges } from "../../policy/map-state.ts";
import type { PolicyMapEntry } from "../../policy/policy-map-entry.ts";
import { type PolicyMapKey, portsCode } from "../../policy/policy-map-key.ts";
import type { ResolvedPolicy } from "../../policy/policy-repository.ts";
import type { Selections } from "../../policy/selector-cache.ts";
import { Standstill } from "../identity/standstill.ts";
import { policyEntryOf, policyKeyOf } from "./policy-map-values.ts";

/** Bits of the key of a policy map. */
const POLICY_MAP_BITS = 64;

export interface SharedPolicyOptions {
  readonly network: Network;
  readonly maxEntries: number;
  readonly selections: Selections;
  readonly allowLocalhost: boolean;
}

/**
 * What the policy maps of some endpoints have, worked out once for all that are the same: under the same rules,
 * with the same named ports and proxy ports. Entries that do not fit are missing, as they are in the map of each of them.
 */
export class SharedPolicy {
  readonly #options: SharedPolicyOptions;
  readonly #entries: SharedLpmEntries<PolicyKey, PolicyEntry>;
  readonly #standstill: Standstill<PolicyKey, PolicyEntry>;
  #policy: EndpointPolicy | undefined;
  /** Wanted, but the map was full. */
  readonly #missing = new Map<string, PolicyMapKey>();

  constructor(options: SharedPolicyOptions) {
    this.#options = options;
    const empty = () =>
      new SharedLpmEntries<PolicyKey, PolicyEntry>(
        options.network,
        POLICY_MAP_BITS,
        encodePolicyKey,
      );
    this.#entries = empty();
    this.#standstill = new Standstill(this.#entries, empty);
  }

  /** `undefined` until it has been worked out once. */
  get policy(): EndpointPolicy | undefined {
    return this.#policy;
  }

  /** Of the map, 0 to 1 and more where it cannot have all (`cilium_bpf_map_pressure`). */
  get pressure(): number {
    return (this.#policy?.mapState.size ?? 0) / this.#options.maxEntries;
  }

  get missing(): Iterable<PolicyMapKey> {
    return this.#missing.values();
  }

  get missingCount(): number {
    return this.#missing.size;
  }

  attach(map: PolicyMap): void {
    this.#standstill.thaw(map);
  }

  /** The map keeps what it has. */
  detach(map: PolicyMap): void {
    this.#standstill.freeze(map);
  }

  /** Puts another policy in the place of the present one: new entries come before old ones go (pkg/endpoint/bpf.go syncPolicyMap). */
  regenerate(resolved: ResolvedPolicy, owner: PolicyOwner): void {
    const before = this.#policy;
    before?.detach();
    const { selections, allowLocalhost } = this.#options;
    const policy = new EndpointPolicy(resolved, owner, selections, {
      allowLocalhost,
      onChange: (changes) => this.#applyChanges(changes),
    });
    this.#policy = policy;
    this.#standstill.beforeChange();
    this.#missing.clear();
    for (const [key, entry] of policy.mapState.entries()) this.#add(key, entry);
    let deleted = 0;
    for (const [key] of before?.mapState.entries() ?? []) {
      if (policy.mapState.get(key) === undefined && this.#delete(key)) deleted++;
    }
    if (deleted > 0) this.#retry();
  }

  /** Nobody has it any more. */
  close(): void {
    this.#policy?.detach();
  }

  /** Incremental: identities came or went (applyPolicyMapChangesLocked). */
  #applyChanges({ adds, deletes }: MapStateChanges): void {
    this.#standstill.beforeChange();
    const add = () => {
      for (const key of adds.values()) {
        const entry = this.#policy?.mapState.get(key);
        if (entry !== undefined) this.#add(key, entry);
      }
    };
    const remove = () => {
      for (const key of deletes.values()) this.#delete(key);
    };
    if (this.#entries.size + adds.size <= this.#options.maxEntries) {
      add();
      remove();
    } else {
      // So that there may be room; packets that both let in may be dropped meanwhile.
      remove();
      add();
    }
    if (deletes.size > 0) this.#retry();
  }

  #add(key: PolicyMapKey, entry: PolicyMapEntry): void {
    const at = policyKeyOf(key);
    const there = this.#entries.trie.get(encodePolicyKey(at));
    if (there === undefined && this.#entries.size >= this.#options.maxEntries) {
      this.#missing.set(keyText(key), key);
      return;
    }
    const value = policyEntryOf(key, entry);
    if (there !== undefined && isSame(there.value, value)) return;
    this.#missing.delete(keyText(key));
    this.#entries.set(at, value);
  }

  #delete(key: PolicyMapKey): boolean {
    this.#missing.delete(keyText(key));
    return this.#entries.delete(policyKeyOf(key));
  }

  #retry(): void {
    for (const key of [...this.#missing.values()]) {
      if (this.#entries.size >= this.#options.maxEntries) return;
      const entry = this.#policy?.mapState.get(key);
      this.#missing.delete(keyText(key));
      if (entry !== undefined) this.#add(key, entry);
    }
  }
}

function isSame(x: PolicyEntry, y: PolicyEntry): boolean {
  if (x === y) return true;
  return (
    x.deny === y.deny &&
    x.proxyPort === y.proxyPort &&
    x.proxyPortPriority === y.proxyPortPriority &&
    x.authType === y.authType &&
    x.hasExplicitAuthType === y.hasExplicitAuthType &&
    x.origin?.kind === y.origin?.kind &&
    x.origin?.namespace === y.origin?.namespace &&
    x.origin?.name === y.origin?.name
  );
}

function keyText(key: PolicyMapKey): string {
  return `${portsCode(key)}/${key.identity}`;
}
