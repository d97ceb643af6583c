import { type ApiClient, type KubeObject, type Labels, objectKey } from "@cnilab/core";
import { sha256 } from "@noble/hashes/sha2.js";
import { sha3_256 } from "@noble/hashes/sha3.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import { base32nopad, hex } from "@scure/base";
import type {} from "../api/kinds.ts";
import type {
  BlockAffinity,
  BlockAffinitySpec,
  IPAMBlock,
  IPAMBlockSpec,
  IPAMConfigurationSpec,
  IPAMHandle,
  IPAMHandleSpec,
} from "../api/v3.ts";
import { keyOf } from "./affinities.ts";
import type { AffinityKey, AffinityOwner, IpamDatastore, Stored } from "./datastore.ts";
import { ResourceAlreadyExists, ResourceDoesNotExist, UpdateConflict } from "./ipam-error.ts";
import { type Pool, poolOf } from "./pool.ts";

const BLOCK = "IPAMBlock.projectcalico.org";
const AFFINITY = "BlockAffinity.projectcalico.org";
const HANDLE = "IPAMHandle.projectcalico.org";
const API_VERSION = "projectcalico.org/v3";

/** An IPAM kind: its object with a spec. */
type IpamKind = typeof BLOCK | typeof AFFINITY | typeof HANDLE;
interface SpecOf {
  readonly [BLOCK]: IPAMBlockSpec;
  readonly [AFFINITY]: BlockAffinitySpec;
  readonly [HANDLE]: IPAMHandleSpec;
}
interface IpamObject<S> extends KubeObject {
  readonly spec: S;
}

const datastores = new WeakMap<ApiClient, ApiDatastore>();

/**
 * IPAM's state as objects of the Kubernetes API (libcalico-go/lib/backend/k8s/resources/ipam_*.go). Compare-and-swap is by resourceVersion.
 * The API server knows no compare-and-delete: the real client marks an object as deleted first. Here both are one step.
 */
export class ApiDatastore implements IpamDatastore {
  readonly #api: ApiClient;
  /** Names of affinities by owner, sorted; some of them may be gone. The real one asks by label. */
  readonly #affinityNames = new Map<string, string[]>();

  private constructor(api: ApiClient) {
    this.#api = api;
    api.watch(AFFINITY).subscribe(({ type, object }) => {
      if (type !== "DELETED") this.#note(object);
    });
  }

  /** The one of an API server: what finds affinities is shared by all who use it. */
  static of(api: ApiClient): ApiDatastore {
    let datastore = datastores.get(api);
    if (datastore === undefined) {
      datastore = new ApiDatastore(api);
      datastores.set(api, datastore);
    }
    return datastore;
  }

  nodeLabels(name: string): Labels {
    const node = this.#api.get("Node", name);
    if (node === undefined)
      throw new ResourceDoesNotExist(`Node(${name})`, `nodes "${name}" not found`);
    return node.metadata.labels ?? {};
  }

  pools(): readonly Pool[] {
    return this.#api.list("IPPool.projectcalico.org").map(poolOf).toSorted(byName);
  }

  configuration(): IPAMConfigurationSpec | undefined {
    return this.#api.get("IPAMConfiguration.projectcalico.org", "default")?.spec;
  }

  reservedCidrs(): readonly string[] {
    const reservations = this.#api.list("IPReservation.projectcalico.org");
    return reservations.flatMap(({ spec }) => spec?.reservedCIDRs ?? []);
  }

  affinitiesOf(owner: AffinityOwner): readonly string[] {
    const names = this.#affinityNames.get(ownerKey(owner)) ?? [];
    const there = names.map((name) => this.#api.get(AFFINITY, name)).filter((a) => a !== undefined);
    return there.filter(({ spec }) => !isDeleted(spec)).map(({ spec }) => spec.cidr);
  }

  affinities(): readonly AffinityKey[] {
    return this.#all(AFFINITY).map(({ value }) => keyOf(value));
  }

  affinity(key: AffinityKey): Stored<BlockAffinitySpec> {
    return this.#get(
      AFFINITY,
      affinityName(key),
      `BlockAffinityKey(cidr=${key.cidr}, host=${key.host}, affinityType=${key.type})`,
    );
  }

