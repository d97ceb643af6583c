import { SeededRandom, VirtualClock } from "@cnilab/core";
import { Bridge, Kernel, Network, Veth } from "@cnilab/linux";
import { maskIp, parseIp, parsePrefix, tryParseMac } from "@cnilab/net";
import type { Expected, Input } from "./case.ts";

/** Nodes as the recorder had them: each by a veth on the bridge of its network, and a router between these. */
export class Underlay {
  readonly clock: VirtualClock = new VirtualClock();
  readonly nodes: ReadonlyMap<string, Kernel>;
  readonly #network = new Network(this.clock, new SeededRandom(1));
  readonly #router: Kernel;

  constructor(input: Input, expected: Expected) {
    this.#router = new Kernel(this.#network, "router");
    this.#router.initNs.loopback.setUp();
    this.#router.initNs.sysctl.set("net/ipv4/ip_forward", 1);
    this.#router.initNs.sysctl.set("net/ipv6/conf/all/forwarding", 1);
    const nodes = new Map<string, Kernel>();
    for (const [name, address] of Object.entries(input.nodes)) {
      const link = expected.after_start[name]?.links.find((l) => l["ifname"] === "eth0");
      nodes.set(name, this.#addNode(name, address, String(link?.["address"]), input.underlayMtu));
      const v6 = expected.after_start[name]?.addrs.find((a) => String(a["local"]).startsWith("fd"));
      if (v6 !== undefined) this.#addIpv6(nodes.get(name) as Kernel, String(v6["local"]));
    }
    this.nodes = nodes;
  }

  #addNode(name: string, text: string, macText: string, mtu: number): Kernel {
    const kernel = new Kernel(this.#network, name);
    const { initNs } = kernel;
    initNs.loopback.setUp();
    const address = parseIp(text);
    const mac = tryParseMac(macText);
    const [eth0, port] = Veth.pair(
      initNs,
      { name: "eth0", mtu, ...(mac === undefined ? {} : { mac }) },
      this.#router.initNs,
      { name: `to-${name}`, mtu },
    );
    port.setMaster(this.#bridge(text));
    port.setUp();
    eth0.addAddress(address, 24);
    eth0.setUp();
    const gateway = parseIp(text.replace(/\d+$/, "1"));
    initNs.addRoute({ dst: parsePrefix("0.0.0.0/0"), via: gateway, dev: eth0 });
    return kernel;
  }

  #addIpv6(kernel: Kernel, text: string): void {
    const eth0 = kernel.initNs.device("eth0");
    const address = parseIp(text);
    eth0.addAddress(address, 64, { nodad: true });
    kernel.initNs.addRoute({ dst: parsePrefix("::/0"), via: parseIp("fd50::1"), dev: eth0 });
  }

  /** The bridge of a node's network, where the router has the first address. */
  #bridge(node: string): Bridge {
    const { initNs } = this.#router;
    const third = node.split(".")[2] as string;
    const existing = initNs.findDevice(`br${third}`);
    if (existing instanceof Bridge) return existing;
    const bridge = new Bridge(initNs, { name: `br${third}` });
    const network = maskIp(parseIp(node), 24);
    bridge.addAddress((network as number) + 1, 24);
    bridge.addAddress(parseIp(`fd${third}::1`), 64, { nodad: true });
    bridge.setUp();
    return bridge;
  }
}
