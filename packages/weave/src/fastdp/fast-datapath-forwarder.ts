import type { Clock, Timer } from "@cnilab/core";
import type { Datapath, Skb } from "@cnilab/linux";
import { familyOf, formatIp, type IpAddress, type Ipv4Address } from "@cnilab/net";
import type { GossipPayload } from "../mesh/gossiper.ts";
import type { PeerName } from "../mesh/peer-name.ts";
import type { Peers } from "../mesh/peers.ts";
import { DISCARD, type FlowOp, type ForwardPacketKey } from "../router/flow-op.ts";
import {
  AWAITED_HEARTBEATS,
  FAST_HEARTBEAT_MS,
  HEARTBEAT_TIMEOUT_MS,
  SLOW_HEARTBEAT_MS,
} from "../router/heartbeat.ts";
import type { NetworkConnectionParams, OverlayForwarder } from "../router/network-overlay.ts";
import { DatapathActions } from "./datapath-ops.ts";
import { heartbeatFrame, isHeartbeat } from "./heartbeat-frame.ts";
import type { Ipsec, IpsecConnection } from "./ipsec.ts";
import { tunnelIdOf } from "./tunnel-id.ts";

/** Tags of what is said over TCP. */
const HEARTBEAT_ACK = 0;
const CRYPTO_INIT_SA_REMOTE = 1;
/** `SetTtl` of the flows. */
const TTL = 64;
const NOTHING: GossipPayload = { wireLength: 0 };

/** The fast datapath that has a connection. */
export interface ForwarderHost {
  readonly clock: Clock;
  readonly datapath: Datapath;
  readonly ipsec: Ipsec | undefined;
  readonly localPeer: PeerName | undefined;
  readonly peers: Peers | undefined;
  confirmed(forwarder: FastDatapathForwarder): void;
  stopped(forwarder: FastDatapathForwarder): void;
}

/** The tunnel that one connection's frames take (router/fastdp.go fastDatapathForwarder). */
export class FastDatapathForwarder implements OverlayForwarder {
  readonly name = "fastdp";
  readonly remotePeer: PeerName;
  readonly #host: ForwarderHost;
  readonly #params: NetworkConnectionParams;
  readonly #localAddress: Ipv4Address;
  /** The port of the datapath that its frames leave by, and where they go. */
  readonly #vport: number;
  readonly #udpPort: number;
  #remoteAddress: IpAddress;
  #confirmed = false;
  #established = false;
  #stopped = false;
  #healthy = true;
  #ackedHeartbeat = false;
  #encrypts = false;
  #outboundIpsec = false;
  #intervalMs = FAST_HEARTBEAT_MS;
  #heartbeats = 0;
  #heartbeat: Timer | undefined;
  #deadline: Timer | undefined;
  #lastHeard = 0;

  /** @throws Error where its own end is no IPv4 address */
  constructor(
    host: ForwarderHost,
    params: NetworkConnectionParams,
    { vport, udpPort }: { readonly vport: number; readonly udpPort: number },
  ) {
    const { localAddress, remoteAddress, remote } = params;
    if (familyOf(localAddress) !== 4) {
      throw new Error(`IP address ${formatIp(localAddress)} is not IPv4`);
    }
    this.#host = host;
    this.#params = params;
    this.remotePeer = remote.name;
    this.#localAddress = localAddress as Ipv4Address;
    this.#remoteAddress = remoteAddress;
    this.#vport = vport;
    this.#udpPort = udpPort;
  }

  get mtu(): number {
    return this.#host.datapath.local.dev.mtu;
  }

  /** Whether heartbeats come. */
  get isHealthy(): boolean {
    return this.#healthy;
  }