  createAffinity(spec: BlockAffinitySpec): Stored<BlockAffinitySpec> {
    const key = keyOf(spec);
    const metadata = { name: affinityName(key), labels: affinityLabels(key) };
    const object: BlockAffinity = {
      apiVersion: API_VERSION,
      kind: "BlockAffinity",
      metadata,
      spec,
    };
    return this.#create(AFFINITY, object);
  }

  updateAffinity(
    old: Stored<BlockAffinitySpec>,
    spec: BlockAffinitySpec,
  ): Stored<BlockAffinitySpec> {
    return this.#update(AFFINITY, affinityName(keyOf(spec)), old, spec);
  }

  deleteAffinity(old: Stored<BlockAffinitySpec>): void {
    this.#delete(AFFINITY, affinityName(keyOf(old.value)), old);
    const names = this.#affinityNames.get(ownerKey(keyOf(old.value)));
    const at = names?.indexOf(affinityName(keyOf(old.value))) ?? -1;
    if (at >= 0) names?.splice(at, 1);
  }

  block(cidr: string): Stored<IPAMBlockSpec> {
    return this.#get(BLOCK, nameOfCidr(cidr), `BlockKey(cidr=${cidr})`);
  }

  findBlock(cidr: string): IPAMBlockSpec | undefined {
    return this.#api.get(BLOCK, nameOfCidr(cidr))?.spec;
  }

  blocks(): readonly Stored<IPAMBlockSpec>[] {
    return this.#all(BLOCK);
  }

  createBlock(spec: IPAMBlockSpec): Stored<IPAMBlockSpec> {
    const metadata = { name: nameOfCidr(spec.cidr) };
    const object: IPAMBlock = { apiVersion: API_VERSION, kind: "IPAMBlock", metadata, spec };
    return this.#create(BLOCK, object);
  }

  updateBlock(old: Stored<IPAMBlockSpec>, spec: IPAMBlockSpec): Stored<IPAMBlockSpec> {
    return this.#update(BLOCK, nameOfCidr(spec.cidr), old, spec);
  }

  deleteBlock(old: Stored<IPAMBlockSpec>): void {
    this.#delete(BLOCK, nameOfCidr(old.value.cidr), old);
  }

  handle(id: string): Stored<IPAMHandleSpec> {
    return this.#get(HANDLE, id.toLowerCase(), `IPAMHandleKey(id=${id})`);
  }

  findHandle(id: string): Stored<IPAMHandleSpec> | undefined {
    const object = this.#api.get(HANDLE, id.toLowerCase());
    return object === undefined ? undefined : storedOf(object);
  }

  handles(): readonly Stored<IPAMHandleSpec>[] {
    return this.#all(HANDLE);
  }

  createHandle(spec: IPAMHandleSpec): Stored<IPAMHandleSpec> {
    const metadata = { name: spec.handleID.toLowerCase() };
    const object: IPAMHandle = { apiVersion: API_VERSION, kind: "IPAMHandle", metadata, spec };
    return this.#create(HANDLE, object);
  }

  updateHandle(old: Stored<IPAMHandleSpec>, spec: IPAMHandleSpec): Stored<IPAMHandleSpec> {
    return this.#update(HANDLE, spec.handleID.toLowerCase(), old, spec);
  }

  deleteHandle(old: Stored<IPAMHandleSpec>): void {
    this.#delete(HANDLE, old.value.handleID.toLowerCase(), old);
  }

