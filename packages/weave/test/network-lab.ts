import type { VirtualClock } from "@cnilab/core";
import {
  Bridge,
  Datapath,
  type Exchange,
  exchange,
  type NetNamespace,
  Trace,
  type TraceStep,
  Veth,
} from "@cnilab/linux";
import { IPPROTO_ICMP, type Mac, parseIp, tryParseMac } from "@cnilab/net";
import { FastDatapath, type MeshOptions, type MeshRouter, NetworkRouter } from "../src/index.ts";
import { peerNumber } from "./golden/rings.ts";
import { MeshLab } from "./mesh-lab.ts";

/** As Weave's own default for fastdp. */
const MTU = 1376;

export interface FastdpNode {
  readonly netns: NetNamespace;
  readonly datapath: Datapath;
  readonly bridge: Bridge;
}

/** A weaver with fastdp alone. */
export interface FastdpPeer {
  readonly fastdp: FastDatapath;
  readonly mesh: MeshRouter;
  readonly router: NetworkRouter;
}

/** Machines as of {@link MeshLab}, each with the bridge `weave` and the datapath behind it, peers with fastdp, and containers. */
export class NetworkLab {
  readonly mesh: MeshLab;
  readonly peers: Map<number, FastdpPeer> = new Map();
  readonly #nodes = new Map<number, FastdpNode>();
  #containers = 0;

  constructor(seed = 1) {
    this.mesh = new MeshLab(seed);
  }

  get clock(): VirtualClock {
    return this.mesh.clock;
  }

  /** The devices of a node as weaver makes them (net/bridge.go). */
  node(host: number): FastdpNode {
    const known = this.#nodes.get(host);
    if (known !== undefined) return known;
    const netns = this.mesh.machine(host);
    const bridge = new Bridge(netns, { name: "weave" });
    bridge.setMac(tryParseMac(peerNumber(host)) as Mac);
    const [port, behind] = Veth.pair(netns, { name: "vethwe-bridge", mtu: MTU }, netns, {
      name: "vethwe-datapath",
      mtu: MTU,
    });
    const datapath = new Datapath(netns, "datapath");
    datapath.local.dev.setMtu(MTU);
    port.setMaster(bridge);
    datapath.addNetdev("vethwe-datapath");
    for (const dev of [port, behind, bridge, datapath.local.dev]) dev.setUp();
    const node = { netns, datapath, bridge };
    this.#nodes.set(host, node);
    return node;
  }

  /** A weaver starts, and seeks these. */
  start(host: number, to: readonly number[], more: Partial<MeshOptions> = {}): FastdpPeer {
    const { netns } = this.node(host);
    const { clock } = this;
    const fastdp = new FastDatapath({ netns, datapath: "datapath", clock });
    const { overlay, injectorConsumer } = fastdp;
    const mesh = this.mesh.make(host, { overlay, ...more });
    const router = new NetworkRouter({ clock, mesh, overlay, injectorConsumer });
    router.start();
    mesh.start(to.map(MeshLab.address));
    const peer = { fastdp, mesh, router };
    this.peers.set(host, peer);
    return peer;
  }

  /** A weaver dies. */
  kill(host: number): void {
    const peer = this.peers.get(host);
    this.peers.delete(host);
    this.mesh.routers.delete(host);
    peer?.mesh.stop();
    peer?.router.stop();
  }

  /** A container 10.32.0.N on a host. */
  container(host: number, number: number, mac?: Mac): NetNamespace {
    const { netns, bridge } = this.node(host);
    const id = ++this.#containers;
    const container = netns.kernel.addNamespace(`c${id}`);
    container.loopback.setUp();
    const [veth, ethwe] = Veth.pair(netns, { name: `vethwepl${id}`, mtu: MTU }, container, {
      name: "eth0",
      mtu: MTU,
      ...(mac !== undefined && { mac }),
    });
    veth.setMaster(bridge);
    veth.setUp();
    ethwe.setUp();
    ethwe.addAddress(parseIp(`10.32.0.${number}`), 12);
    return container;
  }

  ping(from: NetNamespace, number: number): Exchange & { readonly steps: readonly TraceStep[] } {
    const trace = new Trace();
    const dst = parseIp(`10.32.0.${number}`);
    const said = exchange(from, { protocol: IPPROTO_ICMP, dst, port: 0, trace });
    return { ...said, steps: trace.steps };
  }
}
