import type { EndpointSlice, Pod, Service } from "@cnilab/core";
import { formatEndpoint, parseIp } from "@cnilab/net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { maglevConfig } from "../maglev/maglev-config.ts";
import { type Backend, backendsOf } from "./backend.ts";
import { hostPortServices, lbService } from "./kubernetes-services.ts";
import type { LbConfig } from "./lb-config.ts";
import {
  LB_TITLES,
  lbListText,
  listBackends,
  listFrontends,
  listRevNat,
  listServices,
  listSourceRanges,
} from "./lb-list.ts";
import { ServiceMaps } from "./service-maps.ts";

const CONFIG: LbConfig = {
  node: "node1",
  families: [4, 6],
  kubeProxyReplacement: true,
  mode: "snat",
  algorithm: "random",
  maglev: maglevConfig(251),
  annotations: { mode: false, algorithm: false },
  externalClusterIp: false,
  sourceRangeAllTypes: false,
  serviceTopology: false,
  zone: undefined,
  nodePortAddresses: [parseIp("192.168.0.1")],
  nodePortRange: { first: 30_000, last: 32_767 },
};

const WEB: Service = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web", namespace: "default" },
  spec: {
    clusterIP: "10.96.0.10",
    clusterIPs: ["10.96.0.10"],
    ipFamilies: ["IPv4"],
    ports: [{ name: "http", port: 80, protocol: "TCP" }],
  },
};

type Condition = NonNullable<EndpointSlice["endpoints"][number]["conditions"]>;

type End = readonly [ip: string, node: string, conditions?: Condition];

function slice(...ends: readonly End[]): EndpointSlice {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "web-1", namespace: "default" },
    addressType: "IPv4",
    ports: [{ name: "http", port: 8080, protocol: "TCP" }],
    endpoints: ends.map(([ip, nodeName, conditions = { ready: true }]) => ({
      addresses: [ip],
      nodeName,
      conditions,
    })),
  };
}

const TWO = slice(["10.0.2.7", "node2"], ["10.0.1.5", "node1"]);

/** What `bpf lb list` shows, one line an entry. */
function lines(
  service: Service,
  slices: readonly EndpointSlice[],
  config: Partial<LbConfig> = {},
): string[] {
  const all = { ...CONFIG, ...config };
  const maps = new ServiceMaps(all);
  const { services } = maps.put(lbService(service, all), backendsOf(slices));
  return Object.entries(listServices(services, maps.backends())).map(([k, v]) => `${k} => ${v}`);
}

function spec(of: Partial<Service["spec"]>, status?: Service["status"]): Service {
  return { ...WEB, spec: { ...WEB.spec, ...of }, ...(status === undefined ? {} : { status }) };
}

