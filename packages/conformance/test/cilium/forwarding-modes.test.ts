// Ways of a client of the network to a Service's backends, in each mode of Cilium's load balancer.
import { cilium } from "@cnilab/cilium";
import { type Cluster, createCluster } from "@cnilab/cluster";
import type { CniOptionValues, KubeObject } from "@cnilab/core";
import type { IpFamily } from "@cnilab/net";
import { describe, expect, test } from "vitest";

function pod(name: string, node: number): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", labels: { app: name } },
    spec: {
      nodeName: `node${node}`,
      containers: [
        {
          name: "c",
          ports: [
            { containerPort: 8080, protocol: "TCP" },
            { containerPort: 8080, protocol: "UDP" },
          ],
        },
      ],
    },
  } as KubeObject;
}

function service(name: string, nodePort: number, annotations: object = {}): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default", annotations },
    spec: {
      type: "NodePort",
      selector: { app: name },
      ports: [
        { name: "tcp", port: 80, targetPort: 8080, nodePort, protocol: "TCP" },
        { name: "udp", port: 80, targetPort: 8080, nodePort, protocol: "UDP" },
      ],
    },
  } as KubeObject;
}

const NEAR = 30_080;
const FAR = 30_081;
const NATIVE = { routingMode: "native", autoDirectNodeRoutes: true };
const CLIENT = { 4: "192.168.5.5", 6: "fd00:168::5:5" } as const;

async function lab(options: CniOptionValues, family: IpFamily): Promise<Cluster> {
  const cluster = createCluster({
    nodes: 2,
    cni: cilium,
    cniOptions: { kubeProxyReplacement: true, ...options },
    config: { ipFamilies: [family] },
  });
  cluster.apply([pod("near", 1), pod("far", 2), service("near", NEAR), service("far", FAR)]);
  await cluster.settled();
  return cluster;
}

type Seen = "client" | "node" | "router";

/** Settings, and whom a pod of another node sees. */
const MODES: readonly (readonly [string, CniOptionValues, tcp: Seen, udp: Seen])[] = [
  ["snat", {}, "router", "router"],
  ["snat by Geneve", { tunnelProtocol: "geneve" }, "router", "router"],
  ["snat without a tunnel", NATIVE, "node", "node"],
  ["snat past no stack", { ...NATIVE, "bpf.hostLegacyRouting": true }, "node", "node"],
  ["snat, masquerading by programs", { ...NATIVE, "bpf.masquerade": true }, "node", "node"],
  ["snat with endpoint routes", { ...NATIVE, "endpointRoutes.enabled": true }, "node", "node"],
  ["snat with the host firewall", { "hostFirewall.enabled": true }, "router", "router"],
  ["Maglev", { ...NATIVE, "loadBalancer.algorithm": "maglev" }, "node", "node"],
  ["dsr", { ...NATIVE, "loadBalancer.mode": "dsr" }, "client", "client"],
  [
    "dsr, masquerading by programs",
    { ...NATIVE, "loadBalancer.mode": "dsr", "bpf.masquerade": true },
    "client",
    "client",
  ],
  [
    "dsr by Geneve",
    {
      tunnelProtocol: "geneve",
      "loadBalancer.mode": "dsr",
      "loadBalancer.dsrDispatch": "geneve",
    },
    "client",
    "client",
  ],
  ["hybrid", { ...NATIVE, "loadBalancer.mode": "hybrid" }, "client", "node"],
  [
    "snat with WireGuard",
    { "encryption.enabled": true, "encryption.type": "wireguard" },
    "router",
    "router",
  ],
];

describe.each([4, 6] as const)("a NodePort over IPv%i", (family) => {
  test.each(MODES)("%s", async (_name, options, tcp, udp) => {
    const cluster = await lab(options, family);
    const ciliumNode = cluster.api.get("CiliumNode.cilium.io", "node1");
    const own = (type: string) =>
      ciliumNode?.spec?.addresses?.find(
        (each) => each.type === type && (each.ip ?? "").includes(":") === (family === 6),
      )?.ip;
    const expected = {
      client: CLIENT[family],
      node: own("InternalIP"),
      router: own("CiliumInternalIP"),
    };
    const address = own("InternalIP") ?? "";
    const ask = (port: number, protocol: "TCP" | "UDP") => {
      const to = family === 4 ? `${address}:${port}` : `[${address}]:${port}`;
      const ends = {
        from: cluster.endpoint(CLIENT[family]),
        to: cluster.endpoint(to),
      };
      const { verdict, backend, seenAs } = cluster.connect({ ...ends, protocol });
      return [verdict, backend, seenAs];
    };
    for (const [protocol, seen] of [
      ["TCP", tcp],
      ["UDP", udp],
    ] as const) {
      expect(ask(NEAR, protocol)).toEqual(["allowed", "default/near", CLIENT[family]]);
      expect(ask(FAR, protocol)).toEqual(["allowed", "default/far", expected[seen]]);
    }
  });
});
