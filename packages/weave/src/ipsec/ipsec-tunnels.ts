import type { Random } from "@cnilab/core";
import { KernelError, type NetNamespace, type XfrmPolicy, type XfrmStateSpec } from "@cnilab/linux";
import { IPPROTO_UDP, type Ipv4Address, Prefix } from "@cnilab/net";
import type { Ipsec, IpsecConnection } from "../fastdp/ipsec.ts";
import type { GossipPayload } from "../mesh/gossiper.ts";
import {
  addConnectionRules,
  IPSEC_MARK,
  removeConnectionRules,
  removeIpsecRules,
  resetIpsecRules,
} from "./ipsec-rules.ts";
import { sessionKey } from "./session-key.ts";

const NONCE_LENGTH = 32;
const REPLAY_WINDOW = 256;
const ICV_BITS = 128;

/** How the other end is to encrypt: under which SPI, with a key of this (`msgInitSARemote`). */
class InitSaRemote implements GossipPayload {
  /** As many bytes for the SPI as it has bits: so the real one sends it. */
  readonly wireLength: number = NONCE_LENGTH + 32;
  readonly nonce: Uint8Array;
  readonly spi: number;

  constructor(nonce: Uint8Array, spi: number) {
    this.nonce = nonce;
    this.spi = spi;
  }
}

/** Encrypts what goes by the datapath's tunnels, in the kernel: one association for each direction of a connection (net/ipsec/ipsec.go). */
export class IpsecTunnels implements Ipsec {
  readonly #netns: NetNamespace;
  readonly #random: Random;
  /** SPIs by connection and direction. */
  readonly #inbound = new Map<string, number>();
  readonly #outbound = new Map<string, number>();

  constructor(netns: NetNamespace, random: Random) {
    this.#netns = netns;
    this.#random = random;
  }

  initSaLocal(connection: IpsecConnection): GossipPayload {
    const { localPeer, connectionUid, localAddress: dst, remoteAddress: src } = connection;
    const { xfrm } = this.#netns;
    const nonce = Uint8Array.from({ length: NONCE_LENGTH }, () => this.#random.below(0x100));
    const wanted = { src, dst, replayWindow: REPLAY_WINDOW, esn: true };
    const spi = xfrm.allocSpi(wanted);
    xfrm.updateState(association(src, dst, spi, sessionKey(connectionUid, nonce, localPeer)));
    addConnectionRules(this.#iptables, connection, spi);
    this.#inbound.set(keyOf(connection), spi);
    return new InitSaRemote(nonce, spi);
  }

  initSaRemote(connection: IpsecConnection, message: GossipPayload): void {
    if (!(message instanceof InitSaRemote)) throw new Error("deserialize InitSARemote: empty msg");
    const { remotePeer, connectionUid, localAddress: src, remoteAddress: dst } = connection;
    const { nonce, spi } = message;
    const { xfrm } = this.#netns;
    xfrm.addState(association(src, dst, spi, sessionKey(connectionUid, nonce, remotePeer)));
    xfrm.updatePolicy(outwards(src, dst, spi));
    this.#outbound.set(keyOf(connection), spi);
  }

  destroy(connection: IpsecConnection): void {
    const { localAddress: local, remoteAddress: remote } = connection;
    const { xfrm } = this.#netns;
    const key = keyOf(connection);
    const inbound = this.#inbound.get(key);
    if (inbound !== undefined) {
      this.#inbound.delete(key);
      attempt(() => xfrm.deleteState(local, inbound));
      removeConnectionRules(this.#iptables, connection, inbound);
    }
    const outbound = this.#outbound.get(key);
    if (outbound === undefined) return;
    this.#outbound.delete(key);
    const policy = outwards(local, remote, outbound);
    // A later connection to the same peer may have put its own there.
    if (xfrm.policyFor(policy)?.template?.spi === outbound) xfrm.deletePolicy(policy);
    attempt(() => xfrm.deleteState(remote, outbound));
  }

  flush(destroy: boolean): void {
    const xfrm = this.#netns.findXfrm();
    for (const policy of xfrm?.policies ?? []) {
      if (policy.mark?.value === IPSEC_MARK) xfrm?.deletePolicy(policy);
    }
    const own = new Set([...this.#inbound.values(), ...this.#outbound.values()]);
    for (const { spec } of xfrm?.states ?? []) {
      if (own.has(spec.spi)) xfrm?.deleteState(spec.dst, spec.spi);
    }
    if (destroy) removeIpsecRules(this.#iptables);
    else resetIpsecRules(this.#iptables);
  }

  get #iptables(): ReturnType<NetNamespace["iptables"]> {
    return this.#netns.iptables(4);
  }
}

/** `getSPIId`, but for the direction. */
function keyOf({ remotePeer, connectionUid }: IpsecConnection): string {
  return `${remotePeer} ${connectionUid}`;
}

/** `xfrmState` */
function association(src: Ipv4Address, dst: Ipv4Address, spi: number, key: string): XfrmStateSpec {
  const aead = { name: "rfc4106(gcm(aes))", key, icvBits: ICV_BITS };
  return { src, dst, spi, replayWindow: REPLAY_WINDOW, esn: true, aead };
}

/** All UDP that is marked, to whatever port (`xfrmPolicy`). */
function outwards(src: Ipv4Address, dst: Ipv4Address, spi: number): XfrmPolicy {
  return {
    src: new Prefix(src, 32),
    dst: new Prefix(dst, 32),
    protocol: IPPROTO_UDP,
    mark: { value: IPSEC_MARK, mask: IPSEC_MARK },
    action: "allow",
    template: { src, dst, spi },
  };
}

/** What is gone already is no matter where it is to go (weaver logs it). */
function attempt(what: () => void): void {
  try {
    what();
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
  }
}