  confirm(): void {
    const { clock, ipsec } = this.#host;
    if (this.#confirmed || this.#stopped) return;
    let tell: GossipPayload | undefined;
    if (ipsec !== undefined && this.#params.encrypted) {
      this.#encrypts = true;
      try {
        tell = ipsec.initSaLocal(this.#ipsecConnection);
      } catch (error) {
        this.#fail(error);
        return;
      }
    }
    this.#host.confirmed(this);
    this.#confirmed = true;
    this.#lastHeard = clock.now;
    this.#awaitSilence(HEARTBEAT_TIMEOUT_MS);
    if (!this.#encrypts || this.#outboundIpsec) this.#beatAfter(0);
    if (tell !== undefined) this.#params.sendControlMessage(CRYPTO_INIT_SA_REMOTE, tell);
  }

  controlMessage(tag: number, message: GossipPayload): void {
    if (tag === HEARTBEAT_ACK) this.#heartbeatAcked();
    else if (tag === CRYPTO_INIT_SA_REMOTE) this.#initSaRemote(message);
  }

  forward({ srcPeer, dstPeer }: ForwardPacketKey): FlowOp | undefined {
    const { peers, datapath } = this.#host;
    const src = peers?.get(srcPeer)?.shortId;
    const dst = peers?.get(dstPeer)?.shortId;
    if (src === undefined || dst === undefined) return undefined;
    if (familyOf(this.#remoteAddress) !== 4) return DISCARD;
    return new DatapathActions(
      datapath,
      {
        type: "set-tunnel",
        tunnel: {
          tunnelId: tunnelIdOf(src, dst),
          local: this.#localAddress,
          remote: this.#remoteAddress,
          ttl: TTL,
          dontFragment: true,
          zeroChecksum: true,
        },
      },
      { type: "output", port: this.#vport },
    );
  }

  /** A frame of the peer's own has come from this address. */
  specialFrame(frame: Skb, sender: IpAddress): void {
    if (this.#stopped || !isHeartbeat(frame, this.#params.connectionUid)) return;
    this.#remoteAddress = sender;
    if (!this.#ackedHeartbeat) {
      this.#ackedHeartbeat = true;
      this.#params.sendControlMessage(HEARTBEAT_ACK, NOTHING);
    }
    this.#lastHeard = this.#host.clock.now;
    if (this.#healthy) return;
    this.#healthy = true;
    this.#awaitSilence(HEARTBEAT_TIMEOUT_MS);
    this.#params.healthChanged?.(true);
  }

  /** Flows that lead through it are left: they go when routes do, or for want of use. */
  stop(): void {
    if (this.#stopped) return;
    this.#end();
    this.#host.stopped(this);
    if (this.#encrypts) this.#host.ipsec?.destroy(this.#ipsecConnection);
  }

  get #ipsecConnection(): IpsecConnection {
    const { connectionUid } = this.#params;
    return {
      localPeer: this.#host.localPeer as PeerName,
      remotePeer: this.remotePeer,
      connectionUid,
      localAddress: this.#localAddress,
      remoteAddress: this.#remoteAddress as Ipv4Address,
      remotePort: this.#udpPort,
    };
  }

  #initSaRemote(message: GossipPayload): void {
    if (this.#stopped) return;
    try {
      this.#host.ipsec?.initSaRemote(this.#ipsecConnection, message);
    } catch (error) {
      this.#fail(error);
      return;
    }
    // It may come before we have confirmed.
    if (this.#outboundIpsec) return;
    this.#outboundIpsec = true;
    if (this.#confirmed) this.#beatAfter(0);
  }

  #heartbeatAcked(): void {
    if (this.#stopped) return;
    this.#slowDown();
    if (this.#established) return;
    this.#established = true;
    this.#params.established();
  }

  #slowDown(): void {
    if (this.#intervalMs === SLOW_HEARTBEAT_MS) return;
    this.#intervalMs = SLOW_HEARTBEAT_MS;
    if (this.#heartbeat !== undefined) this.#beatAfter(this.#intervalMs);
  }

  /** While a connection comes about somebody waits for that; later ones go on behind everything. */
  #beatAfter(delayMs: number): void {
    this.#heartbeat?.cancel();
    const background =
      this.#intervalMs === SLOW_HEARTBEAT_MS || this.#heartbeats >= AWAITED_HEARTBEATS;
    const beat = () => {
      this.#heartbeats++;
      this.#beatAfter(this.#intervalMs);
      this.#sendHeartbeat();
    };
    this.#heartbeat = this.#host.clock.schedule(delayMs, beat, { background });
  }

  #sendHeartbeat(): void {
    const { localPeer } = this.#host;
    if (localPeer === undefined) return;
    const key = { srcMac: 0, dstMac: 0, srcPeer: localPeer, dstPeer: this.remotePeer };
    this.forward(key)?.process(heartbeatFrame(this.#params.connectionUid, this.mtu), false);
  }

  /** Looks again when what was heard meanwhile is as old. */
  #awaitSilence(delayMs: number): void {
    const { clock } = this.#host;
    const look = () => {
      const left = this.#lastHeard + HEARTBEAT_TIMEOUT_MS - clock.now;
      if (left > 0) {
        this.#awaitSilence(left);
        return;
      }
      this.#healthy = false;
      this.#slowDown();
      this.#params.healthChanged?.(false);
    };
    this.#deadline = clock.schedule(delayMs, look, { background: true });
  }

  #fail(error: unknown): void {
    this.#end();
    this.#params.failed(error as Error);
  }

  #end(): void {
    this.#stopped = true;
    this.#heartbeat?.cancel();
    this.#deadline?.cancel();
  }
}
