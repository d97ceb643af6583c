import {
  attachTcx,
  BPF_ANY,
  type BpfLink,
  deleteTcFilter,
  KernelError,
  type NetDevice,
  type RouteSpec,
  RT_SCOPE_LINK,
  replaceTcFilter,
  type TcFilter,
} from "@cnilab/linux";
import { formatIp, type IpAddress, Prefix } from "@cnilab/net";
import type { AgentPart } from "../agent/agent-part.ts";
import type { CiliumAgent } from "../agent/cilium-agent.ts";
import type { Endpoint } from "../agent/endpoint.ts";
import { ROUTE_PROTOCOL } from "../agent/node-routes.ts";
import type { EndpointConfig } from "../datapath/endpoint-config.ts";
import { ENDPOINT_F_HOST } from "../datapath/maps/endpoint-map.ts";
import type { TcProgram } from "../datapath/programs.ts";

type Direction = "ingress" | "egress";

/** A program's place at a device, pinned: the next run of the agent finds it, and puts its own program there. */
interface Attached {
  readonly dev: NetDevice;
  readonly direction: Direction;
  readonly link: BpfLink<"sched_cls"> | undefined;
  filter: TcFilter | undefined;
}

/** Links as bpffs has them (`/sys/fs/bpf/cilium/…/links`), by machine. */
const PINNED = new WeakMap<object, Map<string, Attached>>();

/**
 * Compiles and attaches programs, and says to `cilium_lxc` which addresses are the node's (pkg/datapath/loader). A run of the agent replaces the
 * programs of the one before in their places; between the two the old ones go on.
 */
export class Loader implements AgentPart {
  readonly name = "loader";
  readonly #agent: CiliumAgent;
  readonly #pinned: Map<string, Attached>;

  constructor(agent: CiliumAgent) {
    this.#agent = agent;
    let pinned = PINNED.get(agent.kernel);
    if (pinned === undefined) {
      pinned = new Map();
      PINNED.set(agent.kernel, pinned);
    }
    this.#pinned = pinned;
  }

  start(): void {
    const { programs, devices } = this.#agent;
    if (devices.tunnel !== undefined) {
      this.#attach(devices.tunnel, "ingress", programs.fromOverlay(devices.tunnel));
      this.#attach(devices.tunnel, "egress", programs.toOverlay(devices.tunnel));
    }
    const wireguard = this.#agent.kernel.initNs.findDevice("cilium_wg0");
    if (wireguard !== undefined) {
      this.#attach(wireguard, "ingress", programs.fromWireguard(wireguard));
      this.#attach(wireguard, "egress", programs.toWireguard(wireguard));
    }
  }

  /** Programs and links stay. */
  stop(): void {}

  endpointAdded(endpoint: Endpoint): void {
    this.reload(endpoint);
    this.#writeAddresses(endpoint);
  }

  /** Compiles an endpoint's programs anew, as its identity is part of them (regeneration). */
  reload(endpoint: Endpoint): void {
    if (endpoint.isHost) this.#loadHost();
    else this.#loadEndpoint(endpoint);
    if (endpoint.isHost) return;
    for (const address of endpoint.addresses) {
      this.#writeAddress(endpoint, address);
      if (this.#agent.config.routing.endpointRoutes) this.#route(endpoint, address);
    }
  }

  /** It goes with the device (upsertEndpointRoute). */
  #route({ device: dev }: Endpoint, address: IpAddress): void {
    const { initNs } = this.#agent.kernel;
    const route: RouteSpec = { dst: Prefix.host(address), dev, protocol: ROUTE_PROTOCOL };
    initNs.addRoute(
      typeof address === "number" ? { ...route, scope: RT_SCOPE_LINK } : route,
      "replace",
    );
  }

  endpointRemoved(endpoint: Endpoint): void {
    const { maps } = this.#agent;
    for (const address of endpoint.addresses) {
      // Another endpoint may have the address by now.
      if (maps.endpoints.get(address)?.lxcId === endpoint.id) maps.endpoints.delete(address);
    }
    if (maps.callPolicy.get(endpoint.id) !== undefined) maps.callPolicy.delete(endpoint.id);
    if (maps.egressCallPolicy.get(endpoint.id) !== undefined)
      maps.egressCallPolicy.delete(endpoint.id);
    for (const direction of ["ingress", "egress"] as const)
      this.#detach(endpoint.device, direction);
  }

  /** Of cilium_host, cilium_net and the node's own devices (reloadHostEndpoint). */
  #loadHost(): void {
    const { programs, devices, maps, nodeConfig } = this.#agent;
    maps.callPolicy.update(nodeConfig.hostEndpointId, programs.hostPolicy(), BPF_ANY);
    this.#attach(devices.host, "ingress", programs.toHost(devices.host));
    this.#attach(devices.host, "egress", programs.fromHost());
    this.#attach(devices.net, "ingress", programs.toHost(devices.net));
    for (const dev of devices.native) {
      const native = nodeConfig.devices.find(({ ifindex }) => ifindex === dev.ifindex);
      if (native === undefined) continue;
      this.#attach(dev, "ingress", programs.fromNetdev(native));
      if (this.#devicesRequired) this.#attach(dev, "egress", programs.toNetdev(native));
      else this.#detach(dev, "egress");
    }
  }

