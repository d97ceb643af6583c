import { formatEndpoint, type IpAddress } from "@cnilab/net";
import type { MaglevConfig } from "./maglev-config.ts";
import { murmur3 } from "./murmur3.ts";

export interface MaglevBackend {
  /** The agent's own number of it: it is what the table holds, and plays no part in where. */
  readonly id: number;
  readonly address: IpAddress;
  readonly port: number;
  /** As `TCP`. */
  readonly protocol: string;
  /** 0 … 65535. Weights count only where they are more than 1 on average. */
  readonly weight: number;
  /** It belongs to the scope for traffic from inside of the cluster. */
  readonly internal?: boolean;
}

/** Where in a table of prime size a backend wants to stand: `offset`, then every `skip`th slot. */
export interface Permutation {
  readonly offset: number;
  readonly skip: number;
}

export function permutation(name: string, tableSize: number, seed: number): Permutation {
  const { h1, h2 } = murmur3(name, seed);
  return {
    offset: Number(h1 % BigInt(tableSize)),
    skip: Number(h2 % BigInt(tableSize - 1)) + 1,
  };
}

/**
 * What backends are hashed and sorted by. It is the text of an active backend of a former release and stays so, so that
 * nodes of different releases have equal tables (pkg/maglev `setHashString`).
 */
export function maglevName({ address, port, protocol, internal }: MaglevBackend): string {
  return `[${formatEndpoint(address, port)}/${protocol}${internal === true ? "/i" : ""},State:active]`;
}

/**
 * A service's look-up table: backend ids by slot, nearly as often each as its weight asks for (Eisenbud et al., "Maglev",
 * 2016, §3.4). Backends take turns, and each takes the next slot of its own permutation that is free; a weighted one
 * misses turns (envoyproxy/envoy pull request 2982).
 */
export function maglevTable(
  backends: Iterable<MaglevBackend>,
  { tableSize, murmurSeed }: MaglevConfig,
): Uint32Array {
  const turns = [...backends]
    .map((backend) => ({ backend, name: maglevName(backend) }))
    .sort((x, y) => (x.name < y.name ? -1 : x.name > y.name ? 1 : 0));
  const count = turns.length;
  const table = new Uint32Array(tableSize);
  if (count === 0) return table;
  const taken = new Uint8Array(tableSize);
  const position = new Uint32Array(count);
  const skips = new Uint32Array(count);
  const weights = turns.map(({ backend }) => backend.weight);
  const sum = weights.reduce((total, weight) => total + weight, 0);
  const weighted = Math.floor(sum / count) > 1;
  /** How far each has come, in the measure of {@link sum}: it misses a turn until its weight has caught up. */
  const used = weights.map((weight) => weight / count);
  turns.forEach(({ name }, i) => {
    const { offset, skip } = permutation(name, tableSize, murmurSeed);
    position[i] = offset;
    skips[i] = skip;
  });
  for (let turn = 0; turn < tableSize; turn++) {
    let i = turn % count;
    if (weighted) {
      while ((turn + 1) * (weights[i] as number) < Math.floor(used[i] as number)) {
        i = i + 1 === count ? 0 : i + 1;
      }
      used[i] = (used[i] as number) + sum;
    }
    const skip = skips[i] as number;
    let slot = position[i] as number;
    while (taken[slot] === 1) {
      slot += skip;
      if (slot >= tableSize) slot -= tableSize;
    }
    taken[slot] = 1;
    table[slot] = (turns[i] as (typeof turns)[number]).backend.id;
    position[i] = slot;
  }
  return table;
}
