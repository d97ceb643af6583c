import { type EndpointSlice, type Origin, objectKey, type Pod } from "@cnilab/core";
import {
  type IpAddress,
  type IpFamily,
  Prefix,
  tryParseInterfaceAddress,
  tryParseIp,
} from "@cnilab/net";
import type { CiliumEndpoint } from "../../api/v2/endpoint.ts";
import type { CiliumNode } from "../../api/v2/node.ts";
import type { FQDNSelector } from "../../api/v2/rule.ts";
import type { IpcacheMap } from "../../datapath/maps/ipcache-map.ts";
import { IpCache, type IpSource } from "../../identity/ip-cache.ts";
import { RESERVED_IDENTITY } from "../../identity/numeric-identity.ts";
import type { PrefixLabelSettings } from "../../identity/prefix-labels.ts";
import {
  type LocalIdentityListener,
  type PrefixInfo,
  PrefixMetadata,
} from "../../identity/prefix-metadata.ts";
import { cidrLabels } from "../../labels/cidr-labels.ts";
import { POLICY_CLUSTER_LABEL } from "../../labels/kubernetes-labels.ts";
import { LABEL_SOURCE, type Label, label } from "../../labels/label.ts";
import { type LabelSet, labelSet } from "../../labels/label-set.ts";
import { reservedLabel, worldLabel } from "../../labels/reserved-labels.ts";
import { type AgentWorld, watchLate } from "./agent-world.ts";
import { IpcacheWriter } from "./ipcache-writer.ts";

export interface IpcacheSettings extends PrefixLabelSettings {
  readonly clusterName: string;
  readonly families: readonly IpFamily[];
  /** Of the addresses that nodes send to each other. */
  readonly underlay: IpFamily;
  readonly hostFirewall: boolean;
  /** WireGuard, and whether nodes' own packets go through it. */
  readonly encryption: "none" | "pods" | "nodes";
}

/** The one key that WireGuard has (pkg/wireguard/types StaticEncryptKey). */
const STATIC_ENCRYPT_KEY = 255;
const SERVICE_NAME_LABEL = "kubernetes.io/service-name";
const DAEMON = "daemon//reserved";

/** One node's view of addresses, above that of all. */
export interface NodeIpcache {
  /**
   * What names of DNS an address has by this node's proxy: of selectors of policies those that match one of its names; none, and it is
   * an address as any other.
   */
  setSelectors(address: IpAddress, selectors: readonly FQDNSelector[]): void;
  /** The node hears of nothing any more, or of all again. */
  readonly isCutOff: boolean;
  setCutOff(isCutOff: boolean): void;
  /** Its map stays as it is from then on. */
  leave(): void;
}

/** Which identities addresses have, for all nodes of a cluster: pods by CiliumEndpoints, nodes by CiliumNodes, ranges by policies. */
export class ClusterIpcache {
  /** Addresses of pods. */
  readonly endpoints: IpCache = new IpCache();
  /** Nodes, and ranges that policies speak of. */
  readonly ranges: IpCache = new IpCache();
  readonly prefixes: PrefixMetadata;
  readonly #settings: IpcacheSettings;
  readonly #onIdentities: LocalIdentityListener;
  readonly #writer: IpcacheWriter;
  /** Addresses of the API server by the slice that has them. */
  readonly #apiServers = new Map<string, readonly IpAddress[]>();
  readonly #apiServerListeners = new Set<() => void>();
  /** What an object has said. */
  readonly #said = new Map<string, readonly Prefix[]>();

