import type { Origin } from "@cnilab/core";
import { type NetNamespace, Nic } from "@cnilab/linux";
import {
  familyOf,
  formatEndpoint,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type IpAddress,
  type IpFamily,
} from "@cnilab/net";
import { type HcnEndpointSettings, type HostComputeEndpoint, isRemote } from "../hcn/endpoint.ts";
import { hcnAddress, hcnMac, hcnPrefix } from "../hcn/hcn-address.ts";
import { HcnError } from "../hcn/hcn-error.ts";
import {
  type HcnLoadBalancerSettings,
  type HostComputeLoadBalancer,
  LoadBalancerFlagsIPv6,
  type LoadBalancerPortMapping,
} from "../hcn/load-balancer.ts";
import type { HcnNetworkPolicy, HcnNetworkSettings, HostComputeNetwork } from "../hcn/network.ts";
import type { LoadBalancerPolicy } from "../vfp/load-balancer-policy.ts";
import type { VfpPort } from "../vfp/vfp-port.ts";
import { VmNic } from "../vswitch/vm-nic.ts";
import type { VSwitch } from "../vswitch/vswitch.ts";
import type { WindowsMachine } from "../windows-machine.ts";
import { addEndpointRules } from "./endpoint-rules.ts";
import { createExternalSwitch, deleteExternalSwitch } from "./external-switch.ts";
import { formatWindowsMac, newGuid, newMac } from "./guid.ts";
import { HnsEndpoint } from "./hns-endpoint.ts";
import { HnsNetwork } from "./hns-network.ts";
import { addLoadBalancerRules } from "./load-balancer-rules.ts";
import { addPortMappings } from "./port-mapping.ts";
import { RuleSet } from "./rule-set.ts";
import { SwitchTables } from "./switch-tables.ts";

/** Bytes that VXLAN takes from a container's packets. */
const ENCAP_OVERHEAD = 50;

interface LoadBalancer {
  readonly object: HostComputeLoadBalancer;
  readonly rules: RuleSet;
  readonly policies: readonly LoadBalancerPolicy[];
  /** What it answers to, in the form of {@link frontendKey}. */
  readonly frontends: readonly string[];
}

/**
 * Host Networking Service: keeps networks, endpoints and load balancers, and programs the virtual switch and VFP
 * accordingly. Its calls are those of the Host Compute Network API, schema 2.0 (Microsoft/hcsshim, package hcn).
 */
export class HostNetworkService {
  readonly #machine: WindowsMachine;
  readonly #networks = new Map<string, HnsNetwork>();
  readonly #endpoints = new Map<string, HnsEndpoint>();
  readonly #loadBalancers = new Map<string, LoadBalancer>();
  /** IDs of load balancers by what they answer to. */
  readonly #frontends = new Map<string, string>();
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

