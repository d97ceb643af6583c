import type { NumericIdentity } from "../identity/numeric-identity.ts";
import { mergeEntries, type PolicyMapEntry, sameInDatapath } from "./policy-map-entry.ts";
import {
  coversPorts,
  type PolicyMapKey,
  type PolicyPorts,
  portMask,
  portsCode,
  prefixLength,
} from "./policy-map-key.ts";

/** What the rules of one direction have beside plain allowing; entries are compared only where it matters. */
export interface PolicyFeatures {
  readonly deny: boolean;
  readonly redirect: boolean;
  readonly auth: boolean;
}

export const ALL_FEATURES: PolicyFeatures = { deny: true, redirect: true, auth: true };

/** Entries of some ports. */
interface PortEntries {
  readonly ports: PolicyPorts;
  readonly byIdentity: Map<NumericIdentity, PolicyMapEntry>;
}

type Found = readonly [ports: PortEntries, identity: NumericIdentity, entry: PolicyMapEntry];

/** Keys that a change made or altered, and such as are gone. */
export class MapStateChanges {
  readonly adds: Map<string, PolicyMapKey> = new Map();
  readonly deletes: Map<string, PolicyMapKey> = new Map();
}

/** What an endpoint's policy map is to have (pkg/policy/mapstate.go). */
export class MapState {
  readonly #byPorts = new Map<number, PortEntries>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  *entries(): Iterable<readonly [key: PolicyMapKey, entry: PolicyMapEntry]> {
    for (const { ports, byIdentity } of this.#byPorts.values()) {
      for (const [identity, entry] of byIdentity) yield [{ ...ports, identity }, entry];
    }
  }

  get(key: PolicyMapKey): PolicyMapEntry | undefined {
    return this.#byPorts.get(portsCode(key))?.byIdentity.get(key.identity);
  }

  /** Puts an entry among others as precedence wants it: it may remove others, or be left out. */
  insert(
    key: PolicyMapKey,
    entry: PolicyMapEntry,
    features: PolicyFeatures,
    changes?: MapStateChanges,
  ): void {
    if (entry.deny) {
      for (const [at, identity, other] of this.#broader(key)) {
        if (other.deny && !isAt(key, at, identity)) return;
      }
      for (const [at, identity, other] of this.#narrower(key)) {
        if (!other.deny || !isAt(key, at, identity)) this.#delete(at, identity, changes);
      }
    } else if (features.auth) {
      this.#insertWithAuth(key, entry, changes);
      return;
    } else {
      if (features.deny || features.redirect) {
        for (const [, , other] of this.#broader(key)) {
          if (other.deny || other.proxyPortPriority > entry.proxyPortPriority) return;
        }
      }
      if (entry.proxyPortPriority > 0) {
        for (const [at, identity, other] of this.#narrower(key)) {
          if (!other.deny && other.proxyPortPriority < entry.proxyPortPriority) {
            this.#delete(at, identity, changes);
          }
        }
      }
    }
    this.#add(key, entry, changes);
  }

  /** Removes an entry, whatever else may have led to it. */
  delete(key: PolicyMapKey, changes?: MapStateChanges): void {
    const at = this.#byPorts.get(portsCode(key));
    if (at !== undefined) this.#delete(at, key.identity, changes);
  }

  /** Puts an entry in place, without a look at others. */
  set(key: PolicyMapKey, entry: PolicyMapEntry): void {
    const code = portsCode(key);
    let at = this.#byPorts.get(code);
    if (at === undefined) {
      const { direction, protocol, port, portPrefixLength } = key;
      at = { ports: { direction, protocol, port, portPrefixLength }, byIdentity: new Map() };
      this.#byPorts.set(code, at);
    }
    if (!at.byIdentity.has(key.identity)) this.#size++;
    at.byIdentity.set(key.identity, entry);
  }

  /**
   * What holds for a packet, as the datapath finds it: of the entries for the identity and for anybody the longest each, then
   * a denying one, a redirect that comes first, the longer one, that of the identity (`bpf/lib/policy.h`).
   */
  lookup(packet: PolicyMapKey): PolicyMapEntry | undefined {
    let l3: readonly [PolicyPorts, PolicyMapEntry] | undefined;
    let l4: readonly [PolicyPorts, PolicyMapEntry] | undefined;
    for (const { ports, byIdentity } of this.#ancestors(packet)) {
      const [ofIdentity, ofAnybody] = [byIdentity.get(packet.identity), byIdentity.get(0)];
      if (l3 === undefined && packet.identity !== 0 && ofIdentity) l3 = [ports, ofIdentity];
      if (l4 === undefined && ofAnybody) l4 = [ports, ofAnybody];
      if (l3 !== undefined && l4 !== undefined) break;
    }
    if (l3 === undefined || l4 === undefined) return (l3 ?? l4)?.[1];
    const [[l3Ports, l3Entry], [l4Ports, l4Entry]] = [l3, l4];
    if (l3Entry.deny) return l3Entry;
    if (l4Entry.deny) return l4Entry;
    if (l3Entry.proxyPortPriority !== l4Entry.proxyPortPriority) {
      return l3Entry.proxyPortPriority > l4Entry.proxyPortPriority ? l3Entry : l4Entry;
    }
    return prefixLength(l4Ports) > prefixLength(l3Ports)
      ? withAuthOf(l4Entry, l3Entry)
      : withAuthOf(l3Entry, l4Entry);
  }

  /** An explicit demand for authentication holds for narrower entries of the identity, unless they have their own (authPreferredInsert). */
  #insertWithAuth(key: PolicyMapKey, given: PolicyMapEntry, changes?: MapStateChanges): void {
    let entry = given;
    let isDerived = false;
    for (const { ports, byIdentity } of this.#ancestors(key)) {
      const other = byIdentity.get(key.identity);
      if (other === undefined) continue;
      if (other.deny) return;
      if (other.proxyPortPriority > entry.proxyPortPriority) {
        if (!given.authExplicit) return;
        const { proxyPort, proxyPortPriority } = other;
        entry = { ...entry, proxyPort, proxyPortPriority };
        break;
      }
      if (isDerived || given.authExplicit || !other.authExplicit) continue;
      if (portsCode(ports) === portsCode(key)) continue;
      entry = { ...entry, authType: other.authType, authExplicit: false };
      isDerived = true;
    }
    let isPropagated = false;
    for (const at of this.#descendants(key)) {
      const other = at.byIdentity.get(key.identity);
      if (other === undefined) continue;
      if (!other.deny && other.proxyPortPriority < entry.proxyPortPriority) {
        if (!other.authExplicit) {
          this.#delete(at, key.identity, changes);
          continue;
        }
        const { proxyPort, proxyPortPriority } = entry;
        this.#alter(at, key.identity, { ...other, proxyPort, proxyPortPriority }, changes);
      }
      if (isPropagated || !given.authExplicit || portsCode(at.ports) === portsCode(key)) continue;
      if (other.deny || other.authExplicit) isPropagated = true;
      else if (other.authType !== entry.authType) {
        const { authType } = entry;
        this.#alter(at, key.identity, { ...other, authType, authExplicit: false }, changes);
      }
    }
    this.#add(key, entry, changes);
  }

  #add(key: PolicyMapKey, entry: PolicyMapEntry, changes?: MapStateChanges): void {
    const old = this.get(key);
    if (old?.deny && !entry.deny) return;
    const next = old !== undefined && old.deny === entry.deny ? mergeEntries(old, entry) : entry;
    this.set(key, next);
    if (old === undefined || !sameInDatapath(old, next)) this.#noteAdd(key, changes);
  }

  #alter(
    { ports, byIdentity }: PortEntries,
    identity: NumericIdentity,
    entry: PolicyMapEntry,
    changes?: MapStateChanges,
  ): void {
    byIdentity.set(identity, entry);
    this.#noteAdd({ ...ports, identity }, changes);
  }

  #noteAdd(key: PolicyMapKey, changes?: MapStateChanges): void {
    if (changes === undefined) return;
    const text = keyText(key);
    changes.adds.set(text, key);
    changes.deletes.delete(text);
  }

  #delete(
    { ports, byIdentity }: PortEntries,
    identity: NumericIdentity,
    changes?: MapStateChanges,
  ): void {
    if (!byIdentity.delete(identity)) return;
    this.#size--;
    if (byIdentity.size === 0) this.#byPorts.delete(portsCode(ports));
    if (changes === undefined) return;
    const key = { ...ports, identity };
    changes.adds.delete(keyText(key));
    changes.deletes.set(keyText(key), key);
  }

  /** Entries that hold for all of the key: for its identity and for anybody. */
  *#broader(key: PolicyMapKey): Iterable<Found> {
    for (const at of this.#ancestors(key)) {
      const ofAnybody = at.byIdentity.get(0);
      if (ofAnybody !== undefined) yield [at, 0, ofAnybody];
      if (key.identity === 0) continue;
      const ofIdentity = at.byIdentity.get(key.identity);
      if (ofIdentity !== undefined) yield [at, key.identity, ofIdentity];
    }
  }

  /** Entries that hold for a part of the key; of every identity where it is for anybody. */
  #narrower(key: PolicyMapKey): readonly Found[] {
    const found: Found[] = [];
    for (const at of this.#descendants(key)) {
      if (key.identity === 0) {
        for (const [identity, entry] of at.byIdentity) found.push([at, identity, entry]);
      } else {
        const entry = at.byIdentity.get(key.identity);
        if (entry !== undefined) found.push([at, key.identity, entry]);
      }
    }
    return found;
  }

  /** Ports that hold all of these, the narrowest first. */
  *#ancestors({ direction, protocol, port, portPrefixLength }: PolicyPorts): Iterable<PortEntries> {
    if (protocol !== 0) {
      for (let length = portPrefixLength; length >= 0; length--) {
        const ports = {
          direction,
          protocol,
          port: port & portMask(length),
          portPrefixLength: length,
        };
        const at = this.#byPorts.get(portsCode(ports));
        if (at !== undefined) yield at;
      }
    }
    const any = { direction, protocol: 0, port: 0, portPrefixLength: 0 };
    const at = this.#byPorts.get(portsCode(any));
    if (at !== undefined) yield at;
  }

  /** Ports among these, the widest first. */
  #descendants(of: PolicyPorts): readonly PortEntries[] {
    return [...this.#byPorts.values()]
      .filter(({ ports }) => coversPorts(of, ports))
      .sort((x, y) => prefixLength(x.ports) - prefixLength(y.ports));
  }
}

function isAt(key: PolicyMapKey, { ports }: PortEntries, identity: NumericIdentity): boolean {
  return identity === key.identity && portsCode(ports) === portsCode(key);
}

function keyText(key: PolicyMapKey): string {
  return `${portsCode(key)}/${key.identity}`;
}

/** The greater demand for authentication where the entry has none of its own. */
function withAuthOf(entry: PolicyMapEntry, other: PolicyMapEntry): PolicyMapEntry {
  if (entry.authExplicit || other.authType <= entry.authType) return entry;
  return { ...entry, authType: other.authType };
}