  #get<K extends IpamKind>(kind: K, name: string, identifier: string): Stored<SpecOf[K]> {
    const object = this.#api.get(kind, name) as IpamObject<SpecOf[K]> | undefined;
    if (object !== undefined) return storedOf(object);
    throw new ResourceDoesNotExist(identifier, `${kind} "${name}" not found`);
  }

  /** By name: the order in which the API server lists them. */
  #all<K extends IpamKind>(kind: K): Stored<SpecOf[K]>[] {
    const objects = this.#api.list(kind) as readonly unknown[] as readonly IpamObject<SpecOf[K]>[];
    return objects.toSorted(byMetadataName).map(storedOf);
  }

  #create<K extends IpamKind>(kind: K, object: IpamObject<SpecOf[K]>): Stored<SpecOf[K]> {
    const { name } = object.metadata;
    if (this.#api.get(kind, name) !== undefined) {
      throw new ResourceAlreadyExists(name, `${kind} "${name}" already exists`);
    }
    const created = this.#api.create<K>(object as never) as unknown as IpamObject<SpecOf[K]>;
    if (kind === AFFINITY) this.#note(created as unknown as BlockAffinity);
    return storedOf(created);
  }

  #update<K extends IpamKind>(
    kind: K,
    name: string,
    { revision }: Stored<SpecOf[K]>,
    spec: SpecOf[K],
  ): Stored<SpecOf[K]> {
    const updated = this.#api.update(kind, name, (object) => {
      if (object.metadata.resourceVersion !== revision) throw new UpdateConflict(name);
      return { ...object, spec } as typeof object;
    }) as IpamObject<SpecOf[K]> | undefined;
    if (updated !== undefined) return storedOf(updated);
    throw new ResourceDoesNotExist(name, `${kind} "${name}" not found`);
  }

  #delete<K extends IpamKind>(kind: K, name: string, { revision }: Stored<SpecOf[K]>): void {
    const object = this.#api.get(kind, name);
    if (object === undefined) throw new ResourceDoesNotExist(name, `${kind} "${name}" not found`);
    if (object.metadata.resourceVersion !== revision) throw new UpdateConflict(name);
    this.#api.delete(kind, name);
  }

  #note(affinity: BlockAffinity): void {
    const key = ownerKey(keyOf(affinity.spec));
    const { name } = affinity.metadata;
    const names = this.#affinityNames.get(key);
    if (names === undefined) this.#affinityNames.set(key, [name]);
    else if (!names.includes(name)) {
      names.push(name);
      names.sort(byText);
    }
  }
}

function storedOf<S>(object: IpamObject<S>): Stored<S> {
  return { value: object.spec, revision: object.metadata.resourceVersion ?? "" };
}

/** `crd.projectcalico.org/v1` has it as text. */
function isDeleted({ deleted }: BlockAffinitySpec): boolean {
  return String(deleted) === "true";
}

function ownerKey({ type, host }: AffinityOwner): string {
  return `${type}:${host}`;
}

function byText(x: string, y: string): number {
  return x < y ? -1 : x > y ? 1 : 0;
}

function byName(x: { readonly name: string }, y: { readonly name: string }): number {
  return byText(x.name, y.name);
}

function byMetadataName(x: KubeObject, y: KubeObject): number {
  return byText(objectKey(x), objectKey(y));
}

/** libcalico-go/lib/names/cidr.go CIDRToName */
export function nameOfCidr(cidr: string): string {
  return cidr.replaceAll(/[.:/]/g, "-");
}

const MAX_NAME_LENGTH = 253;

/** Node and block; shortened, and made unique again, where that is too long for a name (ipam_affinity_v1.go parseKey). */
function affinityName({ host, cidr }: AffinityKey): string {
  const block = nameOfCidr(cidr);
  const name = `${host}-${block}`;
  if (name.length < MAX_NAME_LENGTH) return name;
  const hash = hex.encode(sha256(utf8ToBytes(`${host}+${block}`))).slice(0, 11);
  return `${host.slice(0, MAX_NAME_LENGTH - 1 - block.length - 13)}-${block}-${hash}`;
}

/** What the real client finds affinities by (libcalico-go/lib/backend/model/block_affinity.go). */
function affinityLabels({ host, type, cidr }: AffinityKey): Labels {
  return {
    "projectcalico.org/affinity-type": type,
    "projectcalico.org/hostname-hash": base32nopad.encode(sha3_256(utf8ToBytes(host))),
    "projectcalico.org/ip-version": cidr.includes(":") ? "6" : "4",
  };
}
