import type { Clock, Random, Timer } from "@cnilab/core";
import {
  familyOf,
  formatIp,
  type IpAddress,
  type IpFamily,
  type Prefix,
  tryParsePrefix,
} from "@cnilab/net";
import type { OwnCiliumNode } from "../agent/own-cilium-node.ts";
import type { CiliumNode, IPAMPoolAllocation, IPAMPoolRequest } from "../api/v2/node.ts";
import { AddressRange } from "./address-range.ts";
import { type AddressSource, DEFAULT_POOL, type GivenAddress } from "./address-source.ts";

/** Milliseconds that the agent goes on asking for an address that nobody came back for (pendingAllocationTTL). */
const PENDING_MS = 5 * 60_000;

export interface MultiPoolOptions {
  readonly families: readonly IpFamily[];
  readonly preAllocation: ReadonlyMap<string, number>;
  readonly clock: Clock;
  readonly random: Random;
  /** Tells of the node's own CiliumNode. @returns what ends that */
  readonly watch: (listener: (node: CiliumNode | undefined) => void) => () => void;
  readonly ciliumNode: OwnCiliumNode;
}

/** What a node has of one pool in one family (pkg/ipam/pool.go). */
class PoolPart {
  ranges: AddressRange[] = [];
  /** In use, though the CiliumNode has them no more. */
  readonly removed = new Set<string>();
  readonly released = new Set<string>();

  get inUse(): number {
    return this.ranges.reduce((sum, { used }) => sum + used, 0);
  }

  next(): IpAddress | undefined {
    for (const range of this.ranges) {
      if (this.removed.has(String(range.prefix))) continue;
      const address = range.allocateNext();
      if (address !== undefined) return address;
    }
    return undefined;
  }

  /** Later ranges that nobody uses go, as long as so many free addresses stay. */
  releaseExcess(needed: number): void {
    let free = this.ranges.reduce((sum, range) => sum + range.free, 0);
    this.ranges = this.ranges
      .toReversed()
      .filter((range) => {
        if (range.used > 0 || free - range.free < needed) return true;
        this.released.add(String(range.prefix));
        free -= range.free;
        return false;
      })
      .toReversed();
  }

  update(prefixes: readonly Prefix[], random: Random): void {
    const now = new Set(prefixes.map(String));
    for (const text of [...this.released]) if (!now.has(text)) this.released.delete(text);
    this.removed.clear();
    const kept = this.ranges.filter((range) => {
      if (now.has(String(range.prefix))) return true;
      if (range.used === 0) return false;
      this.removed.add(String(range.prefix));
      return true;
    });
    const there = new Set(kept.map((range) => String(range.prefix)));
    for (const prefix of prefixes) {
      const text = String(prefix);
      // One that was just given back is in the object until that is written.
      if (!there.has(text) && !this.released.has(text)) kept.push(new AddressRange(prefix, random));
    }
    this.ranges = kept;
  }
}

/**
 * Ranges of several pools, by demand (pkg/ipam/multipool.go): the agent writes to its CiliumNode how many addresses it wants, the operator
 * what it gets.
 */
export class MultiPoolSource implements AddressSource {
  readonly #options: MultiPoolOptions;
  readonly #pools = new Map<string, Map<IpFamily, PoolPart>>();
  /** Until when somebody who has got nothing is waited for, by pool, family and owner. */
  readonly #pending = new Map<string, { pool: string; family: IpFamily; until: number }>();
  readonly #poolOf = new Map<IpAddress, string>();
  #end: (() => void) | undefined;
  #due: Timer | undefined;
  #error: string | undefined;

  constructor(options: MultiPoolOptions) {
    this.#options = options;
  }

