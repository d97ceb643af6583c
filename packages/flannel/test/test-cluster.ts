import { type Node, SeededRandom, VirtualClock } from "@cnilab/core";
import {
  type AnnotationNames,
  annotationNames,
  DEFAULT_OPTIONS,
  Flanneld,
  type FlanneldOptions,
  KubeSubnetManager,
  type NetConf,
  NodeLeases,
  parseNetConf,
} from "@cnilab/flannel";
import { Bridge, Kernel, type NetNamespace, Network, Nic, Segment, Veth } from "@cnilab/linux";
import { addToIp, type IpAddress, Prefix, parseIp, parsePrefix } from "@cnilab/net";
import { WindowsMachine } from "@cnilab/windows";
import { NodeApi } from "./node-api.ts";

export interface TestNode {
  readonly name: string;
  readonly kernel: Kernel;
  readonly flanneld: Flanneld;
  /** A namespace behind `cni0`, as the CNI plugins make it. */
  pod(): NetNamespace;
}

export interface TestClusterOptions {
  readonly backend: object;
  readonly families?: readonly (4 | 6)[];
  readonly nftables?: boolean;
  readonly nodes?: number;
  readonly options?: Partial<FlanneldOptions>;
  /** The IPv4 network; a wider one for more than 255 nodes. */
  readonly network?: string;
  /** Numbers of nodes that run Windows. */
  readonly windows?: readonly number[];
}

/** Nodes on one link, with Node objects, and flanneld on each; nothing else of Kubernetes. */
export class TestCluster {
  readonly clock: VirtualClock = new VirtualClock();
  readonly api: NodeApi = new NodeApi(this.clock);
  readonly network: Network = new Network(this.clock, new SeededRandom(1));
  readonly segment: Segment = new Segment(this.network, "underlay");
  readonly names: AnnotationNames = annotationNames(DEFAULT_OPTIONS.kubeAnnotationPrefix);
  readonly conf: NetConf;
  readonly leases: NodeLeases;
  readonly nodes: TestNode[] = [];
  readonly #families: readonly (4 | 6)[];
  readonly #options: FlanneldOptions;
  readonly #network: string;
  readonly #windows: readonly number[];

  constructor({
    backend,
    families = [4],
    nftables = false,
    nodes = 2,
    options,
    network = "10.244.0.0/16",
    windows = [],
  }: TestClusterOptions) {
    this.#windows = windows;
    this.#network = network;
    this.#families = families;
    this.#options = { ...DEFAULT_OPTIONS, ipMasq: true, ...options };
    this.conf = this.#netConf(backend, nftables);
    this.leases = new NodeLeases(this.names, this.conf);
    for (let n = 1; n <= nodes; n++) this.addNode(n);
    for (const node of this.nodes) node.flanneld.start();
    this.clock.settle();
  }