  /** Whether anything wants to see what leaves the node (pkg/option/config.go AreDevicesRequired). */
  get #devicesRequired(): boolean {
    const { config } = this.#agent;
    return (
      config.services.nodePort ||
      config.policy.hostFirewall ||
      config.wireguard !== undefined ||
      config.masquerade.bpf
    );
  }

  #loadEndpoint(endpoint: Endpoint): void {
    const { programs, maps } = this.#agent;
    const config = this.#endpointConfig(endpoint);
    maps.callPolicy.update(endpoint.id, programs.lxcPolicy(config), BPF_ANY);
    maps.egressCallPolicy.update(endpoint.id, programs.lxcPolicyEgress(config), BPF_ANY);
    this.#attach(endpoint.device, "ingress", programs.fromContainer(config));
    if (config.toContainer) this.#attach(endpoint.device, "egress", programs.toContainer(config));
    else this.#detach(endpoint.device, "egress");
  }

  #endpointConfig(endpoint: Endpoint): EndpointConfig {
    const { config } = this.#agent;
    const { endpointRoutes } = config.routing;
    return {
      id: endpoint.id,
      securityLabel: endpoint.identity,
      ipv4: endpoint.ipv4,
      ipv6: endpoint.ipv6,
      interfaceMac: endpoint.device.mac,
      interfaceIfindex: endpoint.device.ifindex,
      mac: endpoint.mac,
      // pkg/endpoint/datapath.go RequireARPPassthrough, RequireRouting, RequireEgressProg
      arpResponder: !endpointRoutes,
      routing: !endpointRoutes,
      toContainer: endpointRoutes,
      policyAuditMode: config.policy.audit,
      netnsCookie: endpoint.netnsCookie,
    };
  }

  #writeAddresses(endpoint: Endpoint): void {
    if (!endpoint.isHost) return;
    for (const address of this.#hostAddresses()) {
      this.#agent.maps.endpoints.update(address, HOST_ENTRY, BPF_ANY);
    }
  }

  #writeAddress(endpoint: Endpoint, address: IpAddress): void {
    const { name, namespace } = endpoint.pod ?? { name: formatIp(address), namespace: undefined };
    this.#agent.maps.endpoints.update(
      address,
      {
        ifindex: endpoint.device.ifindex,
        lxcId: endpoint.id,
        flags: 0,
        mac: endpoint.mac,
        nodeMac: endpoint.device.mac,
        secId: endpoint.identity,
        parentIfindex: 0,
        ...(namespace !== undefined && { origin: { kind: "Pod", namespace, name } }),
      },
      BPF_ANY,
    );
  }

  /** All that the node answers to by itself (daemon/cmd/hostips-sync.go). */
  #hostAddresses(): IpAddress[] {
    const { node, devices } = this.#agent;
    const own = [...devices.native, devices.host].flatMap((dev) =>
      this.#agent.config.families.flatMap((f) => dev.addressesOf(f).map((a) => a.address)),
    );
    return [...new Set([...node.addresses, ...own])];
  }

  #attach(dev: NetDevice, direction: Direction, program: TcProgram): void {
    const key = keyOf(dev, direction);
    const there = this.#pinned.get(key);
    if (there?.dev === dev) {
      if (there.link !== undefined) there.link.update(program);
      else there.filter = replaceTcFilter(dev, direction, program, FILTER);
      return;
    }
    const link = this.#agent.config.tcx ? attachTcx(dev, direction, program) : undefined;
    const filter =
      link === undefined ? replaceTcFilter(dev, direction, program, FILTER) : undefined;
    this.#pinned.set(key, { dev, direction, link, filter });
  }

  #detach(dev: NetDevice, direction: Direction): void {
    const key = keyOf(dev, direction);
    const there = this.#pinned.get(key);
    if (there === undefined) return;
    this.#pinned.delete(key);
    try {
      there.link?.detach();
      if (there.filter !== undefined) deleteTcFilter(dev, direction, there.filter);
    } catch (error) {
      // The device went, and all that was on it.
      if (!(error instanceof KernelError)) throw error;
    }
  }
}

/** `bpf-filter-priority`, and the handle of the only filter. */
const FILTER = { preference: 1, handle: 1 } as const;

const HOST_ENTRY = {
  ifindex: 0,
  lxcId: 0,
  flags: ENDPOINT_F_HOST,
  mac: 0,
  nodeMac: 0,
  secId: 0,
  parentIfindex: 0,
} as const;

function keyOf(dev: NetDevice, direction: Direction): string {
  return `${dev.ifindex} ${direction}`;
}
