import { Wireguard } from "@cnilab/linux";
import type { AgentPart } from "../agent/agent-part.ts";
import type { CiliumAgent } from "../agent/cilium-agent.ts";
import { WIREGUARD_KEY_ANNOTATION } from "../agent/own-cilium-node.ts";
import { DEVICE } from "../names/devices.ts";
import { ClusterWireguard } from "./cluster-wireguard.ts";

/** Identity of keys that WireGuard has, in CiliumNodes (pkg/wireguard/types StaticEncryptKey). */
const STATIC_ENCRYPT_KEY = 255;

/** Tells the node's public key, and keeps its peers (pkg/wireguard/agent). */
export class WireguardPart implements AgentPart {
  readonly name = "wireguard";
  readonly #agent: CiliumAgent;
  #end: (() => void) | undefined;

  constructor(agent: CiliumAgent) {
    this.#agent = agent;
  }

  start(): void {
    const dev = this.#agent.kernel.initNs.findDevice(DEVICE.wireguard);
    if (!(dev instanceof Wireguard)) return;
    const { ciliumNode, cluster } = this.#agent;
    ciliumNode.annotate(WIREGUARD_KEY_ANNOTATION, dev.publicKey);
    ciliumNode.change((spec) => ({ ...spec, encryption: { key: STATIC_ENCRYPT_KEY } }));
    this.#end = cluster.part(ClusterWireguard).listen((peers) => {
      if (dev.peerLayer !== peers) dev.setPeerLayer(peers);
    });
  }

  stop(): void {
    this.#end?.();
    this.#end = undefined;
  }
}
