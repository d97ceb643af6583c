import {
  BRIDGE,
  type BridgeEngine,
  CNI_ERROR,
  CniError,
  type CniModel,
  type CniResult,
  NODE,
  type NodeContext,
  OVERLAY,
  type OverlayEngine,
  type PodAttachment,
  perNode,
} from "@cnilab/core";
import { type Kernel, type NetNamespace, Veth } from "@cnilab/linux";
import { addToIp, formatIp, type IpAddress, Prefix, parseIp } from "@cnilab/net";
import { BehaviorSubject, type Subscription } from "rxjs";

const GATEWAY = { 4: parseIp("169.254.1.1"), 6: parseIp("fe80::1") } as const;

/** A veth and a host route for each pod: as little network as a pod can have. */
class RoutedBridge implements BridgeEngine {
  readonly #node: NodeContext<Kernel>;
  readonly #held = new Map<string, readonly IpAddress[]>();
  readonly #inUse = new Set<IpAddress>();
  #next = 2;

  constructor(node: NodeContext<Kernel>) {
    this.#node = node;
  }

  attach({ containerId, ifName, sandbox, requestedIps }: PodAttachment): CniResult {
    const host = this.#node.machine.initNs;
    const netns = this.#node.machine.findNamespace(sandbox.path) as NetNamespace;
    const addresses = requestedIps ?? this.#free();
    const [veth, eth0] = Veth.pair(host, { name: `veth${containerId.slice(0, 8)}` }, netns, {
      name: ifName,
    });
    host.sysctl.set(`net/ipv4/conf/${veth.name}/proxy_arp`, 1);
    veth.setUp();
    eth0.setUp();
    for (const address of addresses) {
      const family = typeof address === "number" ? 4 : 6;
      const bits = family === 4 ? 32 : 128;
      eth0.addAddress(address, bits);
      if (family === 6) veth.addAddress(GATEWAY[6], 128);
      netns.addRoute({ dst: Prefix.host(GATEWAY[family]), dev: eth0 });
      netns.addRoute({
        dst: new Prefix(parseIp(family === 4 ? "0.0.0.0" : "::"), 0),
        via: GATEWAY[family],
        dev: eth0,
      });
      host.addRoute({ dst: Prefix.host(address), dev: veth });
      this.#inUse.add(address);
    }
    this.#held.set(containerId, addresses);
    return {
      cniVersion: "1.1.0",
      ips: addresses.map((a) => ({
        address: `${formatIp(a)}/${typeof a === "number" ? 32 : 128}`,
      })),
    };
  }

  detach({ containerId, sandbox }: PodAttachment): void {
    for (const address of this.#held.get(containerId) ?? []) this.#inUse.delete(address);
    this.#held.delete(containerId);
    this.#node.machine.findNamespace(sandbox.path)?.findDevice("eth0")?.remove();
  }

  check(): void {}

  #free(): readonly IpAddress[] {
    const ranges = this.#node.podCidrs();
    const first = ranges[0];
    if (first === undefined)
      throw new CniError(CNI_ERROR.tryAgainLater, "the node has no pod range");
    const room = Number(first.size > 65536n ? 65536n : first.size) - 3;
    for (let i = 0; i < room; i++) {
      const at = 2 + ((this.#next - 2 + i) % room);
      const addresses = ranges.map((r) => addToIp(r.address, at));
      if (addresses.some((a) => this.#inUse.has(a))) continue;
      this.#next = at + 1;
      return addresses;
    }
    throw new CniError(CNI_ERROR.generic, `no IP addresses available in ${first}`);
  }
}

/** Routes to the other nodes' ranges over the network that the nodes share. */
class StaticRoutes implements OverlayEngine {
  readonly name = "static-routes";
  readonly mtu = 1500;
  readonly ready = new BehaviorSubject(false);
  readonly #node: NodeContext<Kernel>;
  #subscription: Subscription | undefined;

  constructor(node: NodeContext<Kernel>) {
    this.#node = node;
  }

  start(): void {
    this.#subscription = this.#node.api.snapshots("Node").subscribe(({ objects }) => {
      for (const { metadata, spec, status } of objects.values()) {
        if (metadata.name === this.#node.name) continue;
        for (const range of spec?.podCIDRs ?? []) {
          const ours = status?.addresses?.find(
            (a) => a.type === "InternalIP" && a.address.includes(":") === range.includes(":"),
          );
          const slash = range.indexOf("/");
          const dst = new Prefix(parseIp(range.slice(0, slash)), Number(range.slice(slash + 1)));
          if (ours === undefined) continue;
          this.#node.machine.initNs.addRoute({ dst, via: parseIp(ours.address) }, "replace");
        }
      }
      this.ready.next(this.#node.podCidrs().length > 0);
    });
  }

  stop(): void {
    this.#subscription?.unsubscribe();
  }
}

/** The least CNI that a cluster can run with: no bridge, no tunnel, no address translation. */
export const routed: CniModel = {
  name: "routed",
  release: "-",
  description: "veth pairs and host routes",
  options: [],
  register(container) {
    const node = (c: typeof container) => c.resolve(NODE) as NodeContext<Kernel>;
    container.register(
      BRIDGE,
      perNode((c) => new RoutedBridge(node(c))),
    );
    container.register(
      OVERLAY,
      perNode((c) => new StaticRoutes(node(c))),
    );
  },
};