  /** Makes the external switch with the first network. @throws HcnError */
  createNetwork(settings: HcnNetworkSettings): HostComputeNetwork {
    if (this.getNetworkByName(settings.Name) !== undefined) {
      throw new HcnError("NETWORK_ALREADY_EXISTS", `there is a network ${settings.Name}`);
    }
    const { initNs, random } = this.#machine;
    this.#vswitch ??= createExternalSwitch(initNs, adapterOf(settings), this.#tables, random);
    try {
      const network = new HnsNetwork(settings, this.#vswitch.management, random);
      if (network.overlay !== undefined) this.#vswitch.overlay = network.overlay;
      this.#networks.set(network.object.ID, network);
      return network.object;
    } finally {
      this.#deleteUnusedSwitch();
    }
  }

  /** With its endpoints; the switch goes with the last network. @throws HcnError */
  deleteNetwork(id: string): void {
    const network = this.#network(id);
    for (const [endpointId, endpoint] of this.#endpoints) {
      if (endpoint.network === network) this.deleteEndpoint(endpointId);
    }
    this.#networks.delete(id);
    const vswitch = this.#vswitch;
    if (vswitch !== undefined && vswitch.overlay === network.overlay) vswitch.overlay = undefined;
    this.#deleteUnusedSwitch();
  }

  #deleteUnusedSwitch(): void {
    if (this.#vswitch === undefined || this.#networks.size > 0) return;
    deleteExternalSwitch(this.#vswitch);
    this.#vswitch = undefined;
  }

  /** @throws HcnError */
  addNetworkPolicy(id: string, policy: HcnNetworkPolicy): void {
    this.#network(id).addPolicy(policy);
    this.#machine.network.touch();
  }

  /** Takes away the policy of the same type and, for remote subnets, prefix. @throws HcnError */
  removeNetworkPolicy(id: string, policy: HcnNetworkPolicy): void {
    this.#network(id).removePolicy(policy);
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
    const addresses = settings.IpConfigurations.map(({ IpAddress }) => hcnAddress(IpAddress));
    const isElsewhere = (settings.Flags ?? 0) !== 0;
    for (const address of addresses) network.checkAddress(address, isElsewhere);
    const { random } = this.#machine;
    const { MacAddress } = settings;
    const object: HostComputeEndpoint = {
      ...settings,
      ID: newGuid(random),
      Name: settings.Name ?? "Ethernet",
      HostComputeNetwork: networkId,
      HostComputeNamespace: "",
      MacAddress: formatWindowsMac(MacAddress === undefined ? newMac(random) : hcnMac(MacAddress)),
      Routes: settings.Routes ?? [],
      Policies: settings.Policies ?? [],
      Flags: settings.Flags ?? 0,
    };
    this.#endpoints.set(object.ID, new HnsEndpoint(object, network, addresses));
    for (const address of addresses) network.take(address, isElsewhere);
    // One with the host's MAC stands for the host: kube-proxy's source VIP, and the VIPs of Services.
    if (hcnMac(object.MacAddress) === this.#vswitch?.management.mac) {
      for (const address of addresses) network.overlay?.hostAddresses.add(address);
    }
    this.#machine.network.touch();
    return object;
  }

  /** @throws HcnError */
  deleteEndpoint(id: string): void {
    const { rules, network, addresses, nic, object } = this.#endpoint(id);
    this.#endpoints.delete(id);
    rules.remove();
    for (const address of addresses) {
      network.release(address, isRemote(object));
      network.overlay?.hostAddresses.delete(address);
    }
    if (nic === undefined) return;
    this.#vswitch?.unplug(nic);
    // It may have gone with its compartment.
    if (nic.netns.findDevice(nic.name) === nic) nic.remove();
  }

  /** `HcnAddNamespaceEndpoint`: the endpoint's vNIC appears in a container's compartment. @throws HcnError */
  addNamespaceEndpoint(netns: NetNamespace, id: string, nicName: string): void {
    const endpoint = this.#detached(id);
    const { object, addresses, rules } = endpoint;
    const guid = newGuid(this.#machine.random);
    const { encap } = endpoint.network.overlay ?? {};
    const port = this.#tables.containerPort(guid, `Container NIC ${id.slice(0, 8)}`, encap);
    this.#attach(netns, endpoint, port.port, nicName);
    endpoint.port = port;
    const node = this.#nodeAddresses();
    addEndpointRules(rules, port, { id, addresses, policies: object.Policies, node });
    addPortMappings(endpoint, this.#tables, node);
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
    const ID = newGuid(this.#machine.random);
    return this.#setLoadBalancer({ ...settings, ID, origin }).object;
  }

  /** Flows to endpoints that stay go on. @throws HcnError */
  updateLoadBalancer(id: string, settings: HcnLoadBalancerSettings): HostComputeLoadBalancer {
    const { object, policies } = this.#loadBalancer(id);
    const now = this.#setLoadBalancer({ ...settings, ID: id, origin: object.origin });
    for (const [i, old] of policies.entries()) old.replaceBy(now.policies[i]);
    return now.object;
  }

  /** @throws HcnError */
  deleteLoadBalancer(id: string): void {
    const { rules, policies, frontends } = this.#loadBalancer(id);
    rules.remove();
    for (const policy of policies) policy.replaceBy(undefined);
    for (const key of frontends) this.#frontends.delete(key);
    this.#loadBalancers.delete(id);
    this.#machine.network.touch();
  }

  // ---- endpoints, inside

  #attach(netns: NetNamespace, endpoint: HnsEndpoint, port: VfpPort, name: string): void {
    const vswitch = this.#vswitch as VSwitch;
    const { object, addresses, network } = endpoint;
    const overhead = network.overlay === undefined ? 0 : ENCAP_OVERHEAD;
    const mac = hcnMac(object.MacAddress);
    const nic = new VmNic(netns, {
      name,
      mac,
      mtu: vswitch.external.mtu - overhead,
      vswitch,
      port,
    });
    vswitch.plug(nic, port.isHost ? [] : addresses);
    nic.setUp();
    for (const address of addresses) nic.addAddress(address, network.lengthOf(address));
    for (const { DestinationPrefix, NextHop } of object.Routes) {
      netns.addRoute({ dst: hcnPrefix(DestinationPrefix), via: hcnAddress(NextHop), dev: nic });
    }
    endpoint.nic = nic;
    endpoint.object = { ...object, HostComputeNamespace: netns.name || "host" };
  }

  // ---- load balancers, inside

  /** Programs a new one, or a changed one in the place of the old. */
  #setLoadBalancer(object: HostComputeLoadBalancer): LoadBalancer {
    const frontends = this.#frontendsOf(object);
    const keys = frontends.flatMap((f) => object.PortMappings.map((m) => frontendKey(f, m)));
    this.#checkLoadBalancer(object, keys);
    const family = familyOfBalancer(object);
    const node = this.#nodeAddresses().find((a) => familyOf(a) === family);
    if (node === undefined) {
      throw new HcnError("INVALID_POLICY", `the node has no IPv${family} address`);
    }
    const backends = object.HostComputeEndpoints.flatMap((id) => {
      const { addresses, port } = this.#endpoint(id);
      return addresses.filter((a) => familyOf(a) === family).map((address) => ({ address, port }));
    });
    const sourceVip = object.SourceVIP === "" ? undefined : hcnAddress(object.SourceVIP);
    const before = this.#loadBalancers.get(object.ID);
    before?.rules.remove();
    for (const key of before?.frontends ?? []) this.#frontends.delete(key);
    for (const key of keys) this.#frontends.set(key, object.ID);
    const rules = new RuleSet();
    const facts = { family, frontends, sourceVip, backends, node };
    const policies = addLoadBalancerRules(rules, this.#tables, object, facts);
    const balancer = { object, rules, policies, frontends: keys };
    this.#loadBalancers.set(object.ID, balancer);
    this.#machine.network.touch();
    return balancer;
  }

  #checkLoadBalancer({ ID, PortMappings }: HostComputeLoadBalancer, keys: readonly string[]): void {
    for (const { Protocol } of PortMappings) {
      if (Protocol === IPPROTO_TCP || Protocol === IPPROTO_UDP) continue;
      throw new HcnError("INVALID_POLICY", `no load balancing of IP protocol ${Protocol}`);
    }
    for (const key of keys) {
      const other = this.#frontends.get(key) ?? ID;
      if (other === ID) continue;
      throw new HcnError("PORT_ALREADY_EXISTS", `load balancer ${other} answers to ${key}`);
    }
  }

  /** Without frontends, the node's addresses: a node port. */
  #frontendsOf(object: HostComputeLoadBalancer): IpAddress[] {
    if (object.FrontendVIPs.length > 0) return object.FrontendVIPs.map(hcnAddress);
    return this.#nodeAddresses().filter((a) => familyOf(a) === familyOfBalancer(object));
  }

  // ---- finding things

  /** Addresses of the host's own vNIC, or of the card while there is no switch, one of each family. */
  #nodeAddresses(): IpAddress[] {
    const { devices } = this.#machine.initNs;
    const dev = this.#vswitch?.management ?? devices.find((d) => d instanceof Nic);
    return ([4, 6] as const).flatMap((family) => {
      const found = dev?.addressesOf(family).find(({ scope }) => scope === 0);
      return found === undefined ? [] : [found.address];
    });
  }

  #network(id: string): HnsNetwork {
    const network = this.#networks.get(id);
    if (network !== undefined) return network;
    throw new HcnError("NETWORK_NOT_FOUND", `there is no network ${id}`);
  }