describe("a Service in the maps", () => {
  test("with a ClusterIP has its backends by address", () => {
    expect(lines(WEB, [TWO])).toEqual([
      "10.96.0.10:80/TCP (0) => 0.0.0.0:0 (1) (0) [ClusterIP, non-routable] ",
      "10.96.0.10:80/TCP (1) => 10.0.1.5:8080/TCP (1) (1)",
      "10.96.0.10:80/TCP (2) => 10.0.2.7:8080/TCP (1) (2)",
    ]);
  });

  test.each([
    ["without endpoints has slot 0 alone", WEB, [], {}, ["[ClusterIP, non-routable]"]],
    [
      "that the network may ask for is routable",
      WEB,
      [],
      { externalClusterIp: true },
      ["[ClusterIP]"],
    ],
    [
      "with internalTrafficPolicy Local has those of the node",
      spec({ internalTrafficPolicy: "Local" }),
      [TWO],
      {},
      ["[ClusterIP, InternalLocal, non-routable]", "10.0.1.5:8080"],
    ],
    [
      "that is headless has nothing",
      spec({ clusterIP: "None", clusterIPs: ["None"] }),
      [TWO],
      {},
      [],
    ],
    [
      "asks for the backends of its port's name",
      spec({ ports: [{ name: "grpc", port: 80 }] }),
      [TWO],
      {},
      ["[ClusterIP, non-routable]"],
    ],
    [
      "of another protocol has none of these",
      spec({ ports: [{ name: "http", port: 80, protocol: "UDP" }] }),
      [TWO],
      {},
      ["[ClusterIP, non-routable]"],
    ],
    [
      "sends new clients to terminating backends where there are no others",
      WEB,
      [slice(["10.0.1.5", "node1", { ready: false, serving: true, terminating: true }])],
      {},
      ["[ClusterIP, non-routable]", "10.0.1.5:8080"],
    ],
    [
      "keeps those that are not ready out of the slots",
      WEB,
      [slice(["10.0.1.5", "node1", { ready: false }])],
      {},
      ["[ClusterIP, non-routable]"],
    ],
    [
      "for nodes answers at any address, and at the node's",
      spec({ type: "NodePort", ports: [{ name: "http", port: 80, nodePort: 30_080 }] }),
      [],
      { mode: "dsr" },
      ["[ClusterIP, non-routable, dsr]", "[NodePort, non-routable, dsr]", "[NodePort, dsr]"],
    ],
    [
      "for nodes is kube-proxy's where that is not replaced",
      spec({ type: "NodePort", ports: [{ name: "http", port: 80, nodePort: 30_080 }] }),
      [],
      { kubeProxyReplacement: false },
      ["[ClusterIP, non-routable]"],
    ],
    [
      "with hybrid mode answers directly over TCP alone",
      spec({
        externalIPs: ["192.0.2.1"],
        ports: [
          { name: "http", port: 80 },
          { name: "dns", port: 53, protocol: "UDP" },
        ],
      }),
      [],
      { mode: "hybrid" },
      [
        "[ClusterIP, non-routable, dsr]",
        "[ClusterIP, non-routable]",
        "[ExternalIPs, dsr]",
        "[ExternalIPs]",
      ],
    ],
    [
      "with session affinity says so",
      spec({ sessionAffinity: "ClientIP" }),
      [],
      {},
      ["[ClusterIP, sessionAffinity, non-routable]"],
    ],
    [
      "with source ranges checks them where its type asks for that",
      spec(
        { type: "LoadBalancer", loadBalancerSourceRanges: ["10.0.0.0/8"] },
        { loadBalancer: { ingress: [{ ip: "192.0.2.9" }] } },
      ),
      [],
      {},
      ["[ClusterIP, non-routable]", "[LoadBalancer, check source-range]"],
    ],
  ] as const)("%s", (_what, service, slices, config, expected) => {
    const shown = lines(service, [...slices], config);
    expect(shown).toHaveLength(expected.length);
    expected.forEach((part, i) => {
      expect(shown[i]).toContain(part);
    });
  });

  test("with externalTrafficPolicy Local has two scopes: its own for the network, all for pods", () => {
    const service = spec({
      type: "NodePort",
      externalTrafficPolicy: "Local",
      ports: [{ name: "http", port: 80, nodePort: 30_080 }],
    });
    expect(lines(service, [TWO]).filter((line) => line.startsWith("192.168.0.1"))).toEqual([
      "192.168.0.1:30080/TCP (0) => 0.0.0.0:0 (3) (0) [NodePort, Local, two-scopes] ",
      "192.168.0.1:30080/TCP (1) => 10.0.1.5:8080/TCP (3) (1)",
      "192.168.0.1:30080/TCP/i (0) => 0.0.0.0:0 (5) (0) [NodePort, Local, two-scopes] ",
      "192.168.0.1:30080/TCP/i (1) => 10.0.1.5:8080/TCP (5) (1)",
      "192.168.0.1:30080/TCP/i (2) => 10.0.2.7:8080/TCP (5) (2)",
    ]);
  });

  test("counts who serves, and who only ends", () => {
    const ending = { ready: false, serving: true, terminating: true };
    const maps = new ServiceMaps(CONFIG);
    const put = (...ends: readonly End[]) =>
      listFrontends(maps.put(lbService(WEB, CONFIG), backendsOf([slice(...ends)])).services)[
        "10.96.0.10:80/TCP (0)"
      ];
    expect(put(["10.0.1.5", "node1"], ["10.0.1.6", "node1", ending])).toEqual([
      "0 1[1] (1) [0x0 0x0]",
    ]);
    expect(put(["10.0.1.6", "node1", ending])).toEqual(["0 1[0] (1) [0x0 0x0]"]);
    expect(put(["10.0.1.6", "node1", { ...ending, serving: false }])).toEqual([
      "0 0[1] (1) [0x0 0x0]",
    ]);
  });

  test("has affinity, ranges and the way back by its number", () => {
    const service = spec(
      {
        type: "LoadBalancer",
        sessionAffinity: "ClientIP",
        sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
        loadBalancerSourceRanges: ["10.0.0.0/8", "fd00::/8", "nonsense"],
      },
      { loadBalancer: { ingress: [{ ip: "192.0.2.9" }, { ip: "192.0.2.10", ipMode: "Proxy" }] } },
    );
    const maps = new ServiceMaps(CONFIG);
    const entries = maps.put(lbService(service, CONFIG), backendsOf([TWO]));
    expect(listRevNat(entries.revNat)).toEqual({ 1: ["10.96.0.10:80"], 2: ["192.0.2.9:80"] });
    expect(listSourceRanges(entries.sourceRanges)).toEqual({
      "10.0.0.0/8 (1)": [""],
      "10.0.0.0/8 (2)": [""],
    });
    expect(entries.affinityMatch).toHaveLength(4);
    expect(listFrontends(entries.services)["192.0.2.9:80/TCP (0)"]).toEqual([
      "60 2[0] (2) [0xf0 0x0]",
    ]);
    expect(listBackends(maps.backends())).toEqual({
      1: ["TCP://10.0.1.5"],
      2: ["TCP://10.0.2.7"],
    });
  });

  test.each([
    ["random", {}, undefined, 0],
    ["maglev", {}, undefined, 1],
    ["maglev", { externalClusterIp: true }, undefined, 2],
    ["maglev", { annotations: { mode: false, algorithm: true } }, "random", 0],
    ["random", { annotations: { mode: false, algorithm: true } }, "maglev", 2],
    ["random", {}, "maglev", 0],
  ] as const)(
    "with the algorithm %s, %j and annotation %s has %i Maglev tables",
    (algorithm, rest, annotation, tables) => {
      const config = { ...CONFIG, ...rest, algorithm };
      const service: Service = {
        ...spec({ externalIPs: ["192.0.2.1"] }),
        metadata: {
          ...WEB.metadata,
          annotations:
            annotation === undefined ? {} : { "service.cilium.io/lb-algorithm": annotation },
        },
      };
      const { maglev } = new ServiceMaps(config).put(lbService(service, config), backendsOf([TWO]));
      expect(maglev).toHaveLength(tables);
      for (const { table } of maglev) expect(new Set(table)).toEqual(new Set([1, 2]));
    },
  );

  test("prints as cilium-dbg does", () => {
    const maps = new ServiceMaps(CONFIG);
    const { services } = maps.put(
      lbService(WEB, CONFIG),
      backendsOf([slice(["10.0.1.5", "node1"])]),
    );
    expect(lbListText(LB_TITLES.services, listServices(services, maps.backends()))).toBe(
      [
        "SERVICE ADDRESS         BACKEND ADDRESS (REVNAT_ID) (SLOT)",
        "10.96.0.10:80/TCP (0)   0.0.0.0:0 (1) (0) [ClusterIP, non-routable]    ",
        "10.96.0.10:80/TCP (1)   10.0.1.5:8080/TCP (1) (1)                      ",
        "",
      ].join("\n"),
    );
  });
});

