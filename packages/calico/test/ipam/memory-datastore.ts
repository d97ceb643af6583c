import type { Labels } from "@cnilab/core";
import type {
  BlockAffinitySpec,
  IPAMBlockSpec,
  IPAMConfigurationSpec,
  IPAMHandleSpec,
} from "../../src/api/v3.ts";
import { keyOf } from "../../src/ipam/affinities.ts";
import type {
  AffinityKey,
  AffinityOwner,
  IpamDatastore,
  Stored,
} from "../../src/ipam/datastore.ts";
import {
  ResourceAlreadyExists,
  ResourceDoesNotExist,
  UpdateConflict,
} from "../../src/ipam/ipam-error.ts";
import type { Pool } from "../../src/ipam/pool.ts";

/** Things of one kind by key, listed in the order of the keys, as etcd does. */
class Table<T> {
  readonly #rows = new Map<string, Stored<T>>();
  readonly #key: (value: T) => string;
  #revision = 0;

  constructor(key: (value: T) => string) {
    this.#key = key;
  }

  get(key: string): Stored<T> {
    const row = this.#rows.get(key);
    if (row === undefined) throw new ResourceDoesNotExist(key);
    return row;
  }

  find(key: string): Stored<T> | undefined {
    return this.#rows.get(key);
  }

  get all(): Stored<T>[] {
    return [...this.#rows].toSorted(([x], [y]) => (x < y ? -1 : 1)).map(([, row]) => row);
  }

  create(value: T): Stored<T> {
    const key = this.#key(value);
    if (this.#rows.has(key)) throw new ResourceAlreadyExists(key);
    return this.#put(key, value);
  }

  update(old: Stored<T>, value: T): Stored<T> {
    this.#check(old);
    return this.#put(this.#key(value), value);
  }

  delete(old: Stored<T>): void {
    this.#check(old);
    this.#rows.delete(this.#key(old.value));
  }

  #check(old: Stored<T>): void {
    const key = this.#key(old.value);
    if (this.get(key).revision !== old.revision) throw new UpdateConflict(key);
  }

  #put(key: string, value: T): Stored<T> {
    const row = { value, revision: String(++this.#revision) };
    this.#rows.set(key, row);
    return row;
  }
}

/** As Calico's etcd has it. */
export class MemoryDatastore implements IpamDatastore {
  readonly nodes: Map<string, Labels> = new Map();
  poolList: readonly Pool[] = [];
  settings: IPAMConfigurationSpec | undefined;
  reserved: readonly string[] = [];
  readonly #affinities = new Table<BlockAffinitySpec>((spec) => affinityPath(keyOf(spec)));
  readonly #blocks = new Table<IPAMBlockSpec>(({ cidr }) => cidr.replace("/", "-"));
  readonly #handles = new Table<IPAMHandleSpec>(({ handleID }) => handleID);

  nodeLabels(name: string): Labels {
    const labels = this.nodes.get(name);
    if (labels === undefined) throw new ResourceDoesNotExist(`Node(${name})`);
    return labels;
  }

  pools(): readonly Pool[] {
    return this.poolList;
  }

  configuration(): IPAMConfigurationSpec | undefined {
    return this.settings;
  }

  reservedCidrs(): readonly string[] {
    return this.reserved;
  }

  affinitiesOf(owner: AffinityOwner): readonly string[] {
    const all = this.#affinities.all.map(({ value }) => keyOf(value));
    return all
      .filter(({ type, host }) => type === owner.type && host === owner.host)
      .map(({ cidr }) => cidr);
  }

  affinities(): readonly AffinityKey[] {
    return this.#affinities.all.map(({ value }) => keyOf(value));
  }

  get storedAffinities(): BlockAffinitySpec[] {
    return this.#affinities.all.map(({ value }) => value);
  }

  affinity(key: AffinityKey): Stored<BlockAffinitySpec> {
    return this.#affinities.get(affinityPath(key));
  }

  createAffinity(affinity: BlockAffinitySpec): Stored<BlockAffinitySpec> {
    return this.#affinities.create(affinity);
  }

  updateAffinity(
    old: Stored<BlockAffinitySpec>,
    affinity: BlockAffinitySpec,
  ): Stored<BlockAffinitySpec> {
    return this.#affinities.update(old, affinity);
  }

  deleteAffinity(old: Stored<BlockAffinitySpec>): void {
    this.#affinities.delete(old);
  }

  block(cidr: string): Stored<IPAMBlockSpec> {
    return this.#blocks.get(cidr.replace("/", "-"));
  }

  findBlock(cidr: string): IPAMBlockSpec | undefined {
    return this.#blocks.find(cidr.replace("/", "-"))?.value;
  }

  blocks(): readonly Stored<IPAMBlockSpec>[] {
    return this.#blocks.all;
  }

  createBlock(block: IPAMBlockSpec): Stored<IPAMBlockSpec> {
    return this.#blocks.create(block);
  }

  updateBlock(old: Stored<IPAMBlockSpec>, block: IPAMBlockSpec): Stored<IPAMBlockSpec> {
    return this.#blocks.update(old, block);
  }

  deleteBlock(old: Stored<IPAMBlockSpec>): void {
    this.#blocks.delete(old);
  }

  handle(id: string): Stored<IPAMHandleSpec> {
    return this.#handles.get(id);
  }

  findHandle(id: string): Stored<IPAMHandleSpec> | undefined {
    return this.#handles.find(id);
  }

  handles(): readonly Stored<IPAMHandleSpec>[] {
    return this.#handles.all;
  }

  createHandle(handle: IPAMHandleSpec): Stored<IPAMHandleSpec> {
    return this.#handles.create(handle);
  }

  updateHandle(old: Stored<IPAMHandleSpec>, handle: IPAMHandleSpec): Stored<IPAMHandleSpec> {
    return this.#handles.update(old, handle);
  }

  deleteHandle(old: Stored<IPAMHandleSpec>): void {
    this.#handles.delete(old);
  }
}

function affinityPath({ type, host, cidr }: AffinityKey): string {
  return `${type}/${host}/${cidr.includes(":") ? "ipv6" : "ipv4"}/${cidr.replace("/", "-")}`;
}
