import type { Origin } from "@cnilab/core";
import { type NetNamespace, Nic } from "@cnilab/linux";
import {
  addressBits,
  familyOf,
  formatIp,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type IpAddress,
  type IpFamily,
  type Prefix,
  parseIp,
  parsePrefix,
} from "@cnilab/net";
import { type HcnEndpointSettings, type HostComputeEndpoint, isRemote } from "../hcn/endpoint.ts";
import { HcnError } from "../hcn/hcn-error.ts";
import {
  type HcnLoadBalancerSettings,
  type HostComputeLoadBalancer,
  LoadBalancerDistributionNone,
  LoadBalancerFlagsIPv6,
  LoadBalancerPortMappingFlagsVipExternalIP,
} from "../hcn/load-balancer.ts";
import type {
  HcnNetworkPolicy,
  HcnNetworkSettings,
  HostComputeNetwork,
  RemoteSubnetRoute,
} from "../hcn/network.ts";
import type { LoadBalancerPolicy } from "../vfp/load-balancer-policy.ts";
import { VfpRule } from "../vfp/vfp-rule.ts";
import { moveAddresses } from "../vswitch/bind-card.ts";
import { OverlayNetwork } from "../vswitch/overlay-network.ts";
import { VmNic } from "../vswitch/vm-nic.ts";
import { VSwitch } from "../vswitch/vswitch.ts";
import type { WindowsMachine } from "../windows-machine.ts";
import { addEndpointRules } from "./endpoint-rules.ts";
import { formatWindowsMac, newGuid, newMac, parseWindowsMac } from "./guid.ts";
import { addLoadBalancerRules } from "./load-balancer-rules.ts";
import { RuleSet } from "./rule-set.ts";
import { type ContainerPort, SwitchTables } from "./switch-tables.ts";

/** Bytes that VXLAN takes from a container's packets. */
const ENCAP_OVERHEAD = 50;
/** Priority of rules that lead to other nodes; this model's own. */
const ENCAP_PRIORITY = 100;

class Network {
  object: HostComputeNetwork;
  readonly subnets: readonly { readonly prefix: Prefix; readonly gateway: IpAddress }[];
  readonly overlay: OverlayNetwork | undefined;
  /** Rules of remote subnets, by prefix. */
  readonly remotes = new Map<string, RuleSet>();

  constructor(
    object: HostComputeNetwork,
    subnets: Network["subnets"],
    overlay: OverlayNetwork | undefined,
  ) {
    this.object = object;
    this.subnets = subnets;
    this.overlay = overlay;
  }
}

class Endpoint {
  object: HostComputeEndpoint;
  readonly network: Network;
  readonly addresses: readonly IpAddress[];
  nic: VmNic | undefined = undefined;
  port: ContainerPort | undefined = undefined;
  readonly rules: RuleSet = new RuleSet();

  constructor(object: HostComputeEndpoint, network: Network, addresses: readonly IpAddress[]) {
    this.object = object;
    this.network = network;
    this.addresses = addresses;
  }
}

interface LoadBalancer {
  object: HostComputeLoadBalancer;
  rules: RuleSet;
  policies: readonly LoadBalancerPolicy[];
}

/**
 * Host Networking Service: keeps networks, endpoints and load balancers, and programs the virtual switch and VFP
 * accordingly. Its calls are those of the Host Compute Network API, schema 2.0 (Microsoft/hcsshim, package hcn).
 */
export class HostNetworkService {
  readonly #machine: WindowsMachine;
  readonly #networks = new Map<string, Network>();
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #loadBalancers = new Map<string, LoadBalancer>();
  readonly #tables = new SwitchTables();
  #vswitch: VSwitch | undefined;

  constructor(machine: WindowsMachine) {
    this.#machine = machine;
  }

  /** The external switch; there is none before the first network. */
  get vswitch(): VSwitch | undefined {
    return this.#vswitch;
  }

  // ---- networks