  /** @param onIdentities told before addresses have a new identity, and after none has one that is gone */
  constructor(world: AgentWorld, settings: IpcacheSettings, onIdentities: LocalIdentityListener) {
    this.#settings = settings;
    this.#onIdentities = onIdentities;
    this.prefixes = new PrefixMetadata(this.ranges, settings, onIdentities);
    this.#writer = new IpcacheWriter(
      world.network,
      world.maps.ipcache,
      this.endpoints,
      this.ranges,
    );
    for (const family of settings.families) {
      const all = new Prefix(tryParseIp(family === 4 ? "0.0.0.0" : "::") as IpAddress, 0);
      const labels = [worldLabel(family, settings.dualStack)];
      this.prefixes.upsert(all, DAEMON, { source: "local", labels });
    }
    this.prefixes.inject();
    watchLate(world, "CiliumNode.cilium.io", ({ type, object }) => {
      this.say(`node//${object.metadata.name}`, type === "DELETED" ? [] : this.#nodeInfos(object));
    });
    watchLate(world, "EndpointSlice", ({ type, object }) => {
      if (!isApiServer(object)) return;
      this.#apiServerChanged(object, type === "DELETED");
    });
    watchLate(world, "Pod", ({ type, object, old }) => {
      this.#podChanged(type === "DELETED" ? undefined : object, old ?? object);
    });
    watchLate(world, "CiliumEndpoint.cilium.io", ({ type, object, old }) => {
      this.#endpointChanged(type === "DELETED" ? undefined : object, old ?? object);
    });
  }

  /** All that an object now says of ranges, in place of what it said before. */
  say(resource: string, infos: readonly (readonly [prefix: Prefix, info: PrefixInfo])[]): void {
    this.replace(resource, infos)();
  }

  /** The same in two steps. @returns what takes back that which is said no more */
  replace(
    resource: string,
    infos: readonly (readonly [prefix: Prefix, info: PrefixInfo])[],
  ): () => void {
    const before = this.#said.get(resource) ?? [];
    const now = new Set<string>();
    for (const [prefix, info] of infos) {
      now.add(String(prefix));
      this.prefixes.upsert(prefix, resource, info);
    }
    const prefixes = infos.map(([prefix]) => prefix);
    if (prefixes.length === 0) this.#said.delete(resource);
    else this.#said.set(resource, prefixes);
    this.prefixes.inject();
    return () => {
      const gone = before.filter((prefix) => !now.has(String(prefix)));
      for (const prefix of gone) this.prefixes.remove(prefix, resource);
      if (gone.length > 0) this.prefixes.inject();
    };
  }

