import { Trace } from "@cnilab/linux";
import { formatIp, Prefix, parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { connect, datagram, outcome } from "./datapath-lab.ts";
import {
  CLUSTER_IP,
  NODE_PORT,
  ServiceLab,
  type ServiceLabOptions,
  serviceSpec,
  VIRTUAL_IP,
} from "./service-lab.ts";

const ASK = { TCP: connect, UDP: datagram } as const;

/** Two nodes, a pod on each, and a machine outside that asks the first node. */
function world(options: ServiceLabOptions) {
  const services = new ServiceLab(options);
  const one = services.node();
  const two = services.node();
  const near = services.backend(one, 1001);
  const far = services.backend(two, 1002);
  const client = services.client(one);
  return { services, one, two, near, far, client };
}

const HOST_ROUTING = { config: { hostRouting: true } } as const;

/** How a mode is set, and what the far pod sees of a client. */
const MODES: readonly (readonly [
  name: string,
  options: ServiceLabOptions,
  seen: { readonly TCP: "node" | "router" | "client"; readonly UDP: "node" | "router" | "client" },
])[] = [
  ["snat", {}, { TCP: "node", UDP: "node" }],
  ["snat with BPF host routing", HOST_ROUTING, { TCP: "node", UDP: "node" }],
  ["snat over VXLAN", { tunnel: "vxlan" }, { TCP: "router", UDP: "router" }],
  ["snat over Geneve", { tunnel: "geneve" }, { TCP: "router", UDP: "router" }],
  [
    "snat over VXLAN with BPF host routing",
    { tunnel: "vxlan", ...HOST_ROUTING },
    { TCP: "router", UDP: "router" },
  ],
  ["dsr opt", { lb: { mode: "dsr" } }, { TCP: "client", UDP: "client" }],
  [
    "dsr opt with BPF host routing",
    { lb: { mode: "dsr" }, ...HOST_ROUTING },
    { TCP: "client", UDP: "client" },
  ],
  [
    "dsr geneve",
    { lb: { mode: "dsr", dsrDispatch: "geneve" }, tunnel: "geneve" },
    { TCP: "client", UDP: "client" },
  ],
  ["hybrid", { lb: { mode: "hybrid" } }, { TCP: "client", UDP: "node" }],
];

describe.each([4, 6] as const)("a NodePort over IPv%i", (family) => {
  const port = { spec: serviceSpec(family, { type: "NodePort" }) };

  describe.each(MODES)("with %s", (_name, options, seen) => {
    test.each(["TCP", "UDP"] as const)("%s to a pod of the node that is asked", (protocol) => {
      const { services, one, near, client } = world({ family, ...options });
      services.put("web", port, [{ pod: near }]);
      const done = ASK[protocol](client, one.address, NODE_PORT);
      expect(outcome(done)).toBe("connected");
      expect(done.report?.netns).toBe(near.netns);
      expect(formatIp(done.report?.seenAddress ?? 0)).toBe(formatIp(services.clientAddress(0)));
      // Once more: by what is remembered.
      expect(outcome(ASK[protocol](client, one.address, NODE_PORT))).toBe("connected");
    });

    test.each(["TCP", "UDP"] as const)("%s to a pod of another node", (protocol) => {
      const { services, one, far, client } = world({ family, ...options });
      services.put("web", port, [{ pod: far }]);
      const done = ASK[protocol](client, one.address, NODE_PORT);
      expect(outcome(done)).toBe("connected");
      expect(done.report?.netns).toBe(far.netns);
      const expected = { node: one.address, router: one.router, client: services.clientAddress(0) };
      expect(formatIp(done.report?.seenAddress ?? 0)).toBe(formatIp(expected[seen[protocol]]));
      expect(outcome(ASK[protocol](client, one.address, NODE_PORT))).toBe("connected");
    });
  });
});

/** Machines by which a packet and its answer go. */
function path(trace: Trace): string {
  const hosts: string[] = [];
  for (const { netns } of trace.steps) {
    const { hostname } = netns.kernel;
    if (hosts.at(-1) !== hostname) hosts.push(hostname);
  }
  return hosts.join(" ");
}

test.each([
  ["snat", {}, "client200 node1 node2 node1 client200"],
  ["dsr", { lb: { mode: "dsr" } }, "client200 node1 node2 client200"],
  [
    "dsr by Geneve",
    { lb: { mode: "dsr", dsrDispatch: "geneve" }, tunnel: "geneve" },
    "client200 node1 node2 client200",
  ],
] as const)("the way of an answer with %s", (_name, options, expected) => {
  const { services, one, far, client } = world(options);
  services.put("web", { spec: serviceSpec(4, { type: "NodePort" }) }, [{ pod: far }]);
  const ask = () => {
    const trace = new Trace();
    datagram(client, one.address, NODE_PORT, { trace });
    return path(trace);
  };
  ask(); // who is where
  expect(ask()).toBe(expected);
});

describe.each([4, 6] as const)("what the network asks an IPv%i service for", (family) => {
  const virtual = VIRTUAL_IP[family];
  const balanced = {
    status: { loadBalancer: { ingress: [{ ip: virtual }] } },
    spec: serviceSpec(family, { type: "LoadBalancer" }),
  };
  const ask = (
    options: ServiceLabOptions,
    of: Parameters<ServiceLab["put"]>[1],
    dst: string,
    port = 80,
  ) => {
    const made = world({ family, ...options });
    const { services, one, near, far, client } = made;
    services.put("web", of, [{ pod: near }, { pod: far }]);
    client.addRoute({ dst: Prefix.host(parseIp(dst)), via: one.address });
    return outcome(connect(client, parseIp(dst), port));
  };
  const ranges = (...loadBalancerSourceRanges: string[]) => ({
    ...balanced,
    spec: { ...balanced.spec, loadBalancerSourceRanges },
  });
  const deny = {
    metadata: { name: "web", annotations: { "service.cilium.io/src-ranges-policy": "deny" } },
  };
  const inside = family === 4 ? "192.168.0.0/24" : "fd00:aa::/64";
  const outside = family === 4 ? "198.51.100.0/24" : "2001:db8:99::/48";
  const refusal = "Denied by LB src range check at node1";

  test.each<[string, string, Parameters<ServiceLab["put"]>[1], string, ServiceLabOptions]>([
    [
      "a ClusterIP: not from outside",
      CLUSTER_IP[family],
      { spec: serviceSpec(family) },
      "Is a ClusterIP at node1",
      {},
    ],
    [
      "a ClusterIP, where it may",
      CLUSTER_IP[family],
      { spec: serviceSpec(family) },
      "connected",
      { lb: { externalClusterIp: true } },
    ],
    ["a load balancer's address", virtual, balanced, "connected", {}],
    [
      "an external address",
      virtual,
      { spec: serviceSpec(family, { externalIPs: [virtual] }) },
      "connected",
      {},
    ],
    ["with source ranges that have the client", virtual, ranges(inside), "connected", {}],
    ["with others", virtual, ranges(outside), refusal, {}],
    ["with some of each", virtual, ranges(outside, inside), "connected", {}],
    ["with ranges that are refused", virtual, { ...ranges(inside), ...deny }, refusal, {}],
    ["with others that are refused", virtual, { ...ranges(outside), ...deny }, "connected", {}],
  ])("%s", (_name, dst, of, expected, options) => {
    expect(ask(options, of, dst)).toBe(expected);
  });
});

describe.each([4, 6] as const)("without backends, IPv%i", (family) => {
  const spec = serviceSpec(family, { type: "NodePort" });

  test("who asks hears so, or nothing", () => {
    const { services, one, client } = world({ family });
    services.put("web", { spec }, []);
    const { outcome: what, error } = connect(client, one.address, NODE_PORT);
    expect([what, error?.errno]).toEqual(["refused", "ECONNREFUSED"]);
    expect(error?.from).toBe(one.address);
    expect(datagram(client, one.address, NODE_PORT).outcome).toBe("refused");
    const silent = world({ family, lb: { noBackendResponse: "drop" } });
    silent.services.put("web", { spec }, []);
    expect(outcome(connect(silent.client, silent.one.address, NODE_PORT))).toBe(
      "Service backend not found at node1",
    );
  });

  test("externalTrafficPolicy Local: on nodes that have one, and the client is seen", () => {
    const { services, one, two, far, client } = world({ family });
    services.put("web", { spec: { ...spec, externalTrafficPolicy: "Local" } }, [{ pod: far }]);
    expect(connect(client, one.address, NODE_PORT).outcome).toBe("refused");
    const done = connect(client, two.address, NODE_PORT);
    expect(outcome(done)).toBe("connected");
    expect(done.report?.seenAddress).toBe(services.clientAddress(0));
  });
});
