import { type RouteSpec, Wireguard, type WireguardPeerLayer } from "@cnilab/linux";
import type { IpFamily } from "@cnilab/net";
import type { WireguardConf } from "../conf/backend-conf.ts";
import { networkOf } from "../conf/net-conf.ts";
import { isOwn, type Lease, type LeaseAttributes } from "../lease/lease.ts";
import type { LeaseEvents, LeaseTable } from "../lease/lease-table.ts";
import { FlanneldError } from "../lease/subnet-manager.ts";
import type { Backend, BackendContext } from "./backend.ts";
import { attempt, ensureAddress } from "./device-address.ts";
import { wireguardPublicKey } from "./wireguard-key.ts";
import {
  isPrivate6,
  type PeerOptions,
  peerOf,
  renderPeers,
  wireguardData,
} from "./wireguard-peers.ts";

/** Bytes that flanneld takes off for the tunnel: IPv6, UDP and WireGuard headers. */
const OVERHEAD = 80;

/** An encrypted tunnel to every node (pkg/backend/wireguard). */
export class WireguardBackend implements Backend {
  readonly #context: BackendContext;
  readonly #conf: WireguardConf;
  #tunnels: Tunnel[] = [];
  #lease: Lease | undefined;

  constructor(context: BackendContext, conf: WireguardConf) {
    this.#context = context;
    this.#conf = conf;
  }

  get mtu(): number {
    return (this.#conf.mtu ?? this.#context.iface.dev.mtu) - OVERHEAD;
  }

  register(acquire: (attributes: LeaseAttributes) => Lease): Lease {
    const { files, random, conf, iface } = this.#context;
    const publicKey = wireguardPublicKey(files, random);
    this.#tunnels = this.#makeTunnels(publicKey);
    const { listenPort, listenPortV6 } = this.#conf;
    const lease = acquire({
      publicIp: iface.extAddress,
      publicIpv6: iface.extV6Address,
      backendType: "wireguard",
      backendData: conf.enableIPv4 ? wireguardData(publicKey, listenPort) : "null",
      backendV6Data: conf.enableIPv6 ? wireguardData(publicKey, listenPortV6) : "null",
    });
    for (const tunnel of this.#tunnels) tunnel.configure(lease);
    this.#lease = lease;
    return lease;
  }

  #makeTunnels(publicKey: string): Tunnel[] {
    const { enableIPv4, enableIPv6 } = this.#context.conf;
    const families: IpFamily[] = [
      ...(enableIPv4 ? [4 as const] : []),
      ...(enableIPv6 ? [6 as const] : []),
    ];
    const { mode, listenPort, listenPortV6 } = this.#conf;
    const make = (name: string, port: number, carries: readonly IpFamily[]) =>
      new Tunnel(this.#context, this.#conf, {
        carries,
        dev: this.#newDevice(name, publicKey, port),
      });
    if (mode !== "separate") return [make("flannel-wg", listenPort, families)];
    return families.map((family) =>
      family === 4 ? make("flannel-wg", listenPort, [4]) : make("flannel-wg-v6", listenPortV6, [6]),
    );
  }

  /** Whatever has the name makes way. */
  #newDevice(name: string, publicKey: string, listenPort: number): Wireguard {
    const { netns, log } = this.#context;
    const existing = netns.findDevice(name);
    if (existing !== undefined) {
      log(`"${name}" already exists; recreating device`);
      existing.remove();
    }
    return new Wireguard(netns, { name, mtu: this.mtu, publicKey, listenPort });
  }

  run(table: LeaseTable): void {
    for (const tunnel of this.#tunnels) tunnel.attach(table);
  }

  update(table: LeaseTable, events: LeaseEvents): void {
    const mine = (lease: Lease) => !isOwn(lease, this.#lease);
    for (const tunnel of this.#tunnels) {
      if (tunnel.intact) tunnel.attach(table);
      else tunnel.apply(events.added.filter(mine), events.removed.filter(mine));
    }
  }

  /** The devices go, and their routes with them. */
  stop(): void {
    for (const tunnel of this.#tunnels) tunnel.remove();
    this.#tunnels = [];
  }
}

/** One device, for one family or both. */
class Tunnel {
  readonly #context: BackendContext;
  readonly #carries: readonly IpFamily[];
  readonly #dev: Wireguard;
  readonly #peers: PeerOptions;
  #layer: WireguardPeerLayer | undefined;

  constructor(
    context: BackendContext,
    conf: WireguardConf,
    { carries, dev }: { readonly carries: readonly IpFamily[]; readonly dev: Wireguard },
  ) {
    this.#context = context;
    this.#carries = carries;
    this.#dev = dev;
    const { extV6Address } = context.iface;
    const hasPublicIpv6 = extV6Address !== undefined && !isPrivate6(extV6Address);
    this.#peers = { conf, carries, hasPublicIpv6 };
  }

  /** @throws FlanneldError */
  configure(lease: Lease): void {
    for (const family of this.#carries) {
      const subnet = family === 4 ? lease.subnet : lease.ipv6Subnet;
      const network = networkOf(this.#context.conf, family);
      if (subnet === undefined || network === undefined) {
        throw new FlanneldError(
          `failed to configure wg interface: IPv${family} is enabled but the lease has no IPv${family}`,
        );
      }
      ensureAddress(this.#dev, subnet, network);
    }
    this.#dev.setUp();
    this.#ensureRoutes();
  }

  /** One route to all: which node has what is in the peers' allowed addresses. */
  #ensureRoutes(): void {
    for (const family of this.#carries) {
      const network = networkOf(this.#context.conf, family);
      if (network === undefined) continue;
      // Scope link in IPv4; IPv6 knows no scopes.
      const scope = family === 4 ? { scope: 253 as const } : {};
      const route: RouteSpec = { dst: network, dev: this.#dev, ...scope };
      const error = attempt(() => this.#context.netns.addRoute(route, "replace"));
      if (error !== undefined)
        this.#context.log(`failed to add route to (${network}): ${error.message}`);
    }
  }

  /** Whether the device still has the peers that it shares with all other nodes. */
  get intact(): boolean {
    return this.#layer !== undefined && this.#dev.peerLayer === this.#layer;
  }

  attach(table: LeaseTable): void {
    const { carries, hasPublicIpv6, conf } = this.#peers;
    const key = `wireguard ${carries.join(" ")} ${hasPublicIpv6} ${JSON.stringify(conf)}`;
    this.#layer = table.derive(key, () => renderPeers(table, this.#peers));
    this.#dev.setPeerLayer(this.#layer);
    this.#ensureRoutes();
  }

  apply(added: readonly Lease[], removed: readonly Lease[]): void {
    for (const lease of removed) {
      const peer = peerOf(lease, this.#peers);
      if (peer === undefined) continue;
      const error = attempt(() => this.#dev.removePeer(peer.publicKey));
      if (error !== undefined) this.#context.log(`failed to remove peer: ${error.message}`);
    }
    for (const lease of added) {
      const peer = peerOf(lease, this.#peers);
      if (peer !== undefined) this.#dev.setPeer(peer);
      this.#ensureRoutes();
    }
  }

  remove(): void {
    if (this.#context.netns.findDevice(this.#dev.name) === this.#dev) this.#dev.remove();
  }
}
