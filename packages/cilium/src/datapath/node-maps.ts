import {
  BpfEventArray,
  type BpfHash,
  BpfProgArray,
  type Kernel,
  type Network,
  SharedLpmEntries,
} from "@cnilab/linux";
import type { IpAddress, IpFamily } from "@cnilab/net";
import type { MonitorMessage } from "../hubble/monitor-message.ts";
import { type AuthMap, authMap } from "./maps/auth-map.ts";
import { type CtMap, ctMap } from "./maps/conntrack-map.ts";
import { type EndpointMap, endpointMap } from "./maps/endpoint-map.ts";
import { type FragmentMap, fragmentMap } from "./maps/fragment-map.ts";
import { type IpMasqMap, ipMasqMap } from "./maps/ip-masq-map.ts";
import {
  encodeIpcacheKey,
  IPCACHE_BITS,
  type IpcacheKey,
  type IpcacheMap,
  ipcacheMap,
  type RemoteEndpointInfo,
} from "./maps/ipcache-map.ts";
import { affinityMatchMap, type LbAffinityMatch, type LbMapSizes, LbMaps } from "./maps/lb-maps.ts";
import { type MetricsMap, metricsMap } from "./maps/metrics-map.ts";
import { type NeighbourMap, neighbourMap } from "./maps/neighbour-map.ts";
import { type NodeMap, nodeMap } from "./maps/node-map.ts";
import {
  type PolicyMap,
  type PolicyStatsMap,
  policyMap,
  policyStatsMap,
} from "./maps/policy-map.ts";
import { type SnatMap, snatMap } from "./maps/snat-map.ts";

/** What programs wake the agent for (bpf/lib/signal.h `SIGNAL_NAT_FILL_UP`): ports for translated sources run out. */
export interface Signal {
  readonly signal: "nat-fill-up";
  readonly family: IpFamily;
}

/** How many entries maps may have. */
export interface MapSizes {
  readonly ipcache: number;
  readonly endpoints: number;
  readonly ctTcp: number;
  readonly ctAny: number;
  readonly snat: number;
  readonly neighbours: number;
  readonly policy: number;
  readonly policyStats: number;
  readonly nodes: number;
  readonly auth: number;
  readonly fragments: number;
  readonly metrics: number;
  readonly lb: LbMapSizes;
}

/** Sizes of the agent's flags (pkg/option, pkg/maps), before memory has been looked at. */
export const DEFAULT_MAP_SIZES: MapSizes = {
  ipcache: 512_000,
  endpoints: 65_535,
  ctTcp: 524_288,
  ctAny: 262_144,
  snat: 524_288,
  neighbours: 524_288,
  policy: 16_384,
  policyStats: 65_536,
  nodes: 16_384,
  auth: 524_288,
  fragments: 8192,
  metrics: 1024,
  lb: {
    services: 65_536,
    backends: 65_536,
    reverseNat: 65_536,
    affinity: 65_536,
    sourceRange: 65_536,
    maglev: 65_536,
    reverseSk: 262_144,
  },
};

/**
 * Entries that are the same on all nodes, kept once. What a node writes to its own maps stands above them. Those of the load
 * balancer are in agent/services.
 */
export class ClusterMaps {
  readonly ipcache: SharedLpmEntries<IpcacheKey, RemoteEndpointInfo>;

  constructor(network: Network) {
    this.ipcache = new SharedLpmEntries(network, IPCACHE_BITS, encodeIpcacheKey);
  }
}

/** All maps that the programs of a node share. They belong to its kernel, and stay when the agent goes. */
export class NodeMaps {
  readonly kernel: Kernel;
  readonly sizes: MapSizes;
  readonly ipcache: IpcacheMap;
  /** `cilium_lxc` */
  readonly endpoints: EndpointMap;
  readonly ct4: CtMap;
  readonly ctAny4: CtMap;
  readonly ct6: CtMap;
  readonly ctAny6: CtMap;
  readonly snat4: SnatMap;
  readonly snat6: SnatMap;
  readonly lb4: LbMaps;
  readonly lb6: LbMaps;
  readonly affinityMatch: BpfHash<LbAffinityMatch, true>;
  readonly neighbours4: NeighbourMap;
  readonly neighbours6: NeighbourMap;
  readonly nodes: NodeMap;
  readonly auth: AuthMap;
  readonly policyStats: PolicyStatsMap;
  readonly ipMasq4: IpMasqMap;
  readonly ipMasq6: IpMasqMap;
  readonly fragments4: FragmentMap;
  readonly fragments6: FragmentMap;
  readonly metrics: MetricsMap;
  /** `cilium_events` */
  readonly events: BpfEventArray<MonitorMessage>;
  /** `cilium_signals`: what programs wake the agent for. */
  readonly signals: BpfEventArray<Signal>;
  /** `cilium_call_policy`: `cil_lxc_policy` of each endpoint, by its id. */
  readonly callPolicy: BpfProgArray;
  /** `cilium_egresscall_policy` */
  readonly egressCallPolicy: BpfProgArray;
  readonly #policies = new Map<number, PolicyMap>();

