import type { Origin } from "@cnilab/core";
import {
  BpfHash,
  BpfLpmTrie,
  BpfLruHash,
  type BpfMapText,
  type Kernel,
  type LpmKey,
} from "@cnilab/linux";
import { formatEndpoint, formatIp, type IpAddress, type IpFamily } from "@cnilab/net";
import { addressNumber, addressWords, packAddress, packPair, protocolText } from "./map-key.ts";

// The maps of the load balancer (bpf/lib/lb.h). Agents' entries are what agent/services makes.

/** `struct lb4_key`, `lb6_key`. */
export interface LbServiceKey {
  readonly address: IpAddress;
  readonly port: number;
  /** 0 is the service itself. */
  readonly slot: number;
  /** Number of the protocol; 0 is any. */
  readonly proto: number;
  readonly scope: 0 | 1;
}

/** `struct lb4_service` */
export interface LbService {
  /** Of slots from 1. */
  readonly backendId: number;
  /** Of slot 0, in the place of the backend's id: session affinity's seconds, and an algorithm by annotation. */
  readonly affinityTimeout: number;
  readonly algorithm: number;
  /** Of slot 0: backends that new connections go to, in the slots from 1. */
  readonly count: number;
  /** Of slot 0: those behind them, which only old connections go to. */
  readonly qcount: number;
  readonly revNat: number;
  readonly flags: number;
  /** Of slot 0, in the place of the backend's id. */
  readonly l7LbProxyPort?: number;
  /** The Service. */
  readonly origin?: Origin | undefined;
}

/** `struct lb4_backend`. */
export interface LbBackend {
  readonly address: IpAddress;
  readonly port: number;
  /** Number of the protocol. */
  readonly proto: number;
  /** As services/backend.ts BACKEND_STATE_FLAGS has it. */
  readonly state: number;
  readonly origin?: Origin | undefined;
}

/** `struct lb4_reverse_nat`: what a backend's answers come from. */
export interface LbReverseNat {
  readonly address: IpAddress;
  readonly port: number;
  readonly origin?: Origin | undefined;
}

/** `struct lb4_affinity_key`: an address, or the cookie of a network namespace. */
export interface LbAffinityKey {
  readonly client: IpAddress;
  readonly netnsCookie: number;
  readonly revNat: number;
}

/** `struct lb_affinity_val`; virtual seconds. */
export interface LbAffinity {
  lastUsed: number;
  backendId: number;
}

export interface LbAffinityMatch {
  readonly backendId: number;
  readonly revNat: number;
}

/** `struct lb4_src_range_key`. */
export interface LbSourceRangeKey {
  readonly revNat: number;
  readonly address: IpAddress;
  readonly prefixLength: number;
}

/** `struct ipv4_revnat_tuple`: a socket and the backend that it talks to. */
export interface ReverseSkKey {
  readonly cookie: number;
  readonly address: IpAddress;
  readonly port: number;
}

/** `struct ipv4_revnat_entry`: the service that it believes to talk to. */
export interface ReverseSkEntry {
  readonly address: IpAddress;
  readonly port: number;
  readonly revNat: number;
}

export function packLbServiceKey(key: LbServiceKey): string {
  return packAddress(key.address, key.port, key.slot, (key.proto << 8) | key.scope);
}

export function packAffinityMatch({ backendId, revNat }: LbAffinityMatch): number {
  return backendId * 65536 + revNat;
}

export function encodeSourceRange({ revNat, address, prefixLength }: LbSourceRangeKey): LpmKey {
  return { prefixLength: 32 + prefixLength, words: addressWords(address, revNat) };
}

export function lbServiceKeyText({ address, port, slot, proto, scope }: LbServiceKey): string {
  return `${formatEndpoint(address, port)}/${protocolText(proto)}${scope === 1 ? "/i" : ""} (${slot})`;
}

export function lbServiceText(service: LbService, { slot }: LbServiceKey): string {
  const { algorithm, affinityTimeout, count, qcount, revNat, flags } = service;
  const id = slot === 0 ? algorithm * 2 ** 24 + affinityTimeout : service.backendId;
  const [low, high] = [flags & 0xff, flags >>> 8].map((byte) => `0x${byte.toString(16)}`);
  return `${id} ${count}[${qcount}] (${revNat}) [${low} ${high}]`;
}

function valueOrigin(_key: unknown, value: { readonly origin?: Origin | undefined }) {
  return value.origin;
}

function same(id: number): number {
  return id;
}

function packAffinity({ client, netnsCookie, revNat }: LbAffinityKey): string {
  return packPair(client, 0, netnsCookie % 2 ** 32, revNat);
}

function packReverseSk({ cookie, address, port }: ReverseSkKey): string {
  return `${cookie} ${addressNumber(address).toString(36)} ${port}`;
}