  listNetworks(): HostComputeNetwork[] {
    return [...this.#networks.values()].map(({ object }) => object);
  }

  getNetworkByName(name: string): HostComputeNetwork | undefined {
    return this.listNetworks().find(({ Name }) => Name === name);
  }

  /** Makes the external switch with the first network: the card's addresses move to the host's vNIC. @throws HcnError */
  createNetwork(settings: HcnNetworkSettings): HostComputeNetwork {
    if (this.getNetworkByName(settings.Name) !== undefined) {
      throw new HcnError("NETWORK_ALREADY_EXISTS", `there is a network ${settings.Name}`);
    }
    const subnets = settings.Ipams.flatMap(({ Subnets }) => Subnets).map((subnet) => ({
      prefix: parsePrefix(subnet.IpAddressPrefix),
      gateway: parseIp(subnet.Routes[0]?.NextHop ?? ""),
    }));
    const vswitch = this.#ensureSwitch(adapterOf(settings));
    const overlay = settings.Type === "Overlay" ? this.#newOverlay(settings, subnets) : undefined;
    if (overlay !== undefined) vswitch.overlay = overlay;
    const given = (settings.Policies ?? []).filter(({ Type }) => !(Type in OWN_POLICIES));
    const object: HostComputeNetwork = {
      ...settings,
      ID: newGuid(this.#machine.random),
      Policies: [...this.#policiesOf(overlay), ...given],
    };
    this.#networks.set(object.ID, new Network(object, subnets, overlay));
    return object;
  }

  /** With its endpoints; the switch goes with the last network. @throws HcnError */
  deleteNetwork(id: string): void {
    const network = this.#network(id);
    for (const [endpointId, endpoint] of this.#endpoints) {
      if (endpoint.network === network) this.deleteEndpoint(endpointId);
    }
    this.#networks.delete(id);
    const vswitch = this.#vswitch;
    if (vswitch === undefined) return;
    if (vswitch.overlay === network.overlay) vswitch.overlay = undefined;
    if (this.#networks.size > 0) return;
    moveAddresses(this.#machine.initNs, vswitch.management, vswitch.external);
    vswitch.unplug(vswitch.management);
    vswitch.management.remove();
    vswitch.remove();
    this.#vswitch = undefined;
  }

  /** @throws HcnError */
  addNetworkPolicy(id: string, policy: HcnNetworkPolicy): void {
    const network = this.#network(id);
    if (policy.Type === "RemoteSubnetRoute") this.#addRemoteSubnet(network, policy.Settings);
    if (policy.Type === "HostRoute") this.#addHostRoutes(network);
    network.object = { ...network.object, Policies: [...network.object.Policies, policy] };
    this.#machine.network.touch();
  }

  /** Takes away the policy with the same type and, for remote subnets, prefix. @throws HcnError */
  removeNetworkPolicy(id: string, policy: HcnNetworkPolicy): void {
    const network = this.#network(id);
    if (policy.Type === "RemoteSubnetRoute") {
      const prefix = policy.Settings.DestinationPrefix;
      network.remotes.get(prefix)?.remove();
      network.remotes.delete(prefix);
    }
    const Policies = network.object.Policies.filter((p) => !samePolicy(p, policy));
    network.object = { ...network.object, Policies };
    this.#machine.network.touch();
  }

  // ---- endpoints

  listEndpoints(): HostComputeEndpoint[] {
    return [...this.#endpoints.values()].map(({ object }) => object);
  }

  listEndpointsOfNetwork(networkId: string): HostComputeEndpoint[] {
    return this.listEndpoints().filter((e) => e.HostComputeNetwork === networkId);
  }

  getEndpointByName(name: string): HostComputeEndpoint | undefined {
    return this.listEndpoints().find(({ Name }) => Name === name);
  }

  /** @throws HcnError */
  createEndpoint(networkId: string, settings: HcnEndpointSettings): HostComputeEndpoint {
    const network = this.#network(networkId);
    const addresses = settings.IpConfigurations.map(({ IpAddress }) => parseIp(IpAddress));
    for (const address of addresses) this.#checkAddress(network, address, settings);
    const { random } = this.#machine;
    const object: HostComputeEndpoint = {
      ...settings,
      ID: newGuid(random),
      Name: settings.Name ?? "Ethernet",
      HostComputeNetwork: networkId,
      HostComputeNamespace: "",
      MacAddress: formatWindowsMac(parseMac(settings.MacAddress) ?? newMac(random)),
      Routes: settings.Routes ?? [],
      Policies: settings.Policies ?? [],
      Flags: settings.Flags ?? 0,
    };
    const endpoint = new Endpoint(object, network, addresses);
    this.#endpoints.set(object.ID, endpoint);
    this.#placeOnOverlay(endpoint);
    this.#machine.network.touch();
    return object;
  }

  /** @throws HcnError */
  deleteEndpoint(id: string): void {
    const endpoint = this.#endpoint(id);
    this.#endpoints.delete(id);
    endpoint.rules.remove();
    for (const address of endpoint.addresses) {
      endpoint.network.overlay?.hostAddresses.delete(address);
    }
    const { nic } = endpoint;
    if (nic === undefined) return;
    this.#vswitch?.unplug(nic);
    if (nic.netns.findDevice(nic.name) === nic) nic.remove();
  }

  /** `HcnAddNamespaceEndpoint`: the endpoint's vNIC appears in a container's compartment. @throws HcnError */
  addNamespaceEndpoint(netns: NetNamespace, id: string, nicName: string): void {
    const endpoint = this.#detached(id);
    const { overlay } = endpoint.network;
    const container = this.#tables.containerPort(
      newGuid(this.#machine.random),
      `Container NIC ${id.slice(0, 8)}`,
      overlay?.encap,
    );
    this.#attach(netns, endpoint, container.port, nicName);
    endpoint.port = container;
    const { object, addresses, rules } = endpoint;
    const node = this.#nodeAddresses();
    addEndpointRules(rules, container, {
      id: object.ID,
      addresses,
      policies: object.Policies,
      node,
    });
    this.#addPortMappings(endpoint);
  }

  /** `HNSEndpoint.HostAttach`: the endpoint becomes a vNIC of the host. @throws HcnError */
  hostAttach(id: string): void {
    const endpoint = this.#detached(id);
    const { Name } = endpoint.object;
    const port = this.#tables.hostPort(newGuid(this.#machine.random), Name);
    this.#attach(this.#machine.initNs, endpoint, port, Name);
  }

  // ---- load balancers

  listLoadBalancers(): HostComputeLoadBalancer[] {
    return [...this.#loadBalancers.values()].map(({ object }) => object);
  }

  getLoadBalancer(id: string): HostComputeLoadBalancer | undefined {
    return this.#loadBalancers.get(id)?.object;
  }

  /** @throws HcnError */
  createLoadBalancer(settings: HcnLoadBalancerSettings, origin?: Origin): HostComputeLoadBalancer {
    const object = { ...settings, ID: newGuid(this.#machine.random), origin };
    this.#checkLoadBalancer(object);
    const rules = new RuleSet();
    const policies = this.#program(object, rules);
    this.#loadBalancers.set(object.ID, { object, rules, policies });
    return object;
  }

  /** Flows to endpoints that stay go on. @throws HcnError */
  updateLoadBalancer(id: string, settings: HcnLoadBalancerSettings): HostComputeLoadBalancer {
    const there = this.#loadBalancer(id);
    const object = { ...settings, ID: id, origin: there.object.origin };
    this.#checkLoadBalancer(object);
    there.rules.remove();
    const rules = new RuleSet();
    const policies = this.#program(object, rules);
    for (const [i, old] of there.policies.entries()) old.replaceBy(policies[i]);
    this.#loadBalancers.set(id, { object, rules, policies });
    return object;
  }

  /** @throws HcnError */
  deleteLoadBalancer(id: string): void {
    const { rules, policies } = this.#loadBalancer(id);
    rules.remove();
    for (const policy of policies) policy.replaceBy(undefined);
    this.#loadBalancers.delete(id);
    this.#machine.network.touch();
  }

  // ---- making networks

  #ensureSwitch(adapter: string | undefined): VSwitch {
    if (this.#vswitch !== undefined) return this.#vswitch;
    const { initNs, random } = this.#machine;
    const cards = initNs.devices.filter((dev): dev is Nic => dev instanceof Nic);
    const card = cards.find(({ name }) => adapter === undefined || name === adapter);
    if (card === undefined) {
      throw new HcnError("INVALID_NETWORK", `there is no network adapter ${adapter ?? ""}`);
    }
    const vswitch = new VSwitch(card.name, card);
    const port = this.#tables.hostPort(newGuid(random), `vEthernet (${card.name})`);
    const nic = new VmNic(initNs, {
      name: "vEthernet",
      mac: card.mac,
      mtu: card.mtu,
      vswitch,
      port,
    });
    vswitch.management = nic;
    vswitch.plug(nic, []);
    moveAddresses(initNs, card, nic);
    this.#vswitch = vswitch;
    return vswitch;
  }

  #newOverlay(settings: HcnNetworkSettings, subnets: Network["subnets"]): OverlayNetwork {
    const [subnet] = subnets;
    const vsid = settings.Ipams[0]?.Subnets[0]?.Policies?.[0]?.Settings.IsolationId;
    const [providerAddress] = this.#nodeAddresses();
    if (subnet === undefined || vsid === undefined || typeof providerAddress !== "number") {
      throw new HcnError("INVALID_NETWORK", "an overlay needs a subnet, a VSID and an IPv4 card");
    }
    const drMac = newMac(this.#machine.random);
    const { prefix, gateway } = subnet;
    return new OverlayNetwork({ vsid, subnet: prefix, gateway, drMac, providerAddress });
  }

  /** What HNS adds to a network's policies by itself. */
  #policiesOf(overlay: OverlayNetwork | undefined): HcnNetworkPolicy[] {
    const [address] = this.#nodeAddresses();
    const ProviderAddress = address === undefined ? "" : formatIp(address);
    const management: HcnNetworkPolicy = { Type: "ProviderAddress", Settings: { ProviderAddress } };
    if (overlay === undefined) return [management];
    const Address = formatWindowsMac(overlay.drMac);
    return [management, { Type: "DrMacAddress", Settings: { Address } }];
  }

  #addRemoteSubnet(network: Network, settings: RemoteSubnetRoute): void {
    const { DestinationPrefix, ProviderAddress, IsolationId } = settings;
    const mac = parseMac(settings.DistributedRouterMacAddress);
    if (network.overlay === undefined || mac === undefined) {
      throw new HcnError(
        "INVALID_POLICY",
        "a remote subnet needs an overlay and the MAC of a router",
      );
    }
    const rules = new RuleSet();
    const providerAddress = parseIp(ProviderAddress);
    rules.add(
      network.overlay.encap,
      new VfpRule(
        `ENCAP_${DestinationPrefix}_${ProviderAddress}`,
        ENCAP_PRIORITY,
        { destinations: [parsePrefix(DestinationPrefix)] },
        { type: "encap", vni: IsolationId, providerAddress, mac },
      ),
    );
    network.remotes.get(DestinationPrefix)?.remove();
    network.remotes.set(DestinationPrefix, rules);
  }

  #addHostRoutes({ subnets }: Network): void {
    const dev = this.#vswitch?.management;
    if (dev === undefined) return;
    for (const { prefix } of subnets) {
      this.#machine.initNs.addRoute({ dst: prefix, dev, scope: 253 }, "replace");
    }
  }

  // ---- making endpoints

  #checkAddress(network: Network, address: IpAddress, { Flags = 0 }: HcnEndpointSettings): void {
    const remote = Flags !== 0;
    if (!remote && !network.subnets.some(({ prefix }) => prefix.contains(address))) {
      const what = `${formatIp(address)} is in no subnet of network ${network.object.Name}`;
      throw new HcnError("ADDR_INVALID_OR_RESERVED", what);
    }
    for (const other of this.#endpoints.values()) {
      if (other.network !== network || !other.addresses.includes(address)) continue;
      if (isRemote(other.object) !== remote) continue;
      const what = `endpoint ${other.object.Name} has ${formatIp(address)}`;
      throw new HcnError("ADDR_INVALID_OR_RESERVED", what);
    }
  }

  /** An endpoint with the host's MAC stands for the host: the source VIP of kube-proxy, and the VIPs of Services. */
  #placeOnOverlay({ object, network, addresses }: Endpoint): void {
    const { overlay } = network;
    if (overlay === undefined || parseMac(object.MacAddress) !== this.#vswitch?.management.mac) {
      return;
    }
    for (const address of addresses) overlay.hostAddresses.add(address);
  }

  #attach(
    netns: NetNamespace,
    endpoint: Endpoint,
    port: ContainerPort["port"],
    name: string,
  ): void {
    const vswitch = this.#vswitch as VSwitch;
    const { object, addresses, network } = endpoint;
    const overhead = network.overlay === undefined ? 0 : ENCAP_OVERHEAD;
    const mac = parseMac(object.MacAddress) ?? newMac(this.#machine.random);
    const mtu = vswitch.external.mtu - overhead;
    const nic = new VmNic(netns, { name, mac, mtu, vswitch, port });
    vswitch.plug(nic, port.isHost ? [] : addresses);
    nic.setUp();
    for (const address of addresses) nic.addAddress(address, lengthOf(network, address));
    for (const { DestinationPrefix, NextHop } of object.Routes) {
      netns.addRoute({ dst: parsePrefix(DestinationPrefix), via: parseIp(NextHop), dev: nic });
    }
    endpoint.nic = nic;
    endpoint.object = { ...object, HostComputeNamespace: netns.name || "host" };
  }

  #addPortMappings({ object, addresses, port, rules }: Endpoint): void {
    for (const policy of object.Policies) {
      if (policy.Type !== "PortMapping") continue;
      const { InternalPort, ExternalPort, Protocol, VIP } = policy.Settings;
      for (const node of this.#nodeAddresses()) {
        const backends = addresses
          .filter((a) => familyOf(a) === familyOf(node))
          .map((address) => ({ address, port }));
        const frontends = VIP === "" || VIP === "0.0.0.0" ? [node] : [parseIp(VIP)];
        const mapping = {
          Protocol,
          InternalPort,
          ExternalPort,
          DistributionType: LoadBalancerDistributionNone,
          Flags: LoadBalancerPortMappingFlagsVipExternalIP,
        };
        const as: HostComputeLoadBalancer = {
          ID: object.ID,
          HostComputeEndpoints: [object.ID],
          SourceVIP: "",
          FrontendVIPs: frontends.map(formatIp),
          PortMappings: [mapping],
          Flags: 0,
          origin: undefined,
        };
        const facts = { family: familyOf(node), frontends, sourceVip: undefined, backends, node };
        addLoadBalancerRules(rules, this.#tables, as, facts);
      }
    }
  }

  // ---- making load balancers

  #checkLoadBalancer(object: HostComputeLoadBalancer): void {
    const frontends = this.#frontendsOf(object);
    for (const { Protocol, ExternalPort } of object.PortMappings) {
      if (Protocol !== IPPROTO_TCP && Protocol !== IPPROTO_UDP) {
        throw new HcnError("INVALID_POLICY", `no load balancing of IP protocol ${Protocol}`);
      }
      for (const { object: other } of this.#loadBalancers.values()) {
        if (other.ID === object.ID) continue;
        const same = other.PortMappings.some(
          (m) => m.Protocol === Protocol && m.ExternalPort === ExternalPort,
        );
        if (!same || !this.#frontendsOf(other).some((f) => frontends.includes(f))) continue;
        const what = `load balancer ${other.ID} has port ${ExternalPort} of the same address`;
        throw new HcnError("PORT_ALREADY_EXISTS", what);
      }
    }
  }

  #program(object: HostComputeLoadBalancer, rules: RuleSet): LoadBalancerPolicy[] {
    const family = lbFamily(object);
    const backends = object.HostComputeEndpoints.map((id) => this.#endpoint(id)).flatMap(
      ({ addresses, port }) =>
        addresses.filter((a) => familyOf(a) === family).map((address) => ({ address, port })),
    );
    const node = this.#nodeAddresses().find((a) => familyOf(a) === family);
    if (node === undefined) {
      throw new HcnError("INVALID_POLICY", `the node has no IPv${family} address`);
    }
    this.#machine.network.touch();
    return addLoadBalancerRules(rules, this.#tables, object, {
      family,
      frontends: this.#frontendsOf(object),
      sourceVip: object.SourceVIP === "" ? undefined : parseIp(object.SourceVIP),
      backends,
      node,
    });
  }

  /** Without frontends, the node's addresses: a node port. */
  #frontendsOf(object: HostComputeLoadBalancer): IpAddress[] {
    if (object.FrontendVIPs.length > 0) return object.FrontendVIPs.map(parseIp);
    return this.#nodeAddresses().filter((a) => familyOf(a) === lbFamily(object));
  }

  // ---- finding things

  /** Addresses of the host's own vNIC, or of the card while there is no switch. */
  #nodeAddresses(): IpAddress[] {
    const dev =
      this.#vswitch?.management ?? this.#machine.initNs.devices.find((d) => d instanceof Nic);
    return ([4, 6] as const).flatMap((family) => {
      const found = dev?.addressesOf(family).find(({ scope }) => scope === 0);
      return found === undefined ? [] : [found.address];
    });
  }