  #endpoint(id: string): HnsEndpoint {
    const endpoint = this.#endpoints.get(id);
    if (endpoint !== undefined) return endpoint;
    throw new HcnError("ENDPOINT_NOT_FOUND", `there is no endpoint ${id}`);
  }

  #detached(id: string): HnsEndpoint {
    const endpoint = this.#endpoint(id);
    if (endpoint.nic === undefined && !isRemote(endpoint.object)) return endpoint;
    throw new HcnError("ENDPOINT_ALREADY_ATTACHED", `endpoint ${id} is attached, or elsewhere`);
  }

  #loadBalancer(id: string): LoadBalancer {
    const found = this.#loadBalancers.get(id);
    if (found !== undefined) return found;
    throw new HcnError("LOAD_BALANCER_NOT_FOUND", `there is no load balancer ${id}`);
  }
}

function adapterOf({ Policies = [] }: HcnNetworkSettings): string | undefined {
  for (const policy of Policies) {
    if (policy.Type === "NetAdapterName") return policy.Settings.NetworkAdapterName;
  }
  return undefined;
}

function familyOfBalancer({ Flags }: HostComputeLoadBalancer): IpFamily {
  return (Flags & LoadBalancerFlagsIPv6) === 0 ? 4 : 6;
}

function frontendKey(address: IpAddress, mapping: LoadBalancerPortMapping): string {
  return `${formatEndpoint(address, mapping.ExternalPort)}/${mapping.Protocol}`;
}