  constructor(kernel: Kernel, sizes: MapSizes = DEFAULT_MAP_SIZES, shared?: ClusterMaps) {
    this.kernel = kernel;
    this.sizes = sizes;
    this.ipcache = ipcacheMap(kernel, sizes.ipcache);
    this.endpoints = endpointMap(kernel, sizes.endpoints);
    this.ct4 = ctMap(kernel, 4, "tcp", sizes.ctTcp);
    this.ctAny4 = ctMap(kernel, 4, "any", sizes.ctAny);
    this.ct6 = ctMap(kernel, 6, "tcp", sizes.ctTcp);
    this.ctAny6 = ctMap(kernel, 6, "any", sizes.ctAny);
    this.snat4 = snatMap(kernel, 4, sizes.snat);
    this.snat6 = snatMap(kernel, 6, sizes.snat);
    this.lb4 = new LbMaps(kernel, 4, sizes.lb);
    this.lb6 = new LbMaps(kernel, 6, sizes.lb);
    this.affinityMatch = affinityMatchMap(kernel, sizes.lb.affinity);
    this.neighbours4 = neighbourMap(kernel, 4, sizes.neighbours);
    this.neighbours6 = neighbourMap(kernel, 6, sizes.neighbours);
    this.nodes = nodeMap(kernel, sizes.nodes);
    this.auth = authMap(kernel, sizes.auth);
    this.policyStats = policyStatsMap(kernel, sizes.policyStats);
    this.ipMasq4 = ipMasqMap(kernel, 4);
    this.ipMasq6 = ipMasqMap(kernel, 6);
    this.fragments4 = fragmentMap(kernel, 4, sizes.fragments);
    this.fragments6 = fragmentMap(kernel, 6, sizes.fragments);
    this.metrics = metricsMap(kernel, sizes.metrics);
    this.events = new BpfEventArray(kernel, { name: "cilium_events", maxEntries: 128 });
    this.signals = new BpfEventArray(kernel, { name: "cilium_signals", maxEntries: 128 });
    const programs = sizes.endpoints + 1; // POLICY_PROG_MAP_SIZE
    this.callPolicy = new BpfProgArray(kernel, {
      name: "cilium_call_policy",
      maxEntries: programs,
    });
    this.egressCallPolicy = new BpfProgArray(kernel, {
      name: "cilium_egresscall_policy",
      maxEntries: programs,
    });
    this.ipcache.shared = shared?.ipcache;
  }

  lb(family: IpFamily): LbMaps {
    return family === 4 ? this.lb4 : this.lb6;
  }

  /** Of connections of this protocol (`get_ct_map4`, `get_ct_map6`). */
  ct(address: IpAddress, protocol: number): CtMap {
    const tcp = protocol === 6;
    if (typeof address === "number") return tcp ? this.ct4 : this.ctAny4;
    return tcp ? this.ct6 : this.ctAny6;
  }

  snat(family: IpFamily): SnatMap {
    return family === 4 ? this.snat4 : this.snat6;
  }

  neighbours(family: IpFamily): NeighbourMap {
    return family === 4 ? this.neighbours4 : this.neighbours6;
  }

  ipMasq(family: IpFamily): IpMasqMap {
    return family === 4 ? this.ipMasq4 : this.ipMasq6;
  }

  fragments(family: IpFamily): FragmentMap {
    return family === 4 ? this.fragments4 : this.fragments6;
  }

  /** The endpoint's own policy, made when it is first asked for. */
  lxcPolicy(endpointId: number): PolicyMap {
    let map = this.#policies.get(endpointId);
    if (map === undefined) {
      map = policyMap(this.kernel, endpointId, this.sizes.policy);
      this.#policies.set(endpointId, map);
    }
    return map;
  }

  /** The endpoint is gone, and its policy with it. */
  removeLxcPolicy(endpointId: number): void {
    const map = this.#policies.get(endpointId);
    if (map === undefined) return;
    this.#policies.delete(endpointId);
    this.kernel.bpf.removeMap(map);
  }
}
