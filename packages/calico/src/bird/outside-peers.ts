import {
  ACCEPT,
  type Filter,
  PEER_DEFAULTS,
  type PeerConfig,
  REJECT,
  Speaker,
  type SpeakerConfig,
} from "@cnilab/bgp";
import {
  type ClusterContext,
  type ClusterController,
  InputError,
  type Node,
  type Origin,
} from "@cnilab/core";
import type { Kernel } from "@cnilab/linux";
import { familyOf, formatIp, type IpAddress, type Prefix, tryParseIp } from "@cnilab/net";
import { combineLatest, Subscription } from "rxjs";
import type {} from "../api/kinds.ts";
import { asNumber, type BgpNode } from "./bgp-node.ts";
import type { BgpCore } from "./bgp-view.ts";
import type { ClusterBgp } from "./bird-agent.ts";
import { DEFAULT_AS, type Peering } from "./peerings.ts";
import { rangesOf } from "./service-routes.ts";

const BGP_PORT = 179;

/** A router passes on what it has heard, not what it knows by itself. */
const HEARD: Filter = [
  { do: "if", condition: { is: "source", source: "bgp" }, block: [ACCEPT] },
  REJECT,
];

/** A router outside of the cluster, and the nodes that peer with it. */
interface Router {
  readonly address: IpAddress;
  readonly port: number;
  readonly asNumber: number;
  readonly peers: readonly PeerConfig[];
}

/**
 * The routers that BGPPeers name by an address which no node has: each is a machine beside the nodes, or the nodes' own router, and
 * runs a BGP speaker of that AS. It takes all routes into its kernel, equally good ones together, and passes on what it has heard; to
 * peers of its own AS it is a route reflector, as a rack's switch is. The nodes' own router lets the world in to the Services'
 * ranges that it is told of, and to nothing else.
 */
export class OutsidePeers implements ClusterController {
  readonly name = "bgp-routers";
  readonly #cluster: ClusterContext<Kernel>;
  readonly #bgp: ClusterBgp;
  readonly #speakers = new Map<IpAddress, Speaker>();
  /** Ranges of Services that the nodes' router lets the world in to. */
  #open: readonly Prefix[] = [];
  #subscription = new Subscription();
  #core: BgpCore | undefined;

  constructor(cluster: ClusterContext<Kernel>, bgp: ClusterBgp) {
    this.#cluster = cluster;
    this.#bgp = bgp;
  }

  /** The speaker at an address; `undefined` where there is none. */
  speaker(address: IpAddress): Speaker | undefined {
    return this.#speakers.get(address);
  }

