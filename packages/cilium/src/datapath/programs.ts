import { BpfProgram, type TcContext } from "@cnilab/linux";
import type { Mac } from "@cnilab/net";
import type { EndpointConfig } from "./endpoint-config.ts";
import { cilFromHost } from "./host/from-host.ts";
import { cilFromNetdev } from "./host/from-netdev.ts";
import { cilHostPolicy } from "./host/host-policy.ts";
import { cilToHost } from "./host/to-host.ts";
import { cilToNetdev } from "./host/to-netdev.ts";
import { type BpfObject, type BpfSource, bpfObject } from "./lib/bpf-object.ts";
import type { ServiceHooks } from "./lib/service-hooks.ts";
import { SERVICES } from "./lib/services.ts";
import { cilFromContainer, cilLxcPolicyEgress } from "./lxc/from-container.ts";
import { cilLxcPolicy } from "./lxc/ingress-policy.ts";
import { cilToContainer } from "./lxc/to-container.ts";
import type { NodeConfig } from "./node-config.ts";
import type { NodeMaps } from "./node-maps.ts";
import { cilFromOverlay } from "./overlay/from-overlay.ts";
import { cilToOverlay } from "./overlay/to-overlay.ts";
import { cilFromWireguard, cilToWireguard } from "./wireguard/wireguard.ts";

/** A program of tc. */
export type TcProgram = BpfProgram<"sched_cls">;

/** The device that a program is for. */
export interface Interface {
  readonly ifindex: number;
  readonly mac: Mac;
}

type Section = (ctx: TcContext, obj: BpfObject) => number;

/**
 * The programs of one node, compiled with what it is set to (pkg/datapath/loader). Another setting asks for others: the
 * loader makes them, and puts them in the place of the old ones; the maps stay.
 */
export class NodePrograms {
  readonly maps: NodeMaps;
  readonly config: NodeConfig;
  readonly #services: ServiceHooks;
  /** Of the endpoint whose programs are being made: they have it in common. */
  #lastObject: BpfObject | undefined;
  /** Without balancing by proxies it does nothing, for whomever. */
  #noPolicyEgress: TcProgram | undefined;

  constructor(maps: NodeMaps, config: NodeConfig, services: ServiceHooks = SERVICES) {
    this.maps = maps;
    this.config = config;
    this.#services = services;
  }

  /** `cil_from_container`, on the way into the node's end of an endpoint's pair. */
  fromContainer(endpoint: EndpointConfig): TcProgram {
    return this.#lxc("cil_from_container", cilFromContainer, endpoint);
  }

  /** `cil_to_container`, on the way out of it, with endpoint routes. */
  toContainer(endpoint: EndpointConfig): TcProgram {
    return this.#lxc("cil_to_container", cilToContainer, endpoint);
  }

  /** `cil_lxc_policy`, of `cilium_call_policy`. */
  lxcPolicy(endpoint: EndpointConfig): TcProgram {
    return this.#lxc("cil_lxc_policy", cilLxcPolicy, endpoint);
  }

  /** `cil_lxc_policy_egress`, of `cilium_egresscall_policy`. */
  lxcPolicyEgress(endpoint: EndpointConfig): TcProgram {
    const name = "cil_lxc_policy_egress";
    if (this.config.lb.l7) return this.#lxc(name, cilLxcPolicyEgress, endpoint);
    this.#noPolicyEgress ??= this.#lxc(name, cilLxcPolicyEgress, endpoint);
    return this.#noPolicyEgress;
  }

  /** `cil_to_host`, on the ways into cilium_host and cilium_net. */
  toHost(dev: Interface): TcProgram {
    return this.#program("cil_to_host", cilToHost, "host", dev);
  }

  /** `cil_from_host`, on the way out of cilium_host. */
  fromHost(): TcProgram {
    return this.#program("cil_from_host", cilFromHost, "host", this.#ciliumHost);
  }

  /** `cil_from_netdev`, on the way into a device of the node. */
  fromNetdev(dev: Interface): TcProgram {
    return this.#program("cil_from_netdev", cilFromNetdev, "host", dev);
  }

  /** `cil_to_netdev`, on the way out of it. */
  toNetdev(dev: Interface): TcProgram {
    return this.#program("cil_to_netdev", cilToNetdev, "host", dev);
  }

  /** `cil_host_policy`: the host's endpoint in `cilium_call_policy`. */
  hostPolicy(): TcProgram {
    return this.#program("cil_host_policy", cilHostPolicy, "host", this.#ciliumHost);
  }

  /** `cil_from_overlay`, on the way into the tunnel device. */
  fromOverlay(dev: Interface): TcProgram {
    return this.#program("cil_from_overlay", cilFromOverlay, "overlay", dev);
  }

  /** `cil_to_overlay`, on the way out of it. */
  toOverlay(dev: Interface): TcProgram {
    return this.#program("cil_to_overlay", cilToOverlay, "overlay", dev);
  }

  /** `cil_from_wireguard`, on the way into cilium_wg0. */
  fromWireguard(dev: Interface): TcProgram {
    return this.#program("cil_from_wireguard", cilFromWireguard, "wireguard", dev);
  }

  /** `cil_to_wireguard`, on the way out of it. */
  toWireguard(dev: Interface): TcProgram {
    return this.#program("cil_to_wireguard", cilToWireguard, "wireguard", dev);
  }

  get #ciliumHost(): Interface {
    return { ifindex: this.config.ciliumHostIfindex, mac: this.config.ciliumHostMac };
  }

  #lxc(name: string, section: Section, endpoint: EndpointConfig): TcProgram {
    if (this.#lastObject?.endpoint !== endpoint) {
      const { interfaceIfindex: ifindex, interfaceMac: mac } = endpoint;
      this.#lastObject = this.#object("lxc", { ifindex, mac }, endpoint);
    }
    return this.#load(name, section, this.#lastObject);
  }

  #program(name: string, section: Section, source: BpfSource, dev: Interface): TcProgram {
    return this.#load(name, section, this.#object(source, dev));
  }

  #object(source: BpfSource, dev: Interface, endpoint?: EndpointConfig): BpfObject {
    return bpfObject({
      source,
      maps: this.maps,
      config: this.config,
      services: this.#services,
      interfaceIfindex: dev.ifindex,
      interfaceMac: dev.mac,
      ...(endpoint !== undefined && { endpoint }),
    });
  }

  #load(name: string, section: Section, obj: BpfObject): TcProgram {
    const run = (ctx: TcContext): number => section(ctx, obj);
    const type = "sched_cls";
    // Without L2 announcements do_netdev has nothing to say of ARP.
    const passesArp = section === cilFromNetdev;
    return new BpfProgram(this.maps.kernel, { type, name, run, repeatable: true, passesArp });
  }
}
