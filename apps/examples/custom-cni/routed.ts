import {
  BRIDGE,
  type BridgeEngine,
  CNI_ERROR,
  CniError,
  type CniModel,
  type CniResult,
  IPAM,
  type IpamEngine,
  type IpamRequest,
  type IpamResult,
  NODE,
  type Node,
  type NodeContext,
  OVERLAY,
  type OverlayEngine,
  type PodAttachment,
  perNode,
} from "@cnilab/core";
import { type Kernel, RT_SCOPE_LINK, Veth } from "@cnilab/linux";
import {
  addressBits,
  addToIp,
  familyOf,
  formatIp,
  type IpAddress,
  isLinkLocal,
  Prefix,
  parseIp,
  parsePrefix,
  tryParseIp,
  tryParsePrefix,
} from "@cnilab/net";
import { BehaviorSubject, type Subscription } from "rxjs";

type LinuxNode = NodeContext<Kernel>;

/** The gateway that every pod asks for and nobody has: the node answers by proxy ARP. */
const GATEWAY = parseIp("169.254.1.1");
const ANYWHERE = { 4: parsePrefix("0.0.0.0/0"), 6: parsePrefix("::/0") } as const;

/** Addresses one after the other, from the node's ranges. */
class NextAddress implements IpamEngine {
  readonly #node: LinuxNode;
  readonly #held = new Map<IpAddress, string>();

  constructor(node: LinuxNode) {
    this.#node = node;
  }

  allocate({ containerId, requested = [] }: IpamRequest): IpamResult {
    const addresses = this.#node.podCidrs().map((range) => {
      const address = requested.find((a) => familyOf(a) === range.family) ?? this.#free(range);
      return { address, length: addressBits(range.family) };
    });
    if (addresses.length === 0) {
      throw new CniError(CNI_ERROR.tryAgainLater, "the node has no pod range yet");
    }
    for (const { address } of addresses) this.#held.set(address, containerId);
    return { ips: addresses.map((address) => ({ address })), routes: [] };
  }

  release(containerId: string): void {
    for (const [address, owner] of this.#held) {
      if (owner === containerId) this.#held.delete(address);
    }
  }

  check(containerId: string): void {
    if ([...this.#held.values()].includes(containerId)) return;
    throw new CniError(CNI_ERROR.generic, `${containerId} holds no address`);
  }

  #free(range: Prefix): IpAddress {
    for (let at = addToIp(range.address, 1); range.contains(at); at = addToIp(at, 1)) {
      if (!this.#held.has(at)) return at;
    }
    throw new CniError(CNI_ERROR.generic, `no free address left in ${range}`);
  }
}

/** Joins a pod by a veth of its own: no bridge, a host route to the pod, proxy ARP for its gateway. */
class RoutedVeth implements BridgeEngine {
  readonly #node: LinuxNode;
  readonly #ipam: IpamEngine;

  constructor(node: LinuxNode, ipam: IpamEngine) {
    this.#node = node;
    this.#ipam = ipam;
  }

  attach({ containerId, ifName, sandbox, pod, requestedIps }: PodAttachment): CniResult {
    const host = this.#node.machine.initNs;
    const netns = this.#node.machine.findNamespace(sandbox.path);
    if (netns === undefined) throw new CniError(CNI_ERROR.containerUnknown, sandbox.path);
    const { ips } = this.#ipam.allocate({
      containerId,
      ifName,
      pod,
      requested: requestedIps ?? [],
    });
    const name = vethName(containerId);
    const [outer, inner] = Veth.pair(host, { name }, netns, { name: ifName });
    outer.setUp();
    inner.setUp();
    host.sysctl.set(`net/ipv4/conf/${outer.name}/proxy_arp`, 1);
    for (const { address: ip } of ips) {
      const family = familyOf(ip.address);
      inner.addAddress(ip.address, ip.length);
      const gateway = family === 4 ? GATEWAY : linkLocalAddress(outer);
      netns.addRoute({ dst: Prefix.host(gateway), dev: inner, scope: RT_SCOPE_LINK });
      netns.addRoute({ dst: ANYWHERE[family], via: gateway, dev: inner });
      host.addRoute({ dst: Prefix.host(ip.address), dev: outer });
    }
    return {
      cniVersion: "1.1.0",
      interfaces: [{ name: outer.name }, { name: ifName, sandbox: sandbox.path, mtu: inner.mtu }],
      ips: ips.map(({ address: { address, length } }) => ({
        interface: 1,
        address: `${formatIp(address)}/${length}`,
      })),
    };
  }

  detach({ containerId, ifName }: PodAttachment): void {
    // The routes go with the device.
    this.#node.machine.initNs.findDevice(vethName(containerId))?.remove();
    this.#ipam.release(containerId, ifName);
  }

  check({ containerId, ifName }: PodAttachment): void {
    this.#node.machine.initNs.device(vethName(containerId));
    this.#ipam.check(containerId, ifName);
  }
}

/** Gives the node a route to every other node's pods, by that node's own address. */
class NodeRoutes implements OverlayEngine {
  readonly name = "routed";
  readonly mtu = 1500;
  readonly ready = new BehaviorSubject(false);
  readonly #node: LinuxNode;
  #subscription: Subscription | undefined;

  constructor(node: LinuxNode) {
    this.#node = node;
  }

  start(): void {
    const { initNs } = this.#node.machine;
    initNs.sysctl.set("net/ipv4/ip_forward", 1);
    initNs.sysctl.set("net/ipv6/conf/all/forwarding", 1);
    this.#subscription = this.#node.api.watch("Node").subscribe(({ type, object }) => {
      if (object.metadata.name === this.#node.name) return;
      for (const route of routesTo(object)) {
        if (type === "DELETED") initNs.deleteRoute(route);
        else initNs.addRoute(route, "replace");
      }
    });
    this.ready.next(true);
  }

  stop(): void {
    this.#subscription?.unsubscribe();
  }
}

/** Where a node's pods are: each of its ranges, by its address of the same family. */
function routesTo(node: Node): { readonly dst: Prefix; readonly via: IpAddress }[] {
  const addresses = (node.status?.addresses ?? []).flatMap((a) => tryParseIp(a.address) ?? []);
  return (node.spec?.podCIDRs ?? []).flatMap((text) => {
    const dst = tryParsePrefix(text);
    const via = addresses.find((a) => familyOf(a) === dst?.family);
    return dst === undefined || via === undefined ? [] : [{ dst, via }];
  });
}

function linkLocalAddress(dev: Veth): IpAddress {
  const own = dev.addresses.find(({ address }) => isLinkLocal(address));
  if (own === undefined) throw new CniError(CNI_ERROR.generic, `${dev.name} has no IPv6`);
  return own.address;
}

function vethName(containerId: string): string {
  return `rt${containerId.slice(0, 12)}`;
}

export const routed: CniModel = {
  name: "routed",
  release: "-",
  description: "Each pod behind a veth of its own: /32 routes and proxy ARP, no bridge, no tunnel",
  options: [],
  register(container) {
    const node = (c: typeof container) => c.resolve(NODE) as LinuxNode;
    container.register(
      IPAM,
      perNode((c) => new NextAddress(node(c))),
    );
    container.register(
      BRIDGE,
      perNode((c) => new RoutedVeth(node(c), c.resolve(IPAM))),
    );
    container.register(
      OVERLAY,
      perNode((c) => new NodeRoutes(node(c))),
    );
  },
};

export default routed;