  start(changed: () => void): void {
    this.#end = this.#options.watch((node) => {
      this.#error = node?.status?.ipam?.["operator-status"]?.error;
      this.#update(node?.spec.ipam?.pools?.allocated ?? []);
      changed();
    });
    this.#writeSoon();
  }

  stop(): void {
    this.#end?.();
    this.#end = undefined;
    this.#due?.cancel();
    this.#due = undefined;
  }

  #update(allocated: readonly IPAMPoolAllocation[]): void {
    for (const { pool, cidrs = [] } of allocated) {
      const prefixes = cidrs.map(tryParsePrefix).filter((p) => p !== undefined);
      for (const family of this.#options.families) {
        this.#part(pool, family, true)?.update(
          prefixes.filter((p) => p.family === family),
          this.#options.random,
        );
      }
    }
    const named = new Set(allocated.map(({ pool }) => pool));
    for (const [pool, parts] of this.#pools) {
      if (named.has(pool)) continue;
      for (const part of parts.values()) part.update([], this.#options.random);
    }
  }

  #part(pool: string, family: IpFamily, make = false): PoolPart | undefined {
    let parts = this.#pools.get(pool);
    if (parts === undefined) {
      if (!make) return undefined;
      parts = new Map();
      this.#pools.set(pool, parts);
    }
    let part = parts.get(family);
    if (part === undefined && make) {
      part = new PoolPart();
      parts.set(family, part);
    }
    return part;
  }

  get isReady(): boolean {
    return this.#options.families.every(
      (family) => (this.#part(DEFAULT_POOL, family)?.ranges.length ?? 0) > 0,
    );
  }

  get problem(): string | undefined {
    if (this.isReady) return undefined;
    return (
      this.#error ?? `waiting for the operator to give CiliumNode a range of pool ${DEFAULT_POOL}`
    );
  }

  get ranges(): readonly Prefix[] {
    return [...this.#pools.values()].flatMap((parts) =>
      [...parts.values()].flatMap(({ ranges }) => ranges.map(({ prefix }) => prefix)),
    );
  }

  allocateNext(family: IpFamily, pool: string, owner: string): GivenAddress | string {
    const part = this.#part(pool, family);
    const address = part?.next();
    if (part !== undefined && address !== undefined) return this.#given(address, pool, owner);
    this.#pending.set(`${pool} ${family} ${owner}`, {
      pool,
      family,
      until: this.#options.clock.now + PENDING_MS,
    });
    this.#writeSoon();
    return part === undefined || part.ranges.length === 0
      ? `unable to allocate from pool "${pool}" (family ipv${family}): pool not (yet) available`
      : "all pod CIDR ranges are exhausted";
  }

  allocate(address: IpAddress, pool: string, owner: string): GivenAddress | string {
    const family = familyOf(address);
    // A pod that keeps its address has it from whichever pool it is in.
    for (const [name, parts] of this.#pools) {
      for (const range of parts.get(family)?.ranges ?? []) {
        if (!range.prefix.contains(address)) continue;
        return range.allocate(address) ?? this.#given(address, name, owner);
      }
    }
    return this.#part(pool, family) === undefined
      ? `unable to reserve IP ${formatIp(address)} from pool "${pool}" (family ipv${family}): pool not (yet) available`
      : `IP ${formatIp(address)} not in range of any pod CIDR`;
  }

  #given(address: IpAddress, pool: string, owner: string): GivenAddress {
    this.#pending.delete(`${pool} ${familyOf(address)} ${owner}`);
    this.#poolOf.set(address, pool);
    this.#writeSoon();
    return { address, pool };
  }

  release(address: IpAddress): void {
    const pool = this.#poolOf.get(address);
    this.#poolOf.delete(address);
    for (const range of this.#part(pool ?? DEFAULT_POOL, familyOf(address))?.ranges ?? []) {
      range.release(address);
    }
    this.#writeSoon();
  }

  #writeSoon(): void {
    if (this.#end === undefined) return;
    this.#due ??= this.#options.clock.schedule(0, () => {
      this.#due = undefined;
      this.#write();
    });
  }

  /** What is wanted, and what of that which it has stays (updateLocalNode). */
  #write(): void {
    const needed = this.#needed();
    const allocated: IPAMPoolAllocation[] = [];
    for (const [pool, parts] of [...this.#pools].sort(byName)) {
      const cidrs: string[] = [];
      for (const [family, part] of parts) {
        const wanted = needed.get(pool)?.[family] ?? 0;
        part.releaseExcess(Math.max(wanted - part.inUse, 0));
        cidrs.push(...part.ranges.map(({ prefix }) => String(prefix)).sort());
      }
      if (cidrs.length > 0) allocated.push({ pool, cidrs });
    }
    const requested: IPAMPoolRequest[] = [...needed]
      .sort(byName)
      .filter(([, families]) => families[4] + families[6] > 0)
      .map(([pool, families]) => ({
        pool,
        needed: {
          ...(families[4] > 0 && { "ipv4-addrs": families[4] }),
          ...(families[6] > 0 && { "ipv6-addrs": families[6] }),
        },
      }));
    this.#options.ciliumNode.change((spec) => ({
      ...spec,
      ipam: { ...spec.ipam, pools: { requested, allocated } },
    }));
  }

  /** In use, asked for in vain, and kept ready (computeNeededIPsPerPoolLocked). */
  #needed(): Map<string, Record<IpFamily, number>> {
    const needed = new Map<string, Record<IpFamily, number>>();
    const of = (pool: string) => {
      let there = needed.get(pool);
      if (there === undefined) {
        there = { 4: 0, 6: 0 };
        needed.set(pool, there);
      }
      return there;
    };
    for (const [pool, parts] of this.#pools) {
      for (const [family, part] of parts) of(pool)[family] += part.inUse;
    }
    for (const [key, { pool, family, until }] of [...this.#pending]) {
      if (until < this.#options.clock.now) this.#pending.delete(key);
      else of(pool)[family]++;
    }
    for (const [pool, preAllocation] of this.#options.preAllocation) {
      const counts = of(pool);
      for (const family of this.#options.families) {
        counts[family] = neededWith(counts[family], preAllocation);
      }
    }
    return needed;
  }
}

/** Rounded up to the next multiple that leaves so many ready (neededIPCeil). */
function neededWith(count: number, preAllocation: number): number {
  if (preAllocation === 0) return count;
  const whole = Math.floor(count / preAllocation);
  return (whole + (count % preAllocation > 0 ? 2 : 1)) * preAllocation;
}

function byName([x]: readonly [string, unknown], [y]: readonly [string, unknown]): number {
  return x < y ? -1 : x > y ? 1 : 0;
}