// One for all nodes.
const SERVICE_TEXT: BpfMapText<LbServiceKey, LbService> = {
  key: lbServiceKeyText,
  value: lbServiceText,
  origin: valueOrigin,
};
const BACKEND_TEXT: BpfMapText<number, LbBackend> = {
  value: ({ address, proto }) => `${protocolText(proto)}://${formatIp(address)}`,
  origin: valueOrigin,
};
const REVERSE_NAT_TEXT: BpfMapText<number, LbReverseNat> = {
  value: ({ address, port }) => formatEndpoint(address, port),
  origin: valueOrigin,
};
const AFFINITY_TEXT: BpfMapText<LbAffinityKey, LbAffinity> = {
  key: ({ client, netnsCookie, revNat }) =>
    `${netnsCookie === 0 ? formatIp(client) : netnsCookie} ${Number(netnsCookie !== 0)} ${revNat}`,
  value: ({ backendId, lastUsed }) => `${backendId} ${lastUsed}`,
};
const SOURCE_RANGE_TEXT: BpfMapText<LbSourceRangeKey, true> = {
  key: ({ address, prefixLength, revNat }) => `${formatIp(address)}/${prefixLength} (${revNat})`,
  value: () => "",
};
const MAGLEV_TEXT: BpfMapText<number, MaglevInner> = {
  value: (table) => `[${table.length} slots]`,
};
const REVERSE_SK_TEXT: BpfMapText<ReverseSkKey, ReverseSkEntry> = {
  key: ({ address, port, cookie }) => `[${formatIp(address)}]:${port}, ${cookie}`,
  value: ({ address, port, revNat }) => `[${formatIp(address)}]:${port}, ${revNat}`,
};
const AFFINITY_MATCH_TEXT: BpfMapText<LbAffinityMatch, true> = {
  key: ({ backendId, revNat }) => `${backendId} ${revNat}`,
  value: () => "",
};

/** A node's maps of the load balancer of one family. */
export class LbMaps {
  /** `cilium_lb4_services_v2` */
  readonly services: BpfHash<LbServiceKey, LbService>;
  /** `cilium_lb4_backends_v3`, by id */
  readonly backends: BpfHash<number, LbBackend>;
  /** `cilium_lb4_reverse_nat` */
  readonly reverseNat: BpfHash<number, LbReverseNat>;
  /** `cilium_lb4_affinity` */
  readonly affinity: BpfLruHash<LbAffinityKey, LbAffinity>;
  /** `cilium_lb4_source_range` */
  readonly sourceRange: BpfLpmTrie<LbSourceRangeKey, true>;
  /** `cilium_lb4_maglev`: tables by service; each is an array of one element, the look-up table. */
  readonly maglev: BpfHash<number, MaglevInner>;
  /** `cilium_lb4_reverse_sk` */
  readonly reverseSk: BpfLruHash<ReverseSkKey, ReverseSkEntry>;

  constructor(kernel: Kernel, family: IpFamily, sizes: LbMapSizes) {
    const name = (rest: string) => `cilium_lb${family}_${rest}`;
    this.services = new BpfHash<LbServiceKey, LbService>(kernel, {
      name: name("services_v2"),
      maxEntries: sizes.services,
      pack: packLbServiceKey,
      text: SERVICE_TEXT,
    });
    this.backends = new BpfHash<number, LbBackend>(kernel, {
      name: name("backends_v3"),
      maxEntries: sizes.backends,
      pack: same,
      text: BACKEND_TEXT,
    });
    this.reverseNat = new BpfHash<number, LbReverseNat>(kernel, {
      name: name("reverse_nat"),
      maxEntries: sizes.reverseNat,
      pack: same,
      text: REVERSE_NAT_TEXT,
    });
    this.affinity = new BpfLruHash<LbAffinityKey, LbAffinity>(kernel, {
      name: name("affinity"),
      maxEntries: sizes.affinity,
      pack: packAffinity,
      text: AFFINITY_TEXT,
    });
    this.sourceRange = new BpfLpmTrie<LbSourceRangeKey, true>(kernel, {
      name: name("source_range"),
      maxEntries: sizes.sourceRange,
      bits: 32 + (family === 4 ? 32 : 128),
      encode: encodeSourceRange,
      text: SOURCE_RANGE_TEXT,
    });
    this.maglev = new BpfHash<number, MaglevInner>(
      kernel,
      {
        name: name("maglev"),
        maxEntries: sizes.maglev,
        pack: same,
        text: MAGLEV_TEXT,
      },
      "hash_of_maps",
    );
    this.reverseSk = new BpfLruHash<ReverseSkKey, ReverseSkEntry>(kernel, {
      name: name("reverse_sk"),
      maxEntries: sizes.reverseSk,
      pack: packReverseSk,
      text: REVERSE_SK_TEXT,
    });
  }
}

/** The one element of a table's inner map: backends' ids by slot. Nodes share it. */
export type MaglevInner = Uint32Array;

export interface LbMapSizes {
  readonly services: number;
  readonly backends: number;
  readonly reverseNat: number;
  readonly affinity: number;
  readonly sourceRange: number;
  readonly maglev: number;
  readonly reverseSk: number;
}

/** `cilium_lb_affinity_match`: the service still has this backend. */
export function affinityMatchMap(
  kernel: Kernel,
  maxEntries: number,
): BpfHash<LbAffinityMatch, true> {
  return new BpfHash<LbAffinityMatch, true>(kernel, {
    name: "cilium_lb_affinity_match",
    maxEntries,
    pack: packAffinityMatch,
    text: AFFINITY_MATCH_TEXT,
  });
}
