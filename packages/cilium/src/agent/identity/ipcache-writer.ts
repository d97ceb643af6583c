import { type Network, SharedLpmEntries } from "@cnilab/linux";
import { type IpAddress, Prefix } from "@cnilab/net";
import {
  encodeIpcacheKey,
  IPCACHE_BITS,
  type IpcacheKey,
  type IpcacheMap,
  type RemoteEndpointInfo,
} from "../../datapath/maps/ipcache-map.ts";
import type { IpCache, IpCacheEntry } from "../../identity/ip-cache.ts";
import { RESERVED_IDENTITY } from "../../identity/numeric-identity.ts";
import { Standstill } from "./standstill.ts";

/** A node's map of addresses. What all nodes say alike it shares; of its own pods and addresses it says something else. */
export interface IpcacheNode {
  readonly map: IpcacheMap;
  /** Under which other nodes know it. */
  readonly nodeIps: readonly IpAddress[];
  /** All that the machine has. */
  readonly addresses: readonly IpAddress[];
  /** What this node alone knows: names of DNS. */
  readonly own: IpCache;
}

/**
 * Writes what agents know of addresses into `cilium_ipcache_v2` of all nodes (pkg/datapath/ipcache/listener.go). A pod's address stands
 * above a range of that one address, which policies may have made (Identity.shadowed of pkg/ipcache/ipcache.go).
 */
export class IpcacheWriter {
  readonly #endpoints: IpCache;
  readonly #ranges: IpCache;
  readonly #shared: SharedLpmEntries<IpcacheKey, RemoteEndpointInfo>;
  readonly #standstill: Standstill<IpcacheKey, RemoteEndpointInfo>;
  /** What maps have of their own: a map stays when its agent goes, and the next run finds it as it was. */
  readonly #ownEntries = new WeakMap<IpcacheMap, Map<string, Prefix>>();
  /** Nodes that have something of their own to say of a range. */
  readonly #concerned = new Map<string, Set<NodeWriter>>();
  readonly #byNodeIp = new Map<IpAddress, NodeWriter>();
  /** Ranges behind a node, by its address. */
  readonly #behind = new Map<IpAddress, Map<string, Prefix>>();
  readonly #host = new Map<string, IpAddress>();