test("numbers stay while a Service changes, and go when it goes", () => {
  const backend = fc
    .tuple(
      fc.integer({ min: 1, max: 6 }),
      fc.constantFrom<Backend["state"]>("active", "terminating"),
    )
    .map(([host, state]): Backend => {
      const address = 0x0a000000 + host;
      return { address, port: 80, protocol: "TCP", node: "", portNames: [], forZones: [], state };
    });
  const step = fc.tuple(
    fc.constantFrom("a", "b", "c"),
    fc.option(fc.uniqueArray(backend, { selector: (b) => b.address }), { nil: undefined }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      const maps = new ServiceMaps(CONFIG);
      const base = lbService(WEB, CONFIG);
      const wanted = new Map<string, readonly Backend[]>();
      const ids = new Map<number, number>();
      for (const [name, backends] of steps) {
        const frontends = base.frontends.map((f) => ({
          ...f,
          address: f.address as number,
          port: name.charCodeAt(0),
        }));
        if (backends === undefined) {
          maps.delete(name);
          wanted.delete(name);
        } else {
          maps.put({ ...base, name, frontends }, backends);
          wanted.set(name, backends);
        }
        const used = new Set([...wanted.values()].flat().map(({ address }) => address));
        const all = [...maps.backends()];
        expect(new Set(all.map(({ address }) => address))).toEqual(used);
        for (const { id, address } of all) {
          if (ids.has(address as number)) expect(id).toBe(ids.get(address as number));
        }
        ids.clear();
        for (const { id, address } of all) ids.set(address as number, id);
        expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
        const revNats = [...maps.services.values()].flatMap((e) => e.revNat.map((r) => r.revNat));
        expect(new Set(revNats).size).toBe(wanted.size);
        for (const [service, behind] of wanted) {
          const slots = maps.services.get(service)?.services.filter(({ slot }) => slot > 0) ?? [];
          expect(slots.map(({ slot }) => slot)).toEqual(behind.map((_, i) => i + 1));
          const known = new Map(all.map((b) => [b.id, b.address] as const));
          expect(new Set(slots.map((s) => known.get(s.backendId)))).toEqual(
            new Set(behind.map(({ address }) => address)),
          );
        }
      }
    }),
  );
});

test.each([
  ["", ["0.0.0.0:8000"]],
  ["192.168.0.1", ["192.168.0.1:8000"]],
  ["127.0.0.1", ["0.0.0.0:8000 loopback"]],
  ["0.0.0.0", []],
])("a pod's port on the host address %j answers at %j", (hostIP, expected) => {
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web", namespace: "default", uid: "1" },
    spec: {
      nodeName: "node1",
      containers: [
        {
          name: "c",
          image: "web",
          ports: [
            { containerPort: 80, hostPort: 8000, ...(hostIP === "" ? {} : { hostIP }) },
            { containerPort: 81, hostPort: 30_001 },
          ],
        },
      ],
    },
    status: { podIP: "10.0.1.5", podIPs: [{ ip: "10.0.1.5" }] },
  } as unknown as Pod;
  const all = hostPortServices(pod, CONFIG);
  expect(
    all.flatMap(({ service }) =>
      service.frontends.map(
        (f) => `${formatEndpoint(f.address, f.port)}${service.loopbackHostPort ? " loopback" : ""}`,
      ),
    ),
  ).toEqual(expected);
  expect(all.map(({ service }) => service.name)).toEqual(["default/web:host-port:8000:1"]);
});