  isApiServer(address: IpAddress): boolean {
    return [...this.#apiServers.values()].some((addresses) => addresses.includes(address));
  }

  /** Hears when the API server has other addresses. @returns what ends that */
  onApiServers(listener: () => void): () => void {
    this.#apiServerListeners.add(listener);
    return () => this.#apiServerListeners.delete(listener);
  }

  #apiServerChanged(slice: EndpointSlice, isDeleted: boolean): void {
    const key = objectKey(slice);
    const addresses = isDeleted ? [] : parseAddresses(slice.endpoints.flatMap((e) => e.addresses));
    if (String(this.#apiServers.get(key) ?? []) === String(addresses)) return;
    this.#apiServers.set(key, addresses);
    const labels = [reservedLabel("kube-apiserver")];
    const info: PrefixInfo = { source: "kube-apiserver", labels, origin: originOf(slice) };
    const infos = addresses.map((address) => [Prefix.host(address), info] as const);
    this.say(`endpoints/${key}`, infos);
    for (const listener of [...this.#apiServerListeners]) listener();
  }

  join(node: {
    readonly map: IpcacheMap;
    readonly nodeIps: readonly IpAddress[];
    readonly addresses: readonly IpAddress[];
  }): NodeIpcache {
    const own = new IpCache();
    const join = () => this.#writer.join({ ...node, own });
    let leave: (() => void) | undefined = join();
    let layer: PrefixMetadata | undefined;
    const setSelectors = (address: IpAddress, selectors: readonly FQDNSelector[]) => {
      if (layer === undefined && selectors.length === 0) return;
      layer ??= new PrefixMetadata(own, this.#settings, this.#onIdentities, this.prefixes);
      const prefix = Prefix.host(address);
      const labels = labelSet([
        ...selectors.map(fqdnLabel),
        worldLabel(prefix.family, this.#settings.dualStack),
      ]);
      if (selectors.length === 0) layer.remove(prefix, FQDN_RESOURCE);
      else layer.upsert(prefix, FQDN_RESOURCE, { source: "generated", labels });
      layer.inject();
    };
    return {
      setSelectors,
      get isCutOff() {
        return leave === undefined;
      },
      setCutOff(isCutOff) {
        if (isCutOff === (leave === undefined)) return;
        leave?.();
        leave = isCutOff ? undefined : join();
      },
      leave() {
        leave?.();
        leave = undefined;
        layer?.close();
      },
    };
  }

  /** Addresses of a node, and its ranges of pods as long as nothing more is known of them (pkg/node/manager NodeUpdated). */
  #nodeInfos(node: CiliumNode): readonly (readonly [Prefix, PrefixInfo])[] {
    const { underlay, hostFirewall, encryption, cidrMatchesNodes, nodeLabels } = this.#settings;
    const addresses = (node.spec.addresses ?? []).flatMap(({ type, ip = "" }) => {
      const address = tryParseIp(ip);
      return address === undefined ? [] : [{ type, address, prefix: Prefix.host(address) }];
    });
    const isUnderlay = ({ prefix }: { readonly prefix: Prefix }) => prefix.family === underlay;
    const nodeIp =
      addresses.find((each) => each.type === "InternalIP" && isUnderlay(each)) ??
      addresses.find((each) => each.type === "ExternalIP" && isUnderlay(each));
    const tunnelEndpoint = nodeIp?.address;
    const common = { source: "custom-resource", origin: originOf(node) } as const;
    const tunnel = tunnelEndpoint !== undefined && { tunnelEndpoint };
    const own: readonly Label[] = nodeLabels ? this.#labelsOf(node) : [];
    const infos: (readonly [Prefix, PrefixInfo])[] = addresses.map(({ type, prefix }) => {
      const isBehind = type === "CiliumInternalIP" || hostFirewall || encryption === "nodes";
      const cidr = cidrMatchesNodes ? cidrLabels(prefix, this.#settings.dualStack) : [];
      return [
        prefix,
        {
          ...common,
          labels: labelSet([...cidr, ...own, reservedLabel("remote-node")]),
          ...(isBehind && tunnel),
          ...(encryption === "nodes" && { encryptKey: STATIC_ENCRYPT_KEY }),
        },
      ];
    });
    const encryptKey = encryption === "none" ? 0 : STATIC_ENCRYPT_KEY;
    const pools = (node.spec.ipam?.pools?.allocated ?? []).flatMap(({ cidrs = [] }) => cidrs);
    for (const text of new Set([...(node.spec.ipam?.podCIDRs ?? []), ...pools])) {
      const given = tryParseInterfaceAddress(text);
      if (given === undefined) continue;
      const prefix = new Prefix(given.address, given.length);
      const labels = [worldLabel(prefix.family, this.#settings.dualStack)];
      infos.push([prefix, { ...common, labels, ...tunnel, encryptKey, isPodCidr: true }]);
    }
    for (const [pair, name] of [
      [node.spec.health, "health"],
      [node.spec.ingress, "ingress"],
    ] as const) {
      for (const address of parseAddresses([pair?.ipv4 ?? "", pair?.ipv6 ?? ""])) {
        const labels = [reservedLabel(name)];
        infos.push([Prefix.host(address), { ...common, labels, ...tunnel, encryptKey }]);
      }
    }
    return infos;
  }

  #labelsOf({ metadata }: CiliumNode): LabelSet {
    const labels = Object.entries(metadata.labels ?? {}).map(([key, value]) =>
      label(LABEL_SOURCE.node, key, value),
    );
    const cluster = label(LABEL_SOURCE.k8s, POLICY_CLUSTER_LABEL, this.#settings.clusterName);
    return labelSet([...labels, cluster]);
  }

  /** Until somebody tells who it is, a pod is one that Cilium knows nothing of (pkg/k8s/watchers/pod.go updatePodHostData). */
  #podChanged(pod: Pod | undefined, old: Pod): void {
    const before = old.spec.hostNetwork === true ? [] : addressesOfPod(old);
    const now = pod === undefined || pod.spec.hostNetwork === true ? [] : addressesOfPod(pod);
    const hostIp = tryParseIp(pod?.status?.hostIP ?? "");
    const isSame =
      pod !== undefined &&
      pod !== old &&
      pod.status?.hostIP === old.status?.hostIP &&
      String(now) === String(before);
    if (isSame) return;
    if (pod !== undefined && hostIp !== undefined) {
      for (const address of now) {
        this.#tellEndpoint(address, RESERVED_IDENTITY.unmanaged, "k8s", hostIp, originOf(pod));
      }
    }
    for (const address of before) {
      if (!now.includes(address)) this.#forgetEndpoint(address, "k8s", originOf(old));
    }
  }

  #endpointChanged(endpoint: CiliumEndpoint | undefined, old: CiliumEndpoint): void {
    const nodeIp = tryParseIp(endpoint?.status?.networking?.node ?? "");
    const now = endpoint === undefined || nodeIp === undefined ? [] : addressesOf(endpoint);
    for (const address of now) {
      const { status, metadata } = endpoint as CiliumEndpoint;
      const identity = status.identity?.id ?? RESERVED_IDENTITY.unmanaged;
      const key = status.encryption?.key;
      const origin = podOf(metadata);
      this.#tellEndpoint(address, identity, "custom-resource", nodeIp as IpAddress, origin, key);
    }
    for (const address of addressesOf(old)) {
      if (!now.includes(address)) {
        this.#forgetEndpoint(address, "custom-resource", podOf(old.metadata));
      }
    }
  }

  #tellEndpoint(
    address: IpAddress,
    identity: number,
    source: IpSource,
    tunnelEndpoint: IpAddress,
    origin: Origin,
    key?: number,
  ): void {
    const encryptKey = key ?? (this.#settings.encryption === "none" ? 0 : STATIC_ENCRYPT_KEY);
    const entry = { identity, source, tunnelEndpoint, encryptKey, skipTunnel: false, origin };
    this.endpoints.upsert(Prefix.host(address), entry);
  }

  /** Unless another pod has the address by now (DeleteOnMetadataMatch). */
  #forgetEndpoint(address: IpAddress, source: IpSource, { namespace, name }: Origin): void {
    const prefix = Prefix.host(address);
    const origin = this.endpoints.get(prefix)?.origin;
    if (origin?.namespace !== namespace || origin?.name !== name) return;
    this.endpoints.delete(prefix, source);
  }
}

const FQDN_RESOURCE = "fqdn-name-manager";

/** As a selector of a policy has it, that an address' names match. */
export function fqdnLabel({ matchName = "", matchPattern = "" }: FQDNSelector): Label {
  return label(LABEL_SOURCE.fqdn, matchName === "" ? matchPattern : matchName);
}

function isApiServer({ metadata }: EndpointSlice): boolean {
  return metadata.namespace === "default" && metadata.labels?.[SERVICE_NAME_LABEL] === "kubernetes";
}

function originOf({ kind, metadata }: Pod | CiliumNode | EndpointSlice): Origin {
  const { namespace, name } = metadata;
  return namespace === undefined ? { kind, name } : { kind, namespace, name };
}

/** A CiliumEndpoint is called as its pod. */
function podOf({ namespace = "default", name }: CiliumEndpoint["metadata"]): Origin {
  return { kind: "Pod", namespace, name };
}

function addressesOfPod({ status }: Pod): IpAddress[] {
  if (status?.phase === "Succeeded" || status?.phase === "Failed") return [];
  return parseAddresses((status?.podIPs ?? []).map(({ ip }) => ip));
}

function addressesOf({ status }: CiliumEndpoint): IpAddress[] {
  const pairs = status?.networking?.addressing ?? [];
  return parseAddresses(pairs.flatMap(({ ipv4 = "", ipv6 = "" }) => [ipv4, ipv6]));
}

function parseAddresses(texts: readonly string[]): IpAddress[] {
  return texts.flatMap((text) => tryParseIp(text) ?? []);
}