  /** @param endpoints addresses of pods. @param ranges all others, those of nodes among them */
  constructor(
    network: Network,
    shared: SharedLpmEntries<IpcacheKey, RemoteEndpointInfo>,
    endpoints: IpCache,
    ranges: IpCache,
  ) {
    this.#shared = shared;
    this.#endpoints = endpoints;
    this.#ranges = ranges;
    this.#standstill = new Standstill(
      shared,
      () => new SharedLpmEntries(network, IPCACHE_BITS, encodeIpcacheKey),
    );
    endpoints.listen((prefix) => this.#write(prefix));
    ranges.listen((prefix) => this.#write(prefix));
  }

  /** @returns what ends it: the node's map stays as it is */
  join(node: IpcacheNode): () => void {
    this.#standstill.thaw(node.map);
    const entries = this.#ownEntries.get(node.map) ?? new Map<string, Prefix>();
    this.#ownEntries.set(node.map, entries);
    const writer = new NodeWriter(node, this.#endpoints, this.#ranges, entries);
    for (const prefix of [...entries.values()]) writer.write(prefix);
    for (const address of node.nodeIps) this.#byNodeIp.set(address, writer);
    for (const address of node.addresses) {
      const prefix = Prefix.host(address);
      this.#concern(prefix, writer);
      writer.write(prefix);
    }
    for (const address of node.nodeIps) {
      for (const prefix of this.#behind.get(address)?.values() ?? []) writer.write(prefix);
    }
    const stop = node.own.listen((prefix, entry) => {
      if (entry !== undefined) this.#concern(prefix, writer);
      writer.write(prefix);
    });
    return () => {
      stop();
      for (const at of writer.concerns) {
        const writers = this.#concerned.get(at);
        writers?.delete(writer);
        if (writers?.size === 0) this.#concerned.delete(at);
      }
      for (const address of node.nodeIps) {
        if (this.#byNodeIp.get(address) === writer) this.#byNodeIp.delete(address);
      }
      this.#standstill.freeze(node.map);
    };
  }

  #concern(prefix: Prefix, writer: NodeWriter): void {
    const at = String(prefix);
    writer.concerns.add(at);
    const writers = this.#concerned.get(at) ?? new Set();
    this.#concerned.set(at, writers.add(writer));
  }

  #write(prefix: Prefix): void {
    const entry = this.#endpoints.get(prefix) ?? this.#ranges.get(prefix);
    const key = keyOf(prefix);
    this.#standstill.beforeChange();
    if (entry === undefined) this.#shared.delete(key);
    else this.#shared.set(key, infoOf(entry));
    const at = String(prefix);
    const before = this.#host.get(at);
    const host = entry?.tunnelEndpoint;
    if (before !== host) this.#move(at, prefix, before, host);
    for (const address of before === host ? [host] : [before, host]) {
      if (address !== undefined) this.#byNodeIp.get(address)?.write(prefix);
    }
    for (const node of this.#concerned.get(at) ?? []) node.write(prefix);
  }

  #move(at: string, prefix: Prefix, from: IpAddress | undefined, to: IpAddress | undefined): void {
    if (from !== undefined) {
      const behind = this.#behind.get(from);
      behind?.delete(at);
      if (behind?.size === 0) this.#behind.delete(from);
    }
    if (to === undefined) {
      this.#host.delete(at);
      return;
    }
    this.#host.set(at, to);
    const behind = this.#behind.get(to) ?? new Map<string, Prefix>();
    this.#behind.set(to, behind.set(at, prefix));
  }
}

/** What one node's map has of its own, above what it shares. */
class NodeWriter {
  readonly concerns: Set<string> = new Set();
  readonly #node: IpcacheNode;
  readonly #endpoints: IpCache;
  readonly #ranges: IpCache;
  readonly #addresses: ReadonlySet<string>;
  readonly #nodeIps: ReadonlySet<IpAddress>;
  readonly #entries: Map<string, Prefix>;

  constructor(
    node: IpcacheNode,
    endpoints: IpCache,
    ranges: IpCache,
    entries: Map<string, Prefix>,
  ) {
    this.#node = node;
    this.#entries = entries;
    this.#endpoints = endpoints;
    this.#ranges = ranges;
    this.#addresses = new Set(node.addresses.map((each) => String(Prefix.host(each))));
    this.#nodeIps = new Set(node.nodeIps);
  }

  write(prefix: Prefix): void {
    const { map, own } = this.#node;
    const key = keyOf(prefix);
    if (this.#addresses.has(String(prefix))) {
      this.#set(prefix, { identity: RESERVED_IDENTITY.host, key: 0, skipTunnel: false });
      return;
    }
    const endpoint = this.#endpoints.get(prefix);
    const named = endpoint === undefined ? own.get(prefix) : undefined;
    if (named !== undefined) {
      this.#set(prefix, infoOf(named));
      return;
    }
    const shared = endpoint ?? this.#ranges.get(prefix);
    if (shared?.tunnelEndpoint === undefined || !this.#nodeIps.has(shared.tunnelEndpoint)) {
      map.restoreShared(key);
      this.#entries.delete(String(prefix));
    } else if (shared.isPodCidr) {
      // The way to its own pods is not through a tunnel.
      if (map.exact(key) !== undefined) map.delete(key);
    } else {
      const { tunnelEndpoint: _, ...local } = infoOf(shared);
      this.#set(prefix, local);
    }
  }

  #set(prefix: Prefix, info: RemoteEndpointInfo): void {
    this.#node.map.update(keyOf(prefix), info);
    this.#entries.set(String(prefix), prefix);
  }
}

function keyOf({ address, length }: Prefix): IpcacheKey {
  return { clusterId: 0, address, prefixLength: length };
}

function infoOf(entry: IpCacheEntry): RemoteEndpointInfo {
  const { identity, tunnelEndpoint, encryptKey, skipTunnel, origin } = entry;
  return {
    identity,
    key: encryptKey,
    skipTunnel,
    ...(tunnelEndpoint !== undefined && { tunnelEndpoint }),
    ...(origin !== undefined && { origin }),
  };
}
