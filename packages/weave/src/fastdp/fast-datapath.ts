import type { Clock } from "@cnilab/core";
import {
  type Datapath,
  type DatapathFlow,
  datapathsOf,
  type FlowKey,
  type FlowMatch,
  flowKeyOf,
  KernelError,
  type NetNamespace,
  type OvsAction,
  type Skb,
  TUNNEL_KEY,
  type Upcall,
  type Vport,
} from "@cnilab/linux";
import { formatMac, type IpAddress, isGroupMac, type Mac } from "@cnilab/net";
import type { PeerName } from "../mesh/peer-name.ts";
import type { Peers } from "../mesh/peers.ts";
import { MESH_PORT } from "../mesh/protocol.ts";
import { type FlowOp, flattenFlowOp, MultiFlowOp, type PacketKey } from "../router/flow-op.ts";
import type { Consumer, InjectorConsumer } from "../router/injector-consumer.ts";
import type {
  NetworkConnectionParams,
  NetworkOverlay,
  OverlayConsumer,
} from "../router/network-overlay.ts";
import { Ticker } from "../router/ticker.ts";
import { DatapathActions, DatapathKey, VETO_FLOW } from "./datapath-ops.ts";
import { FastDatapathForwarder, type ForwarderHost } from "./fast-datapath-forwarder.ts";
import { actionTexts, keyTexts } from "./flow-text.ts";
import type { Ipsec } from "./ipsec.ts";
import { shortIdsOf } from "./tunnel-id.ts";

const EXPIRE_MACS_MS = 600_000;
const EXPIRE_FLOWS_MS = 300_000;
const WEAVER = "weaver";

/** A port of the virtual bridge: a port of the datapath, or the router. */
type BridgePortId = number | typeof ROUTER;
const ROUTER = "router";

/** Says how a frame leaves the virtual bridge by one port. */
type BridgeSender = (key: PacketKey) => FlowOp;

/** Says what becomes of a frame that no flow of the datapath fits. */
type MissHandler = (key: FlowKey, sender: IpAddress | undefined) => FlowOp;

export interface FastDatapathOptions {
  readonly netns: NetNamespace;
  /** Of a datapath that is there: `datapath`. */
  readonly datapath: string;
  readonly clock: Clock;
  /** Weave's own port; that of the tunnels is the next one. */
  readonly port?: number;
  readonly ipsec?: Ipsec;
}

/** What `weave report` says of it, in the names that it has there. */
export interface FastDatapathStatus {
  readonly Vports: readonly {
    readonly ID: number;
    readonly Name: string;
    readonly TypeName: string;
  }[];
  readonly Flows: readonly {
    readonly FlowKeys: readonly string[];
    readonly Actions: readonly string[];
    readonly Packets: number;
    readonly Bytes: number;
    readonly Used: number;
  }[];
}

/**
 * The overlay whose frames the kernel carries: weaver says once what becomes of those of one kind, and makes a flow of that (router/fastdp.go).
 * Between the ports of the datapath and the router it is a learning bridge.
 */
export class FastDatapath {
  readonly datapath: Datapath;
  readonly #clock: Clock;
  readonly #ipsec: Ipsec | undefined;
  #localPeer: PeerName | undefined;
  #peers: Peers | undefined;
  #overlayConsumer: OverlayConsumer | undefined;
  #misses = 0;
  /** Flows that were made of what was known before are not made any more. */
  #deletions = 0;
  readonly #missHandlers = new Map<number, MissHandler>();
  readonly #sendToPort = new Map<BridgePortId, BridgeSender>();
  readonly #sendToMac = new Map<Mac, BridgeSender>();
  /** MACs that were learnt since the last time that they were looked through. */
  #seenMacs = new Set<Mac>();
  /** Tunnel ports of the datapath by the UDP port that they send to. */
  readonly #vxlanPorts = new Map<number, number>();
  readonly #mainUdpPort: number;
  readonly #forwarders = new Map<PeerName, FastDatapathForwarder>();
  readonly #host: ForwarderHost;
  readonly #macExpiry: Ticker;
  readonly #flowExpiry: Ticker;
  /** The overlay, for the mesh. */
  readonly overlay: NetworkOverlay;
  /** The node's containers, for the router. */
  readonly injectorConsumer: InjectorConsumer;

