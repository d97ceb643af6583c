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
  Prefix,
  parseIp,
  tryParseIp,
  tryParsePrefix,
} from "@cnilab/net";
import { BehaviorSubject, type Subscription } from "rxjs";

type LinuxNode = NodeContext<Kernel>;

/** Every pod's gateway. Nobody has the first one: the node answers for it by proxy ARP. */
const GATEWAY = { 4: parseIp("169.254.1.1"), 6: parseIp("fe80::1") } as const;

/** Addresses one after the other, from the node's ranges. */
class NextAddress implements IpamEngine {
  readonly #node: LinuxNode;
  readonly #held = new Map<IpAddress, string>();

  constructor(node: LinuxNode) {
    this.#node = node;
  }

  allocate({ containerId, requested = [] }: IpamRequest): IpamResult {
    const ips = this.#node.podCidrs().map((range) => {
      const address = requested.find((a) => familyOf(a) === range.family) ?? this.#free(range);
      return { address: { address, length: addressBits(range.family) } };
    });
    if (ips.length === 0) throw new CniError(CNI_ERROR.tryAgainLater, "no pod range yet");
    for (const { address } of ips) this.#held.set(address.address, containerId);
    return { ips, routes: [] };
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

  attach({ containerId, ifName, sandbox, pod, requestedIps = [] }: PodAttachment): CniResult {
    const host = this.#node.machine.initNs;
    const netns = this.#node.machine.findNamespace(sandbox.path);
    if (netns === undefined) throw new CniError(CNI_ERROR.containerUnknown, sandbox.path);
    const { ips } = this.#ipam.allocate({ containerId, ifName, pod, requested: requestedIps });
    const [outer, inner] = Veth.pair(host, { name: vethName(containerId) }, netns, {
      name: ifName,
    });
    outer.setUp();
    inner.setUp();
    host.sysctl.set(`net/ipv4/conf/${outer.name}/proxy_arp`, 1);
    outer.addAddress(GATEWAY[6], 64);
    for (const { address: own } of ips) {
      const via = GATEWAY[familyOf(own.address)];
      inner.addAddress(own.address, own.length);
      netns.addRoute({ dst: Prefix.host(via), dev: inner, scope: RT_SCOPE_LINK });
      netns.addRoute({ dst: new Prefix(via, 0), via, dev: inner });
      host.addRoute({ dst: Prefix.host(own.address), dev: outer });
    }
    return {
      cniVersion: "1.1.0",
      interfaces: [{ name: outer.name }, { name: ifName, sandbox: sandbox.path }],
      ips: ips.map(({ address: own }) => ({
        interface: 1,
        address: `${formatIp(own.address)}/${own.length}`,
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

/** Gives the node a route to every other node's pods, and its own address to pods that leave the cluster. */
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
    for (const pods of this.#node.config.clusterCidrs) {
      const leaves = `-s ${pods} ! -d ${pods} -j MASQUERADE`;
      initNs.iptables(pods.family).append("nat", "POSTROUTING", leaves);
    }
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

function vethName(containerId: string): string {
  return `rt${containerId.slice(0, 12)}`;
}

export const routed: CniModel = {
  name: "routed",
  release: "-",
  description: "Each pod behind a veth of its own: /32 routes and proxy ARP, no bridge, no tunnel",
  options: [],
  register(root) {
    const ipam = perNode((c) => new NextAddress(c.resolve(NODE) as LinuxNode));
    const bridge = perNode((c) => new RoutedVeth(c.resolve(NODE) as LinuxNode, c.resolve(IPAM)));
    const overlay = perNode((c) => new NodeRoutes(c.resolve(NODE) as LinuxNode));
    root.register(IPAM, ipam);
    root.register(BRIDGE, bridge);
    root.register(OVERLAY, overlay);
  },
};

export default routed;