  #network(id: string): Network {
    const network = this.#networks.get(id);
    if (network !== undefined) return network;
    throw new HcnError("NETWORK_NOT_FOUND", `there is no network ${id}`);
  }

  #endpoint(id: string): Endpoint {
    const endpoint = this.#endpoints.get(id);
    if (endpoint !== undefined) return endpoint;
    throw new HcnError("ENDPOINT_NOT_FOUND", `there is no endpoint ${id}`);
  }

  #detached(id: string): Endpoint {
    const endpoint = this.#endpoint(id);
    if (endpoint.nic === undefined) return endpoint;
    throw new HcnError("ENDPOINT_ALREADY_ATTACHED", `endpoint ${id} is attached`);
  }

  #loadBalancer(id: string): LoadBalancer {
    const found = this.#loadBalancers.get(id);
    if (found !== undefined) return found;
    throw new HcnError("LOAD_BALANCER_NOT_FOUND", `there is no load balancer ${id}`);
  }
}

/** Policies that HNS decides itself. */
const OWN_POLICIES: Readonly<Record<string, true>> = { ProviderAddress: true, DrMacAddress: true };

function adapterOf({ Policies = [] }: HcnNetworkSettings): string | undefined {
  for (const policy of Policies) {
    if (policy.Type === "NetAdapterName") return policy.Settings.NetworkAdapterName;
  }
  return undefined;
}

function samePolicy(x: HcnNetworkPolicy, y: HcnNetworkPolicy): boolean {
  if (x.Type !== y.Type) return false;
  if (x.Type !== "RemoteSubnetRoute" || y.Type !== "RemoteSubnetRoute") return true;
  return x.Settings.DestinationPrefix === y.Settings.DestinationPrefix;
}

function lbFamily({ Flags }: HostComputeLoadBalancer): IpFamily {
  return (Flags & LoadBalancerFlagsIPv6) === 0 ? 4 : 6;
}

function lengthOf({ subnets }: Network, address: IpAddress): number {
  const subnet = subnets.find(({ prefix }) => prefix.contains(address));
  return subnet?.prefix.length ?? addressBits(familyOf(address));
}

function parseMac(text: string | undefined): number | undefined {
  return text === undefined ? undefined : parseWindowsMac(text);
}
