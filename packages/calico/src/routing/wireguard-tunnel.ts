import type { Random } from "@cnilab/core";
import {
  KernelError,
  type NetNamespace,
  type RouteProtocol,
  Wireguard,
  type WireguardPeerLayer,
} from "@cnilab/linux";
import type { IpAddress, IpFamily, Prefix } from "@cnilab/net";
import { x25519 } from "@noble/curves/ed25519.js";
import { base64 } from "@scure/base";
import type { L3Routes } from "../calc/l3-routes/l3-routes.ts";
import { ensureOnlyAddress } from "./tunnel-devices.ts";
import { localPrefixes, type WireguardView, wireguardState } from "./wireguard-state.ts";

export interface WireguardTunnelSettings {
  readonly family: IpFamily;
  readonly interfaceName: string;
  readonly listeningPort: number;
  readonly keepAlive: number;
  readonly mtu: number;
  /** Mark of its own packets, which keeps them out of the tunnel. */
  readonly mark: number;
  readonly rulePriority: number;
  /** Number of the routing table for what goes by the tunnel. */
  readonly table: number;
  readonly hostEncryption: boolean;
  readonly protocol: RouteProtocol;
  /** IPAM's, or the node's own with host encryption; `undefined` while there is none. */
  readonly address: IpAddress | undefined;
}

/** The tunnel to all nodes that have a key, its routing table and the rule that leads there (`felix/wireguard/wireguard.go`). */
export class WireguardTunnel {
  readonly #netns: NetNamespace;
  readonly #node: string;
  readonly #random: Random;
  #layer: WireguardPeerLayer | undefined;
  #throws: readonly Prefix[] = [];

  constructor(netns: NetNamespace, node: string, random: Random) {
    this.#netns = netns;
    this.#node = node;
    this.#random = random;
  }

  /** @returns the node's public key, which the others need. @throws KernelError */
  apply(routes: L3Routes, settings: WireguardTunnelSettings): string {
    const { family, listeningPort: port, keepAlive, hostEncryption } = settings;
    const dev = this.#ensureDevice(settings);
    const view: WireguardView = { family, port, keepAlive, hostEncryption };
    const state = wireguardState(routes, view);
    if (dev.peerLayer !== state.peers || this.#layer !== state.peers) {
      dev.setPeerLayer(state.peers);
      this.#layer = state.peers;
    }
    const own = routes.routesOf(this.#node);
    const table = this.#netns.fib(family).table(settings.table);
    const there = table.layerOf(dev, settings.protocol);
    const without = own.map((r) => r.dst).filter((dst) => state.routes.get(dst) !== undefined);
    if (there?.layer !== state.routes || there.without.size !== without.length) {
      table.setLayer(dev, state.routes, settings.protocol, without);
      this.#netns.network.touch();
    }
    const plain = state.plain.filter((r) => r.node !== this.#node).map((r) => r.dst);
    this.#setThrows([...localPrefixes(routes, this.#node, view), ...plain], settings);
    this.#ensureRule(settings);
    return dev.publicKey;
  }

  #ensureDevice(settings: WireguardTunnelSettings): Wireguard {
    const { interfaceName: name, listeningPort, mark, mtu, family, address } = settings;
    const netns = this.#netns;
    if (settings.hostEncryption && family === 4)
      netns.sysctl.set("net.ipv4.conf.all.src_valid_mark", 1);
    const there = netns.findDevice(name);
    if (there !== undefined && !(there instanceof Wireguard)) {
      throw new KernelError("EINVAL", `incorrect interface type for wireguard: ${name}`);
    }
    let dev = there;
    if (dev === undefined || dev.listenPort !== listeningPort || dev.fwmark !== mark) {
      const publicKey = dev?.publicKey ?? newPublicKey(this.#random);
      dev?.remove();
      dev = new Wireguard(netns, { name, publicKey, listenPort: listeningPort, fwmark: mark });
    }
    if (dev.mtu !== mtu) dev.setMtu(mtu);
    ensureOnlyAddress(dev, family, address);
    dev.setUp();
    return dev;
  }

  #setThrows(wanted: readonly Prefix[], { family, table }: WireguardTunnelSettings): void {
    const isThere = (dst: Prefix) =>
      this.#netns
        .fib(family)
        .routesTo(dst, table)
        .some((r) => r.type === "throw");
    for (const dst of this.#throws) {
      if (wanted.some((p) => p.equals(dst)) || !isThere(dst)) continue;
      this.#netns.deleteRoute({ dst, type: "throw", table });
    }
    for (const dst of wanted) {
      if (!isThere(dst)) this.#netns.addRoute({ dst, type: "throw", table }, "replace");
    }
    this.#throws = wanted;
  }

  /** `not from all fwmark MARK/MARK lookup TABLE` */
  #ensureRule({ family, mark, rulePriority: priority, table }: WireguardTunnelSettings): void {
    const fib = this.#netns.fib(family);
    const fits = (rule: (typeof fib.rules)[number]) =>
      "table" in rule.action && rule.action.table === table && rule.fwmark?.value === mark;
    if (fib.rules.some((rule) => fits(rule) && rule.priority === priority)) return;
    if (fib.rules.some(fits)) fib.deleteRule(fits);
    fib.addRule({ priority, not: true, fwmark: { value: mark, mask: mark }, action: { table } });
    this.#netns.network.touch();
  }

  /** WireGuard is off: rule, routes and device go (ensureDisabled). */
  remove(family: IpFamily, interfaceName: string, table: number): void {
    const fib = this.#netns.fib(family);
    const fits = (rule: (typeof fib.rules)[number]) =>
      "table" in rule.action && rule.action.table === table && rule.not === true;
    if (fib.rules.some(fits)) fib.deleteRule(fits);
    fib.findTable(table)?.removeAll((r) => r.type === "throw");
    const dev = this.#netns.findDevice(interfaceName);
    if (dev instanceof Wireguard) dev.remove();
    this.#layer = undefined;
    this.#throws = [];
  }
}

/** Of a private key that stays in the kernel: 32 random bytes, clamped as `wg genkey` does. */
function newPublicKey(random: Random): string {
  const key = Uint8Array.from({ length: 32 }, () => random.below(256));
  key[0] = (key[0] as number) & 248;
  key[31] = ((key[31] as number) & 127) | 64;
  return base64.encode(x25519.getPublicKey(key));
}
