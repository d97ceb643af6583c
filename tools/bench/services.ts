import type { KubeObject } from "@cnilab/core";
import { SeededRandom, VirtualClock } from "@cnilab/core";
import { DEFAULT_CONFIG, type KubeProxyMode, StandAloneKubeProxy } from "@cnilab/kube-proxy";
import { Dummy, Kernel, type NetNamespace, Network, Trace, UdpSocket } from "@cnilab/linux";
import { Data, parseIp, parsePrefix } from "@cnilab/net";
import { cpuSeconds } from "./measure.ts";
import type { Results } from "./packets.ts";

const MODES: readonly KubeProxyMode[] = ["iptables", "nftables", "ipvs"];
const COUNTS = [100, 1000, 10_000];
const CHANGES = 5;

/**
 * What kube-proxy's syncs cost with three endpoints a Service: the first one, and one after a change of
 * one Service's endpoints; and how many rules the first packet of a connection to the last Service
 * meets.
 */
export function serviceResults(): Results {
  const results: Results = {};
  for (const mode of MODES) {
    for (const count of COUNTS) {
      const name = `services.${mode}.${count}`;
      const netns = machine();
      const config = { ...DEFAULT_CONFIG, clusterCIDRs: ["10.244.0.0/16"], mode };
      const proxy = new StandAloneKubeProxy(netns, "node1", config);
      const objects = Array.from({ length: count }, (_, i) => service(i, 3));
      results[`${name}.firstSync.cpuMs`] = cpuSeconds(() => proxy.apply(objects.flat())) * 1000;
      const changes = cpuSeconds(() => {
        for (let i = 0; i < CHANGES; i++) {
          objects[0] = [(objects[0] as KubeObject[])[0] as KubeObject, slice(0, 1 + (i % 3))];
          proxy.apply(objects.flat());
        }
      });
      results[`${name}.nextSync.cpuMs`] = (changes / CHANGES) * 1000;
      results[`${name}.rulesEvaluated`] = rulesEvaluated(netns, clusterIp(count - 1));
    }
  }
  return results;
}

function machine(): NetNamespace {
  const { initNs } = new Kernel(new Network(new VirtualClock(), new SeededRandom(1)), "node1");
  const eth0 = new Dummy(initNs, { name: "eth0" });
  eth0.setUp();
  eth0.addAddress(parseIp("192.168.0.11"), 24);
  initNs.addRoute({ dst: parsePrefix("0.0.0.0/0"), dev: eth0 });
  return initNs;
}

function clusterIp(i: number): string {
  return `10.96.${(i + 1) >> 8}.${(i + 1) & 255}`;
}

function service(i: number, endpoints: number): KubeObject[] {
  const spec = { clusterIP: clusterIp(i), ports: [{ port: 80, protocol: "UDP" }] };
  const metadata = { name: `service-${i}`, namespace: "default" };
  return [{ apiVersion: "v1", kind: "Service", metadata, spec } as KubeObject, slice(i, endpoints)];
}

function slice(i: number, endpoints: number): KubeObject {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: `service-${i}-1`,
      namespace: "default",
      labels: { "kubernetes.io/service-name": `service-${i}` },
    },
    addressType: "IPv4",
    ports: [{ port: 8080, protocol: "UDP" }],
    endpoints: Array.from({ length: endpoints }, (_, k) => ({
      addresses: [`10.244.${k}.${(i % 250) + 1}`],
    })),
  } as KubeObject;
}

/** All rules that a datagram from this machine meets at its hooks, as the real kernel counts them. */
function rulesEvaluated(netns: NetNamespace, to: string): number {
  const trace = new Trace();
  new UdpSocket(netns, { owner: "bench" }).sendTo(parseIp(to), 80, new Data(1), { trace });
  let rules = 0;
  for (const step of trace.steps) if (step.kind === "hook") rules += step.evaluated;
  return rules;
}