  /** Undoes what an earlier process has left. @throws KernelError ENODEV, EADDRINUSE where somebody has the tunnels' port */
  constructor({ netns, datapath: name, clock, port = MESH_PORT, ipsec }: FastDatapathOptions) {
    const datapath = datapathsOf(netns).get(name);
    if (datapath === undefined) throw new KernelError("ENODEV", `no datapath ${name} in ${netns}`);
    this.datapath = datapath;
    this.#clock = clock;
    this.#ipsec = ipsec;
    this.#host = this.#makeHost();
    this.#macExpiry = new Ticker(clock, EXPIRE_MACS_MS, () => this.#expireMacs());
    this.#flowExpiry = new Ticker(clock, EXPIRE_FLOWS_MS, () => this.#expireFlows());
    ipsec?.flush(false);
    for (const vport of datapath.ports) {
      if (vport.type === "vxlan") datapath.deletePort(vport.number);
    }
    this.#deleteFlows();
    this.#mainUdpPort = port + 1;
    this.#vxlanPort(this.#mainUdpPort);
    datapath.listen({
      upcall: (upcall) => this.#miss(upcall),
      vportCreated: (vport) => {
        if (!this.#missHandlers.has(vport.number)) this.#makeBridgePort(vport);
      },
      // Flows that name it are left to expire.
      vportDeleted: ({ number }) => {
        this.#missHandlers.delete(number);
        this.#sendToPort.delete(number);
      },
    });
    for (const vport of datapath.ports) this.#makeBridgePort(vport);
    this.overlay = this.#makeOverlay();
    this.injectorConsumer = this.#makeInjectorConsumer();
  }

  /** The process ends; flows and ports stay, and frames without a flow are lost. */
  stop(): void {
    this.#macExpiry.stop();
    this.#flowExpiry.stop();
    this.datapath.listen(undefined);
  }

  // --- what the router has of it

  #makeHost(): ForwarderHost {
    const whole = this;
    return {
      clock: this.#clock,
      datapath: this.datapath,
      ipsec: this.#ipsec,
      get localPeer() {
        return whole.#localPeer;
      },
      get peers() {
        return whole.#peers;
      },
      confirmed: (forwarder) => this.#forwarders.set(forwarder.remotePeer, forwarder),
      stopped: (forwarder) => {
        const { remotePeer } = forwarder;
        if (this.#forwarders.get(remotePeer) === forwarder) this.#forwarders.delete(remotePeer);
      },
    };
  }

  #makeOverlay(): NetworkOverlay {
    return {
      // Who has it says so among the overlays.
      addFeaturesTo() {},
      prepareConnection: (params) => this.#prepareConnection(params),
      startConsumingPackets: (localPeer, peers, consumer) => {
        if (this.#overlayConsumer !== undefined) {
          throw new Error("FastDatapath already has an OverlayConsumer");
        }
        this.#localPeer = localPeer;
        this.#peers = peers;
        this.#overlayConsumer = consumer;
      },
      invalidateRoutes: () => this.#deleteFlows(),
      invalidateShortIds: () => this.#deleteFlows(),
      diagnostics: () => this.#status(),
      stop: () => {
        this.#ipsec?.flush(true);
        this.stop();
      },
    };
  }

  #prepareConnection(params: NetworkConnectionParams): FastDatapathForwarder {
    const udpPort = params.outbound ? params.remotePort + 1 : this.#mainUdpPort;
    const vport = this.#vxlanPort(udpPort);
    return new FastDatapathForwarder(this.#host, params, { vport, udpPort });
  }

