import type { Cluster } from "@cnilab/cluster";
import type { ProxyMode } from "@cnilab/core";
import { type NetNamespace, Trace, UdpSocket } from "@cnilab/linux";
import { Data, type IpAddress } from "@cnilab/net";
import { addressOf, clusterIpOf, makeCluster, netnsOf } from "./cluster.ts";
import { cpuSeconds, perCpuSecond } from "./measure.ts";

export type Results = Record<string, number>;

const PAYLOAD = new Data(64);

/** From pod-1-0: to a pod of another node, to one on the same node, to a Service. */
export const PATHS = ["vxlan", "sameNode", "clusterip"] as const;

/** Deliveries between pods of 100 nodes × 10 pods: walked, traced, and repeated from the flow cache. */
export function packetResults(path: (typeof PATHS)[number]): Results {
  const cluster = makeCluster({ nodes: 100, podsPerNode: 10, services: 100 });
  const [to, port] = {
    vxlan: [addressOf(cluster, "pod-2-0"), 8080] as const,
    sameNode: [addressOf(cluster, "pod-1-1"), 8080] as const,
    clusterip: [clusterIpOf(cluster, "service-1"), 80] as const,
  }[path];
  const send = sender(cluster, new Sinks(cluster), to, port);
  return {
    [`${path}.walked.perCpuSecond`]: perCpuSecond((times) => send.walked(times)),
    [`${path}.traced.perCpuSecond`]: perCpuSecond((times) => send.traced(times)),
    [`${path}.repeated.perCpuSecond`]: perCpuSecond((times) => send.repeated(times)),
  };
}

/** CPU time of a connection's first packet through 10,000 Services, as a multiple of that through 100. */
export function firstPacketResults(): Results {
  return {
    "clusterip.firstPacket.times10000to100": firstPacketGrowth("iptables"),
    "clusterip.firstPacket.nftables.times10000to100": firstPacketGrowth("nftables"),
    "clusterip.firstPacket.ipvs.times10000to100": firstPacketGrowth("ipvs"),
  };
}

/** Deliveries through the last of few and of many virtual servers. */
export function ipvsResults(): Results {
  const results: Results = {};
  for (const services of [10, 10_000]) {
    const cluster = makeCluster({ nodes: 3, podsPerNode: 10, services }, { proxyMode: "ipvs" });
    const to = clusterIpOf(cluster, `service-${services - 1}`);
    const send = sender(cluster, new Sinks(cluster), to, 80);
    const name = `clusterip.ipvs.${services}`;
    results[`${name}.walked.perCpuSecond`] = perCpuSecond((times) => send.walked(times));
    results[`${name}.repeated.perCpuSecond`] = perCpuSecond((times) => send.repeated(times));
  }
  return results;
}

function firstPacketGrowth(mode: ProxyMode): number {
  const rounds = [100, 10_000].map((services) => firstPackets(mode, services));
  const best = rounds.map(() => Number.POSITIVE_INFINITY);
  // By turns, so that warming up and whatever else the machine does touch both alike.
  for (let i = 0; i < 10; i++) {
    rounds.forEach((round, k) => {
      best[k] = Math.min(best[k] as number, round());
    });
  }
  return (best[1] as number) / (best[0] as number);
}

/** CPU seconds for first packets of 1,000 connections to the last Service; calling it again forgets them before. */
function firstPackets(mode: ProxyMode, services: number): () => number {
  const cluster = makeCluster({ nodes: 3, podsPerNode: 10, services }, { proxyMode: mode });
  const netns = netnsOf(cluster, "pod-1-0");
  const dst = clusterIpOf(cluster, `service-${services - 1}`);
  return () => {
    for (const { kernel } of cluster.nodes.values()) forgetConnections(kernel.initNs);
    return cpuSeconds(() => {
      for (let i = 0; i < 1000; i++) {
        const socket = new UdpSocket(netns, { owner: "bench", localPort: 20_000 + i });
        socket.sendTo(dst, 80, PAYLOAD, {});
        socket.close();
      }
    });
  };
}

function forgetConnections(netns: NetNamespace): void {
  netns.conntrack?.flush();
  const virtual = netns.findIpvs()?.connections;
  for (const connection of virtual?.entries() ?? []) virtual?.expire(connection);
}

/** Counts what arrives on UDP port 8080 of any pod; the first datagram of each client is answered. */
class Sinks {
  received = 0;

  constructor(cluster: Cluster) {
    const known = new Set<IpAddress>();
    for (const node of cluster.nodes.values()) {
      for (const netns of node.kernel.namespaces) {
        const sink = new UdpSocket(netns, { owner: "sink", localPort: 8080 });
        sink.onReceive = ({ src, srcPort }) => {
          this.received++;
          if (known.has(src)) return;
          known.add(src);
          sink.sendTo(src, srcPort, PAYLOAD, {});
        };
      }
    }
  }
}

function sender(cluster: Cluster, sinks: Sinks, to: IpAddress, port: number) {
  const socket = new UdpSocket(netnsOf(cluster, "pod-1-0"), { owner: "bench" });
  const counted = (send: () => void) => (times: number) => {
    sinks.received = 0;
    for (let i = 0; i < times; i++) send();
    if (sinks.received !== times)
      throw new Error(`of ${times} datagrams ${sinks.received} arrived`);
  };
  // The first one resolves neighbours and makes conntrack entries.
  socket.sendTo(to, port, PAYLOAD, {});
  return {
    walked: counted(() => socket.sendTo(to, port, PAYLOAD, {})),
    traced: counted(() => socket.sendTo(to, port, PAYLOAD, { trace: new Trace() })),
    repeated: counted(() => socket.sendTo(to, port, PAYLOAD)),
  };
}