  start(): void {
    const { api } = this.#cluster;
    this.#subscription = combineLatest({
      nodes: api.snapshots("Node"),
      configurations: api.snapshots("BGPConfiguration.projectcalico.org"),
      peers: api.snapshots("BGPPeer.projectcalico.org"),
      filters: api.snapshots("BGPFilter.projectcalico.org"),
      pools: api.snapshots("IPPool.projectcalico.org"),
      affinities: api.snapshots("BlockAffinity.projectcalico.org"),
    }).subscribe((sources) => {
      // Nobody makes machines for a cluster that names none.
      if (sources.peers.objects.size === 0 && this.#speakers.size === 0) return;
      const core = this.#bgp.view.core(sources);
      if (core === this.#core) return;
      this.#core = core;
      this.#update(routersOf(core, addressesOf(sources.nodes.objects.values())));
      this.#openRouter(core);
    });
  }

  stop(): void {
    this.#subscription.unsubscribe();
    for (const speaker of this.#speakers.values()) speaker.kill();
    this.#speakers.clear();
    this.#letIn([]);
  }

  #update(routers: ReadonlyMap<IpAddress, Router>): void {
    for (const [address, speaker] of this.#speakers) {
      if (routers.has(address)) continue;
      speaker.shutdown();
      this.#speakers.delete(address);
    }
    for (const [address, router] of routers) {
      const config = configOf(router);
      const speaker = this.#speakers.get(address);
      if (speaker !== undefined) {
        speaker.configure(config);
        continue;
      }
      const machine = this.#machine(address);
      if (machine === undefined) continue;
      const options = { program: "bgpd", recover: false };
      const started = new Speaker(machine.initNs, this.#cluster.clock, config, options);
      this.#speakers.set(address, started);
      started.start();
    }
  }

  /** Of the families in which the nodes' router peers. */
  #openRouter({ settings }: BgpCore): void {
    const { initNs } = this.#cluster.router;
    const families = new Set(
      [...this.#speakers.keys()].filter((a) => initNs.hasAddress(a)).map(familyOf),
    );
    this.#letIn(rangesOf(settings).filter(({ family }) => families.has(family)));
  }

  #letIn(ranges: readonly Prefix[]): void {
    const { initNs } = this.#cluster.router;
    const isIn = (range: Prefix, all: readonly Prefix[]) => all.some((p) => p.equals(range));
    for (const range of this.#open) {
      if (!isIn(range, ranges))
        initNs.iptables(range.family).delete("filter", "FORWARD", opening(range));
    }
    for (const range of ranges) {
      if (isIn(range, this.#open)) continue;
      initNs.iptables(range.family).insert("filter", "FORWARD", opening(range), 1, OPENED_BY);
    }
    this.#open = ranges;
  }

  /** The nodes' router where the address is its own, else one of their neighbours; `undefined` where the address is another machine's. */
  #machine(address: IpAddress): Kernel | undefined {
    const { router } = this.#cluster;
    if (router.initNs.hasAddress(address)) return router;
    const hostname = `bgp-router-${formatIp(address).replace(/[.:]/g, "-")}`;
    const there = router.network.kernels.get(hostname);
    if (there !== undefined) return there;
    try {
      return this.#cluster.addMachine(hostname, address);
    } catch (error) {
      if (error instanceof InputError) return undefined;
      throw error;
    }
  }
}

const OPENED_BY: Origin = {
  kind: "BGPConfiguration",
  name: "default",
  detail: "range of Services",
};

function opening(range: Prefix): string {
  return `-d ${range} -j ACCEPT`;
}

/** Addresses of nodes, whether calico-node has written them down already or not. */
function addressesOf(nodes: Iterable<Node>): ReadonlySet<IpAddress> {
  const addresses = new Set<IpAddress>();
  for (const { status } of nodes) {
    for (const { address } of status?.addresses ?? []) {
      const parsed = tryParseIp(address);
      if (parsed !== undefined) addresses.add(parsed);
    }
  }
  return addresses;
}

function routersOf(
  core: BgpCore,
  nodeAddresses: ReadonlySet<IpAddress>,
): ReadonlyMap<IpAddress, Router> {
  const routers = new Map<IpAddress, { readonly first: Peering; readonly peers: PeerConfig[] }>();
  for (const node of core.nodes.values()) {
    for (const peering of core.peerings.get(node.name) ?? []) {
      const { address } = peering;
      if (peering.isCalicoNode || peering.clusterId !== undefined || nodeAddresses.has(address)) {
        continue;
      }
      const peer = peerOf(node, peering, core);
      const known = routers.get(address);
      if (known !== undefined && peer !== undefined) known.peers.push(peer);
      else if (known === undefined)
        routers.set(address, { first: peering, peers: peer === undefined ? [] : [peer] });
    }
  }
  return new Map(
    [...routers].map(([address, { first, peers }]) => {
      const { port, asNumber: as } = first;
      return [address, { address, port: port || BGP_PORT, asNumber: as, peers }];
    }),
  );
}

/** The node, as the router has it for a neighbour. */
function peerOf(node: BgpNode, peering: Peering, core: BgpCore): PeerConfig | undefined {
  const side = node[familyOf(peering.address)];
  if (side === undefined) return undefined;
  const nodeAs = node.asNumber ?? asNumber(core.settings.asNumber) ?? DEFAULT_AS;
  const remoteAs = peering.localAsNumber ?? nodeAs;
  return {
    ...PEER_DEFAULTS,
    name: `node_${node.name}`,
    neighbor: side.address,
    port: core.settingsOfNode.get(node.name)?.listenPort ?? core.settings.listenPort ?? BGP_PORT,
    remoteAs,
    localAs: peering.asNumber,
    sourceAddress: peering.address,
    passive: true,
    importFilter: TAKES_ALL,
    exportFilter: HEARD,
    rrClient: remoteAs === peering.asNumber,
  };
}

const TAKES_ALL: Filter = [ACCEPT];

function configOf({ address, port, peers }: Router): SpeakerConfig {
  return {
    release: "2.0",
    family: familyOf(address),
    routerId: typeof address === "number" ? address : (address.d || 1) >>> 0,
    listen: { address, port },
    statics: [],
    directInterfaces: ["*"],
    kernel: { exportFilter: TAKES_ALL, mergePaths: true },
    peers,
  };
}