  #makeInjectorConsumer(): InjectorConsumer {
    const { name } = this.datapath;
    return {
      deviceName: name,
      toString: () => `${name} (via ODP)`,
      injectPacket: (key) => this.#bridge(ROUTER, key),
      startConsumingPackets: (consumer: Consumer) => {
        if (this.#sendToPort.has(ROUTER)) throw new Error("FastDatapath already has a Consumer");
        this.#sendToPort.set(ROUTER, consumer);
      },
      stats: () => ({ FlowMisses: this.#misses }),
      stop() {},
    };
  }

  #status(): FastDatapathStatus {
    return {
      Vports: this.datapath.ports.map(({ number, name, type }) => ({
        ID: number,
        Name: name,
        TypeName: type,
      })),
      Flows: [...this.datapath.flows()].map(({ match, actions, packets, bytes, used }) => ({
        FlowKeys: keyTexts(match),
        Actions: actionTexts(actions),
        Packets: packets,
        Bytes: bytes,
        Used: Math.floor(used ?? 0),
      })),
    };
  }

  // --- the virtual bridge

  #bridge(ingress: BridgePortId, key: PacketKey): FlowOp {
    const { srcMac, dstMac } = key;
    if (!this.#sendToMac.has(srcMac)) {
      const back = this.#sendToPort.get(ingress);
      if (back !== undefined) {
        this.#sendToMac.set(srcMac, back);
        this.#seenMacs.add(srcMac);
        this.#macExpiry.wake();
      }
    }
    const macs = new DatapathKey({ eth_src: srcMac, eth_dst: dstMac });
    const sender = this.#sendToMac.get(dstMac);
    if (sender !== undefined) return new MultiFlowOp(false, macs, sender(key));
    // A flow for what is unknown would have to go as soon as it is learnt.
    const op = new MultiFlowOp(false, isGroupMac(dstMac) ? macs : VETO_FLOW);
    for (const [port, send] of [...this.#sendToPort]) if (port !== ingress) op.add(send(key));
    return op;
  }

  /** A tunnel's port is none of the bridge's. */
  #makeBridgePort({ number, type }: Vport): void {
    if (type === "vxlan") return;
    this.#sendToPort.set(
      number,
      () => new DatapathActions(this.datapath, { type: "output", port: number }),
    );
    // Broadcasts go to it as well.
    this.#deleteFlows();
    this.#missHandlers.set(number, ({ eth_src: srcMac, eth_dst: dstMac }) =>
      this.#bridge(number, { srcMac, dstMac }),
    );
  }

  // --- tunnels

  #vxlanPort(udpPort: number): number {
    const known = this.#vxlanPorts.get(udpPort);
    if (known !== undefined) return known;
    const { number } = this.datapath.addVxlan(`vxlan-${udpPort}`, udpPort);
    this.#vxlanPorts.set(udpPort, number);
    this.#missHandlers.set(number, (key, sender) => this.#fromTunnel(key, sender));
    return number;
  }

  #fromTunnel(key: FlowKey, sender: IpAddress | undefined): FlowOp {
    const { tun_id, tun_src, tun_dst, eth_src: srcMac, eth_dst: dstMac } = key;
    const { src, dst } = shortIdsOf(tun_id);
    const srcPeer = this.#peers?.byShortId(src)?.name;
    const dstPeer = this.#peers?.byShortId(dst)?.name;
    const consumer = this.#overlayConsumer;
    if (consumer === undefined || srcPeer === undefined || dstPeer === undefined) return VETO_FLOW;
    if (srcMac === 0 && dstMac === 0) {
      return {
        discards: false,
        process: (frame) => {
          if (sender !== undefined) this.#forwarders.get(srcPeer)?.specialFrame(frame, sender);
        },
      };
    }
    const tunnel = new DatapathKey({ tun_id, tun_src, tun_dst, tun_flags: TUNNEL_HAS_KEY });
    return new MultiFlowOp(false, tunnel, consumer({ srcPeer, dstPeer, srcMac, dstMac }));
  }

  // --- flows

  #miss({ key, skb }: Upcall): void {
    this.#misses++;
    const deletions = this.#deletions;
    const { in_port } = key;
    const handler = this.#missHandlers.get(in_port);
    if (handler === undefined) {
      const vport = this.datapath.port(in_port);
      if (vport !== undefined) this.#makeBridgePort(vport);
      this.datapath.local.dev.drop(skb, "NOT_SPECIFIED", `${WEAVER} does not know port ${in_port}`);
      return;
    }
    // Each flow names its port: who goes through them later needs it.
    const op = new MultiFlowOp(false, handler(key, key.tun_src), new DatapathKey({ in_port }));
    this.#send(op, skb, deletions);
  }

  /** Does what is to be done with a frame, and makes a flow of it where the datapath can do all of that. */
  #send(op: FlowOp, skb: Skb, deletions: number): void {
    let match: FlowMatch = {};
    const actions: OvsAction[] = [];
    let makeFlow = true;
    let processed = false;
    for (const each of flattenFlowOp(op)) {
      if (each instanceof DatapathActions) actions.push(...each.actions);
      else if (each instanceof DatapathKey) match = { ...match, ...each.match };
      else if (each === VETO_FLOW) makeFlow = false;
      else if (!each.discards) {
        // The next one must come here, too.
        makeFlow = false;
        processed = true;
        each.process(skb, false);
      }
    }
    if (this.#isHairpin(match, actions)) {
      this.#drop(skb, "would go back where it came from: a port of the bridge is in hairpin mode");
      return;
    }
    // Weave makes the flow after this; but what answers comes to it later yet.
    if (makeFlow && deletions === this.#deletions) this.#putFlow(match, actions, skb);
    if (actions.length > 0) this.datapath.execute(skb, actions);
    else if (!processed) this.#drop(skb, "has nobody to send it to");
  }

  /**
   * Who asks for no MACs gets a flow that asks for zeros, as an Ethernet key is mandatory and go-odp's default is no wildcard: what is only
   * relayed for other peers has flows that never fit. Seen with Weave 2.8 on Linux 6.1.
   */
  #putFlow(match: FlowMatch, actions: readonly OvsAction[], { trace, number }: Skb): void {
    const asked = match.eth_src === undefined ? { ...match, eth_src: 0, eth_dst: 0 } : match;
    try {
      this.datapath.putFlow(asked, actions);
    } catch (error) {
      // It is a warning in the log.
      if (!(error instanceof KernelError)) throw error;
    }
    this.#flowExpiry.wake();
    const { netns, local } = this.datapath;
    const text =
      match.eth_src === undefined
        ? `${WEAVER} makes a flow for what it only relays, which asks for MACs of zeros and so never fits: the next frame comes here again`
        : `${WEAVER} makes a flow for ${formatMac(match.eth_src as Mac)} to ${formatMac(match.eth_dst as Mac)}`;
    trace?.steps.push({ kind: "note", netns, packet: number, dev: local.dev, text });
  }

  #drop(skb: Skb, why: string): void {
    this.datapath.local.dev.drop(skb, "NOT_SPECIFIED", `${WEAVER} ${why}`);
  }

  /** Whether it leaves by the port of the bridge, or the tunnel, by which it came (isHairpinFlow). */
  #isHairpin(match: FlowMatch, actions: readonly OvsAction[]): boolean {
    const { in_port, tun_id, tun_src, tun_dst } = match;
    const isTunnel = [...this.#vxlanPorts.values()].includes(in_port as number);
    return actions.some((action) => {
      if (action.type === "output") return action.port === in_port && !isTunnel;
      if (action.type !== "set-tunnel" || tun_id === undefined) return false;
      const { tunnelId, local, remote } = action.tunnel;
      return tunnelId === tun_id && local === tun_dst && remote === tun_src;
    });
  }

  #deleteFlows(): void {
    this.#deletions++;
    if (this.datapath.stats.flows > 0) this.datapath.flushFlows();
  }

  /** A MAC that was learnt before the last time goes, however much it is used: it is learnt anew. */
  #expireMacs(): boolean {
    for (const mac of this.#sendToMac.keys()) {
      if (!this.#seenMacs.has(mac)) this.#sendToMac.delete(mac);
    }
    this.#seenMacs = new Set();
    return this.#sendToMac.size > 0;
  }

  #expireFlows(): boolean {
    for (const flow of [...this.datapath.flows()]) {
      if (flow.used === undefined) this.datapath.deleteFlow(flow.match);
      else {
        this.#touch(flow);
        flow.clear();
      }
    }
    return this.datapath.stats.flows > 0;
  }

  /** Tells the router that there are such frames still, so that it knows the MACs on (touchFlow). */
  #touch({ match }: DatapathFlow): void {
    const key = flowKeyOf(match);
    this.#missHandlers.get(key.in_port)?.(key, undefined);
  }
}

/** `TUNNEL_KEY` must be set, others may be. */
const TUNNEL_HAS_KEY = { value: TUNNEL_KEY, mask: TUNNEL_KEY };
