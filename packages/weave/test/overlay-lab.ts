import type { VirtualClock } from "@cnilab/core";
import {
  Bridge,
  Datapath,
  type Exchange,
  type ExchangeRequest,
  exchange,
  type NetNamespace,
  Trace,
  type TraceStep,
  Veth,
} from "@cnilab/linux";
import { parseIp } from "@cnilab/net";
import {
  FastDatapath,
  type InjectorConsumer,
  IpsecTunnels,
  type MeshOptions,
  type MeshRouter,
  NetworkRouter,
  type OverlayForwarder,
  OverlaySwitch,
  Pcap,
  SleeveOverlay,
} from "../src/index.ts";
import { peerNumber } from "./golden/rings.ts";
import { MeshLab } from "./mesh-lab.ts";

/** Bytes that containers may send by their devices, as weaver sets them. */
const FASTDP_MTU = 1376;
const PCAP_MTU = 65_535;

export interface OverlayPeer {
  readonly mesh: MeshRouter;
  readonly router: NetworkRouter;
}

/** Machines as of {@link MeshLab} with all that a weaver has there but IPAM, and containers. */
export class OverlayLab {
  readonly mesh: MeshLab;
  readonly peers: Map<number, OverlayPeer> = new Map();
  readonly #fastdp: boolean;
  readonly #mtu: number;
  #containers = 0;

  constructor(options: { readonly fastdp: boolean; readonly seed?: number }) {
    this.mesh = new MeshLab(options.seed ?? 1);
    this.#fastdp = options.fastdp;
    this.#mtu = options.fastdp ? FASTDP_MTU : PCAP_MTU;
  }

  get clock(): VirtualClock {
    return this.mesh.clock;
  }

  machine(host: number): NetNamespace {
    return this.mesh.machine(host);
  }

  start(host: number, to: readonly number[], more: Partial<MeshOptions> = {}): OverlayPeer {
    const netns = this.machine(host);
    const { clock } = this;
    const bridge = new Bridge(netns, { name: "weave" });
    const peerName = this.#fastdp ? "vethwe-datapath" : "vethwe-pcap";
    const ends = { mtu: this.#mtu };
    const [port, behind] = Veth.pair(netns, { name: "vethwe-bridge", ...ends }, netns, {
      name: peerName,
      ...ends,
    });
    port.setMaster(bridge);
    for (const dev of [bridge, port, behind]) dev.setUp();
    const overlay = new OverlaySwitch();
    let injectorConsumer: InjectorConsumer = new Pcap(behind);
    if (this.#fastdp) {
      const datapath = new Datapath(netns, "datapath");
      datapath.local.dev.setMtu(this.#mtu);
      datapath.local.dev.setUp();
      datapath.addNetdev(peerName);
      const ipsec = new IpsecTunnels(netns, this.mesh.network.random.fork(`ipsec${host}`));
      const secret = more.password === undefined ? {} : { ipsec };
      const fastdp = new FastDatapath({ netns, datapath: "datapath", clock, ...secret });
      overlay.add("fastdp", fastdp.overlay);
      injectorConsumer = fastdp.injectorConsumer;
    }
    overlay.add("sleeve", new SleeveOverlay({ netns, clock, device: behind }));
    const mesh = this.mesh.make(host, { overlay, ...more });
    const router = new NetworkRouter({ clock, mesh, overlay, injectorConsumer });
    router.start();
    mesh.start(to.map(MeshLab.address));
    const peer = { mesh, router };
    this.peers.set(host, peer);
    return peer;
  }

  connection(host: number, to: number): OverlayForwarder | undefined {
    const connection = this.peers.get(host)?.mesh.connections.get(peerNumber(to));
    return connection?.overlayConnection as OverlayForwarder | undefined;
  }

  /** Which overlay each connection uses, as `1>2 fastdp`. */
  get overlays(): string[] {
    return [...this.peers].flatMap(([host, { mesh }]) =>
      [...mesh.connections]
        .filter(([, { isEstablished }]) => isEstablished)
        .map(
          ([name, { overlayName }]) =>
            `${host}>${Number.parseInt(name.slice(-2), 16)} ${overlayName}`,
        )
        .sort(),
    );
  }

  /** A container 10.32.0.N on a host. */
  container(host: number, number: number): NetNamespace {
    const netns = this.machine(host);
    const id = ++this.#containers;
    const container = netns.kernel.addNamespace(`c${id}`);
    container.loopback.setUp();
    const [veth, eth0] = Veth.pair(netns, { name: `vethwepl${id}`, mtu: this.#mtu }, container, {
      name: "eth0",
      mtu: this.#mtu,
    });
    veth.setMaster(netns.device("weave") as Bridge);
    veth.setUp();
    eth0.setUp();
    eth0.addAddress(parseIp(`10.32.0.${number}`), 12);
    return container;
  }

  ask(
    from: NetNamespace,
    number: number,
    request: Omit<ExchangeRequest, "dst" | "trace">,
  ): Exchange & { readonly steps: readonly TraceStep[] } {
    const trace = new Trace();
    const said = exchange(from, { ...request, dst: parseIp(`10.32.0.${number}`), trace });
    return { ...said, steps: trace.steps };
  }
}
