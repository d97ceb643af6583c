import { BpfProgram, TC_ACT_OK, type TcContext } from "@cnilab/linux";
import type { EndpointConfig } from "./endpoint-config.ts";
import type { NativeDevice, NodeConfig } from "./node-config.ts";
import type { NodeMaps } from "./node-maps.ts";

/** A program of tc. */
export type TcProgram = BpfProgram<"sched_cls">;

/**
 * The programs of one node, compiled with what it is set to (pkg/datapath/loader). Another setting asks for others: the
 * loader makes them, and puts them in the place of the old ones; the maps stay.
 */
export class NodePrograms {
  readonly maps: NodeMaps;
  readonly config: NodeConfig;

  constructor(maps: NodeMaps, config: NodeConfig) {
    this.maps = maps;
    this.config = config;
  }

  /** `cil_from_container`, on the way into the node's end of an endpoint's pair. */
  fromContainer(_endpoint: EndpointConfig): TcProgram {
    return this.#program("cil_from_container", () => TC_ACT_OK);
  }

  /** `cil_to_container`, on the way out of it, with endpoint routes. */
  toContainer(_endpoint: EndpointConfig): TcProgram {
    return this.#program("cil_to_container", () => TC_ACT_OK);
  }

  /** `cil_lxc_policy`, of `cilium_call_policy`. */
  lxcPolicy(_endpoint: EndpointConfig): TcProgram {
    return this.#program("cil_lxc_policy", () => TC_ACT_OK);
  }

  /** `cil_lxc_policy_egress`, of `cilium_egresscall_policy`. */
  lxcPolicyEgress(_endpoint: EndpointConfig): TcProgram {
    return this.#program("cil_lxc_policy_egress", () => TC_ACT_OK);
  }

  /** `cil_to_host`, on the ways into cilium_host and cilium_net; the latter's number. */
  toHost(_ifindex: number): TcProgram {
    return this.#program("cil_to_host", () => TC_ACT_OK);
  }

  /** `cil_from_host`, on the way out of cilium_host. */
  fromHost(): TcProgram {
    return this.#program("cil_from_host", () => TC_ACT_OK);
  }

  /** `cil_from_netdev`, on the way into a device of the node. */
  fromNetdev(_device: NativeDevice): TcProgram {
    return this.#program("cil_from_netdev", () => TC_ACT_OK);
  }

  /** `cil_to_netdev`, on the way out of it. */
  toNetdev(_device: NativeDevice): TcProgram {
    return this.#program("cil_to_netdev", () => TC_ACT_OK);
  }

  /** `cil_host_policy`: the host's endpoint in `cilium_call_policy`. */
  hostPolicy(): TcProgram {
    return this.#program("cil_host_policy", () => TC_ACT_OK);
  }

  /** `cil_from_overlay`, on the way into the tunnel device. */
  fromOverlay(): TcProgram {
    return this.#program("cil_from_overlay", () => TC_ACT_OK);
  }

  /** `cil_to_overlay`, on the way out of it. */
  toOverlay(): TcProgram {
    return this.#program("cil_to_overlay", () => TC_ACT_OK);
  }

  /** `cil_from_wireguard`, on the way into cilium_wg0. */
  fromWireguard(): TcProgram {
    return this.#program("cil_from_wireguard", () => TC_ACT_OK);
  }

  /** `cil_to_wireguard`, on the way out of it. */
  toWireguard(): TcProgram {
    return this.#program("cil_to_wireguard", () => TC_ACT_OK);
  }

  #program(name: string, run: (ctx: TcContext) => number): TcProgram {
    return new BpfProgram(this.maps.kernel, { type: "sched_cls", name, run, repeatable: true });
  }
}