  #netConf(backend: object, nftables: boolean): NetConf {
    return parseNetConf({
      EnableIPv4: this.#families.includes(4),
      EnableIPv6: this.#families.includes(6),
      EnableNFTables: nftables,
      Network: this.#network,
      IPv6Network: "2001:db8:42::/48",
      Backend: backend,
    });
  }

  /** Stops a node's flanneld and starts one with another configuration. */
  reconfigure(n: number, backend: object, nftables = false): void {
    const old = this.node(n);
    old.flanneld.stop();
    const flanneld = this.#flanneld(old.kernel, this.#netConf(backend, nftables));
    this.nodes[n - 1] = { ...old, flanneld };
    flanneld.start();
    this.clock.settle();
  }

  #flanneld(kernel: Kernel, conf: NetConf): Flanneld {
    const { hostname } = kernel;
    return new Flanneld({
      netns: kernel.initNs,
      files: kernel.files,
      clock: this.clock,
      random: this.network.random.fork(hostname),
      conf,
      options: this.#options,
      subnetManager: () => new KubeSubnetManager(this.api.client, hostname, conf, this.leases),
    });
  }

  node(n: number): TestNode {
    const node = this.nodes[n - 1];
    if (node === undefined) throw new Error(`no node ${n}`);
    return node;
  }

  /** A machine that has the addresses of `n`, and its Node object; its flanneld is not started. */
  addNode(n: number): TestNode {
    const name = `node${n}`;
    const runsWindows = this.#windows.includes(n);
    const kernel = runsWindows
      ? new WindowsMachine(this.network, name)
      : new Kernel(this.network, name);
    const { initNs } = kernel;
    initNs.loopback.setUp();
    const card = runsWindows ? "Ethernet" : "eth0";
    const eth0 = new Nic(initNs, { name: card, segment: this.segment });
    eth0.setUp();
    eth0.addAddress(addToIp(parseIp("192.168.0.10"), n), 16);
    initNs.addRoute({ dst: parsePrefix("0.0.0.0/0"), via: parseIp("192.168.0.1"), dev: eth0 });
    if (this.#families.includes(6)) {
      eth0.addAddress(parseIp(`fd50::${10 + n}`), 64);
      initNs.addRoute({ dst: parsePrefix("::/0"), via: parseIp("fd50::1"), dev: eth0 });
    }
    if (!runsWindows) {
      initNs.sysctl.set("net/ipv4/ip_forward", 1);
      initNs.sysctl.set("net/ipv6/conf/all/forwarding", 1);
    }
    this.api.put(this.#nodeObject(n));
    const flanneld = this.#flanneld(kernel, this.conf);
    const node = { name, kernel, flanneld, pod: () => this.#pod(kernel, n) };
    this.nodes.push(node);
    return node;
  }

  #nodeObject(n: number): Node {
    const podCIDRs = this.#families.map((f) => String(podCidr(n, f)));
    return {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name: `node${n}`, uid: `uid-${n}` },
      spec: { podCIDR: podCIDRs[0] as string, podCIDRs },
    };
  }

  /** Changes a node's annotations; `undefined` takes one away. */
  annotate(n: number, changes: Readonly<Record<string, string | undefined>>): void {
    this.api.update("Node", `node${n}`, (node) => {
      const annotations: Record<string, string> = { ...node.metadata.annotations };
      for (const [key, value] of Object.entries(changes)) {
        if (value === undefined) delete annotations[key];
        else annotations[key] = value;
      }
      return { ...node, metadata: { ...node.metadata, annotations } };
    });
    this.clock.settle();
  }

  #pod(kernel: Kernel, n: number): NetNamespace {
    const { initNs } = kernel;
    const mtu = this.nodes[n - 1]?.flanneld.mtu ?? 1500;
    const cni0 = new Bridge(initNs, { name: "cni0", mtu });
    cni0.setUp();
    const netns = kernel.addNamespace("pod");
    netns.loopback.setUp();
    const [eth0, port] = Veth.pair(netns, { name: "eth0", mtu }, initNs, { name: "veth0", mtu });
    port.setMaster(cni0);
    port.setUp();
    eth0.setUp();
    for (const family of this.#families) {
      const cidr = podCidr(n, family);
      cni0.addAddress(addToIp(cidr.address, 1), cidr.length);
      eth0.addAddress(addToIp(cidr.address, 2), cidr.length);
      const all = new Prefix(cidr.address, 0);
      netns.addRoute({ dst: all, via: addToIp(cidr.address, 1), dev: eth0 });
    }
    return netns;
  }
}

/** The range of node `n`: 10.244.n.0/24 or 2001:db8:42:n::/64; from node 256 on 10.1.0.0/24 and so on. */
export function podCidr(n: number, family: 4 | 6): Prefix {
  if (family === 6) return parsePrefix(`2001:db8:42:${n.toString(16)}::/64`);
  return parsePrefix(`10.${n < 256 ? 244 : n >> 8}.${n & 255}.0/24`);
}

/** The only pod on node `n`. */
export function podAddress(n: number, family: 4 | 6): IpAddress {
  return addToIp(podCidr(n, family).address, 2);
}
