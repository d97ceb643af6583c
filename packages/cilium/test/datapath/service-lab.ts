import { type EndpointSlice, objectKey, type Service } from "@cnilab/core";
import { Kernel, type NetNamespace, Nic, startEchoServer } from "@cnilab/linux";
import { formatIp, IPPROTO_TCP, IPPROTO_UDP, type IpAddress, Prefix, parseIp } from "@cnilab/net";
import { NodeLb } from "../../src/agent/services/node-lb.ts";
import { ServiceStates } from "../../src/agent/services/service-states.ts";
import {
  DEFAULT_LOAD_BALANCER,
  type LoadBalancerConfig,
  type NodeConfig,
} from "../../src/datapath/node-config.ts";
import { socketPrograms } from "../../src/datapath/sock/socket-programs.ts";
import { maglevConfig } from "../../src/maglev/maglev-config.ts";
import { DatapathLab, type LabNode, type LabOptions, type LabPod } from "./datapath-lab.ts";

/** A small table: tests make many. */
const TABLE_SIZE = 251;

export interface ServiceLabOptions extends LabOptions {
  readonly lb?: Partial<LoadBalancerConfig>;
  readonly sourceRangeAllTypes?: boolean;
}

/** What a test says of one end; ready if nothing else. */
export interface End {
  readonly pod: LabPod;
  readonly conditions?: NonNullable<EndpointSlice["endpoints"][number]["conditions"]>;
}

/** A {@link DatapathLab} whose nodes' maps of the load balancer are written as agents do from Services. */
export class ServiceLab {
  readonly lab: DatapathLab;
  readonly lb: LoadBalancerConfig;
  readonly #states: ServiceStates;
  readonly #services = new Map<string, Service>();
  readonly #slices = new Map<string, readonly EndpointSlice[]>();
  readonly #nodes: { readonly node: LabNode; readonly lb: NodeLb }[] = [];
  #clients = 0;

  constructor(options: ServiceLabOptions = {}) {
    const { jhashSeed4, jhashSeed6 } = maglevConfig(TABLE_SIZE);
    this.lb = {
      ...DEFAULT_LOAD_BALANCER,
      nodePort: true,
      sessionAffinity: true,
      sourceRangeCheck: true,
      maglevTableSize: TABLE_SIZE,
      jhashSeed4,
      jhashSeed6,
      ...options.lb,
    };
    const config: Partial<NodeConfig> = { lb: this.lb, ...options.config };
    this.lab = new DatapathLab({ ...options, config });
    const { mode, algorithm, modeAnnotation, algorithmAnnotation, externalClusterIp } = this.lb;
    this.#states = new ServiceStates(this.lab.network, {
      families: [this.lab.family],
      nodePort: true,
      hostPorts: true,
      sessionAffinity: true,
      mode,
      algorithm,
      maglev: maglevConfig(TABLE_SIZE),
      annotations: { mode: modeAnnotation, algorithm: algorithmAnnotation },
      externalClusterIp,
      sourceRanges: true,
      sourceRangeAllTypes: options.sourceRangeAllTypes ?? false,
      serviceTopology: false,
      nodePortRange: { first: 30_000, last: 32_767 },
      mapMax: 65_536,
    });
  }

  node(): LabNode {
    const node = this.lab.node();
    const { maps, config } = node;
    this.#nodes.push({ node, lb: new NodeLb(maps) });
    const { cgroup } = node.netns.kernel.bpf;
    const { addresses, sockets } = socketPrograms({ maps, config });
    for (const [hook, program] of addresses) cgroup.attach(hook, program);
    for (const [hook, program] of sockets) cgroup.attach(hook, program);
    return node;
  }

  /** A machine on the segment that runs no Cilium, and sends to services through one of the nodes. */
  client(via: LabNode, ...services: readonly string[]): NetNamespace {
    const number = 200 + this.#clients++;
    const { initNs } = new Kernel(this.lab.network, `client${number}`);
    initNs.loopback.setUp();
    const mac = 0x020000000000 + number;
    const eth0 = new Nic(initNs, { name: "eth0", mac, segment: this.lab.segment });
    eth0.setUp();
    eth0.addAddress(this.clientAddress(number - 200), this.lab.family === 4 ? 24 : 64);
    for (const dst of services) {
      initNs.addRoute({ dst: prefixOf(dst), via: via.address });
    }
    return initNs;
  }

  clientAddress(number: number): IpAddress {
    return this.lab.nodeAddress(100 + number);
  }

  /** Writes a Service and its backends to all nodes' maps. */
  put(name: string, of: Partial<Service> & Pick<Service, "spec">, ends: readonly End[]): void {
    const service: Service = {
      apiVersion: "v1",
      kind: "Service",
      ...of,
      metadata: { name, namespace: "default", ...of.metadata },
    };
    const key = objectKey(service);
    this.#services.set(key, service);
    this.#slices.set(key, [this.#slice(name, ends)]);
    this.sync();
  }

  remove(name: string): void {
    this.#services.delete(`default/${name}`);
    this.#slices.delete(`default/${name}`);
    this.sync();
  }

  sync(): void {
    const state = this.#states.make(this.#services.values(), this.#slices);
    for (const { node, lb } of this.#nodes) {
      lb.sync(state, {
        place: { node: node.name, zone: undefined },
        labels: {},
        addresses: [node.address],
        hostPorts: [],
      });
    }
  }

  #slice(name: string, ends: readonly End[]): EndpointSlice {
    return {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: `${name}-1`, namespace: "default" },
      addressType: this.lab.family === 4 ? "IPv4" : "IPv6",
      ports: [
        { name: "tcp", port: 8080, protocol: "TCP" },
        { name: "udp", port: 8080, protocol: "UDP" },
        { name: "sctp", port: 8080, protocol: "SCTP" },
      ],
      endpoints: ends.map(({ pod, conditions = { ready: true } }) => ({
        addresses: [formatIp(pod.address)],
        nodeName: pod.node.name,
        conditions,
      })),
    };
  }

  /** A pod that answers at 8080, as backends of all services here do. */
  backend(node: LabNode, identity: number): LabPod {
    const pod = node.pod(identity);
    const owner = `pod-${formatIp(pod.address)}`;
    for (const protocol of [IPPROTO_TCP, IPPROTO_UDP]) {
      startEchoServer(pod.netns, { protocol, port: 8080, owner });
    }
    return pod;
  }
}

function prefixOf(text: string) {
  const address = parseIp(text);
  return Prefix.host(address);
}

export const CLUSTER_IP = { 4: "10.96.0.10", 6: "fd00:96::10" } as const;
export const VIRTUAL_IP = { 4: "203.0.113.7", 6: "2001:db8::7" } as const;
export const NODE_PORT = 30_080;

/** A Service at a cluster address, and at all of what is asked for here. */
export function serviceSpec(family: 4 | 6, of: Partial<Service["spec"]> = {}): Service["spec"] {
  return {
    clusterIP: CLUSTER_IP[family],
    clusterIPs: [CLUSTER_IP[family]],
    ipFamilies: [family === 4 ? "IPv4" : "IPv6"],
    ports: [
      { name: "tcp", port: 80, protocol: "TCP", nodePort: NODE_PORT },
      { name: "udp", port: 80, protocol: "UDP", nodePort: NODE_PORT },
    ],
    ...of,
  };
}
