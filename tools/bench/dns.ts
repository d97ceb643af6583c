// Answers of CoreDNS alone, with no network between: `node dns.ts SERVICES`. Prints JSON.
import { type KubeObject, SeededRandom, VirtualClock } from "@cnilab/core";
import { CoreDns, kubeadmCorefile, LocalTransport, queryOf } from "@cnilab/dns";
import { IPV4_LOOPBACK } from "@cnilab/net";
import { from, type Observable } from "rxjs";
import { cpuSeconds, liveBytes, perCpuSecond } from "./measure.ts";

export interface DnsBench {
  readonly services: number;
  readonly bringUpCpuSeconds: number;
  readonly bytesPerService: number;
  /** Answers that a CPU second has room for, by what was asked. */
  readonly answers: Readonly<Record<string, number>>;
}

const ENDPOINTS = 3;

console.log(JSON.stringify(measure(Number(process.argv[2] ?? 10_000))));

function measure(services: number): DnsBench {
  const objects: KubeObject[] = [
    namespace(),
    ...Array.from({ length: services }, (_, i) => objectsOf(i)).flat(),
  ];
  const before = liveBytes();
  const clock = new VirtualClock();
  let dns: CoreDns | undefined;
  const bringUpCpuSeconds = cpuSeconds(() => {
    dns = new CoreDns({
      corefile: kubeadmCorefile("cluster.local"),
      api: { watch: (kind) => watched(objects, kind) as never },
      clock,
      random: new SeededRandom(1),
      transport: new LocalTransport({ clock, find: () => undefined, address: IPV4_LOOPBACK }),
      readFile: () => "nameserver 192.0.2.1\n",
    });
  });
  const bytesPerService = (liveBytes() - before) / services;
  const [listener] = (dns as CoreDns).listeners;
  const client = { address: IPV4_LOOPBACK, port: 4000, protocol: "udp" } as const;
  const ask = (nameOf: (i: number) => string, type: string): number =>
    perCpuSecond((times) => {
      let records = 0;
      for (let i = 0; i < times; i++) {
        // A step that visits all before it comes again.
        const query = queryOf(i & 0xffff, nameOf((i * 7919) % services), type);
        listener?.handle(query, client, ({ answer, authority }) => {
          records += answer.length + authority.length;
        });
      }
      if (records < times) throw new Error("there are questions without an answer");
    });
  const answers = {
    clusterIp: ask((i) => `service-${i}.ns.svc.cluster.local.`, "A"),
    headless: ask((i) => `headless-${i}.ns.svc.cluster.local.`, "A"),
    srv: ask((i) => `_http._tcp.headless-${i}.ns.svc.cluster.local.`, "SRV"),
    ptr: ask((i) => `${i & 255}.${i >> 8}.97.10.in-addr.arpa.`, "PTR"),
    nxdomain: ask((i) => `service-${i}.ns.svc.cluster.local.ns.svc.cluster.local.`, "A"),
    nodata: ask((i) => `service-${i}.ns.svc.cluster.local.`, "AAAA"),
  };
  return { services, bringUpCpuSeconds, bytesPerService, answers };
}

function watched(objects: readonly KubeObject[], kind: string): Observable<unknown> {
  const there = objects.filter((object) => object.kind === kind);
  return from(there.map((object) => ({ type: "ADDED", object })));
}

function namespace(): KubeObject {
  return { apiVersion: "v1", kind: "Namespace", metadata: { name: "ns" } };
}

/** A Service with a cluster IP, and a headless one with endpoints. */
function objectsOf(i: number): KubeObject[] {
  const ports = [{ name: "http", port: 80, protocol: "TCP" }];
  const clusterIP = `10.97.${i >> 8}.${i & 255}`;
  const named = (name: string) => ({ name, namespace: "ns" });
  return [
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: named(`service-${i}`),
      spec: { clusterIP, ports },
    },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: named(`headless-${i}`),
      spec: { clusterIP: "None", ports },
    },
    {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: {
        ...named(`headless-${i}-a`),
        labels: { "kubernetes.io/service-name": `headless-${i}` },
      },
      addressType: "IPv4",
      endpoints: Array.from({ length: ENDPOINTS }, (_, e) => ({
        addresses: [`10.${128 + e}.${i >> 8}.${i & 255}`],
        hostname: `pod-${e}`,
      })),
      ports,
    },
  ] as unknown as KubeObject[];
}
