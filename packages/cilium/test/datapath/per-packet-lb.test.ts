import { formatIp, parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { connect, datagram, dropsOf, outcome } from "./datapath-lab.ts";
import { CLUSTER_IP, ServiceLab, type ServiceLabOptions, serviceSpec } from "./service-lab.ts";

// Where sockets do not, programs of pods put backends in the place of services.

const ASK = { TCP: connect, UDP: datagram } as const;

function world(options: ServiceLabOptions) {
  const services = new ServiceLab(options);
  const one = services.node();
  const two = services.node();
  const near = services.backend(one, 1001);
  const far = services.backend(two, 1002);
  const client = one.pod(1003);
  const dst = parseIp(CLUSTER_IP[services.lab.family]);
  return { services, one, two, near, far, client, dst };
}

const WAYS: readonly (readonly [string, ServiceLabOptions])[] = ([4, 6] as const).flatMap(
  (family) => [
    [`native IPv${family}`, { family }],
    [`native IPv${family} with BPF host routing`, { family, config: { hostRouting: true } }],
    [`native IPv${family} with endpoint routes`, { family, config: { endpointRoutes: true } }],
    [`VXLAN IPv${family}`, { family, tunnel: "vxlan" }],
    [`Geneve IPv${family}`, { family, tunnel: "geneve" }],
  ],
);

describe.each(WAYS)("a ClusterIP, %s", (_name, options) => {
  test.each(["TCP", "UDP"] as const)("%s to a pod of the same node and of another", (protocol) => {
    const { services, near, far, client, dst } = world(options);
    const spec = serviceSpec(services.lab.family);
    for (const pod of [near, far]) {
      services.put("web", { spec }, [{ pod }]);
      const done = ASK[protocol](client.netns, dst, 80);
      expect(outcome(done)).toBe("connected");
      expect(done.report?.netns).toBe(pod.netns);
      expect(done.report?.seenAddress).toBe(client.address);
    }
  });

  test("without backends: refused, or dropped", () => {
    const { services, client, dst } = world(options);
    services.put("web", { spec: serviceSpec(services.lab.family) }, []);
    expect(connect(client.netns, dst, 80).error?.errno).toBe("ECONNREFUSED");
    expect(datagram(client.netns, dst, 80).outcome).toBe("refused");
    const silent = world({ ...options, lb: { noBackendResponse: "drop" } });
    silent.services.put("web", { spec: serviceSpec(services.lab.family) }, []);
    const told = silent.one.listen();
    expect(outcome(connect(silent.client.netns, dst, 80))).toBe(
      "Service backend not found at node1",
    );
    expect(dropsOf(told)).toContain(158);
  });

  test("a pod that is its own backend", () => {
    const { services, near, dst } = world(options);
    services.put("web", { spec: serviceSpec(services.lab.family) }, [{ pod: near }]);
    const done = connect(near.netns, dst, 80);
    if (services.lab.family === 4) {
      expect(outcome(done)).toBe("connected");
      expect(formatIp(done.report?.seenAddress ?? 0)).toBe("169.254.42.1");
    } else {
      // lb6_local knows no other source: nobody believes a packet from himself.
      expect(outcome(done)).not.toBe("connected");
    }
  });
});

test("TCP and UDP at one port are two services", () => {
  const { services, near, far, client, dst } = world({});
  const ports = (protocol: "TCP" | "UDP") =>
    serviceSpec(4, { ports: [{ name: protocol.toLowerCase(), port: 80, protocol }] });
  services.put("tcp", { spec: ports("TCP") }, [{ pod: near }]);
  services.put("udp", { spec: ports("UDP") }, [{ pod: far }]);
  expect(connect(client.netns, dst, 80).report?.netns).toBe(near.netns);
  expect(datagram(client.netns, dst, 80).report?.netns).toBe(far.netns);
});

test("internalTrafficPolicy Local: backends of the client's node alone", () => {
  const { services, near, far, client, dst } = world({});
  const spec = serviceSpec(4, { internalTrafficPolicy: "Local" });
  services.put("web", { spec }, [{ pod: far }]);
  expect(connect(client.netns, dst, 80).outcome).toBe("refused");
  services.put("web", { spec }, [{ pod: near }, { pod: far }]);
  for (let i = 0; i < 8; i++) {
    expect(connect(client.netns, dst, 80).report?.netns).toBe(near.netns);
  }
});

test("externalTrafficPolicy Local does not count for the cluster's own pods: there are two scopes", () => {
  const { services, far, one, client } = world({});
  const spec = serviceSpec(4, { type: "NodePort", externalTrafficPolicy: "Local" });
  services.put("web", { spec }, [{ pod: far }]);
  expect(outcome(connect(client.netns, one.address, 30_080))).toBe("connected");
  const outside = services.client(one);
  expect(connect(outside, one.address, 30_080).outcome).toBe("refused");
});

describe("a backend that goes", () => {
  const TERMINATING = { ready: false, serving: true, terminating: true };

  test("keeps its connections; new ones go to others", () => {
    const { services, near, far, client, dst, one } = world({});
    const spec = serviceSpec(4);
    services.put("web", { spec }, [{ pod: near }]);
    expect(datagram(client.netns, dst, 80, { srcPort: 4000 }).report?.netns).toBe(near.netns);
    services.put("web", { spec }, [{ pod: near, conditions: TERMINATING }, { pod: far }]);
    // The one that is there runs on; another port is another connection.
    expect(datagram(client.netns, dst, 80, { srcPort: 4000 }).report?.netns).toBe(near.netns);
    for (let port = 4001; port < 4010; port++) {
      expect(datagram(client.netns, dst, 80, { srcPort: port }).report?.netns).toBe(far.netns);
    }
    // A SYN is a new connection whatever its port.
    services.put("web", { spec }, [{ pod: near }]);
    expect(connect(client.netns, dst, 80, { srcPort: 5000 }).report?.netns).toBe(near.netns);
    services.put("web", { spec }, [{ pod: near, conditions: TERMINATING }, { pod: far }]);
    expect(connect(client.netns, dst, 80, { srcPort: 5000 }).report?.netns).toBe(far.netns);
    expect(one.maps.ct4.size).toBeGreaterThan(0);
  });

  test("that is gone: the connection gets another", () => {
    const { services, near, far, client, dst } = world({});
    const spec = serviceSpec(4);
    services.put("web", { spec }, [{ pod: near }]);
    expect(datagram(client.netns, dst, 80, { srcPort: 4000 }).report?.netns).toBe(near.netns);
    services.put("web", { spec }, [{ pod: far }]);
    expect(datagram(client.netns, dst, 80, { srcPort: 4000 }).report?.netns).toBe(far.netns);
  });

  test("takes new connections where there is nobody else", () => {
    const { services, near, client, dst } = world({});
    services.put("web", { spec: serviceSpec(4) }, [{ pod: near, conditions: TERMINATING }]);
    expect(outcome(connect(client.netns, dst, 80))).toBe("connected");
  });
});

// __ct_lookup: a SYN on an entry that closes says CT_NEW whether CT_SERVICE_CLOSE_REBALANCE is over or not.
test("a SYN from the port of a connection that has closed chooses anew", () => {
  const { services, near, far, client, dst } = world({});
  const spec = serviceSpec(4);
  services.put("web", { spec }, [{ pod: near }]);
  const ask = () => connect(client.netns, dst, 80, { srcPort: 4000 }).report?.netns;
  expect(ask()).toBe(near.netns);
  services.put("web", { spec }, [{ pod: near }, { pod: far }]);
  const seen = new Set<unknown>();
  for (let i = 0; i < 20; i++) seen.add(ask());
  expect(seen.size).toBe(2);
});

describe("session affinity", () => {
  const spec = serviceSpec(4, {
    sessionAffinity: "ClientIP",
    sessionAffinityConfig: { clientIP: { timeoutSeconds: 100 } },
  });

  test("keeps a client to its backend until it has been away", () => {
    const { services, near, far, client, dst } = world({});
    services.put("web", { spec }, [{ pod: near }, { pod: far }]);
    const ask = () => datagram(client.netns, dst, 80).report?.netns;
    const first = ask();
    for (let i = 0; i < 10; i++) {
      services.lab.clock.advance(99_000);
      expect(ask()).toBe(first);
    }
    const seen = new Set<unknown>();
    for (let i = 0; i < 20; i++) {
      services.lab.clock.advance(100_000);
      seen.add(ask());
    }
    expect(seen.size).toBe(2);
  });

  test("ends with the backend", () => {
    const { services, near, far, client, dst, one } = world({});
    services.put("web", { spec }, [{ pod: near }]);
    datagram(client.netns, dst, 80);
    expect(one.maps.lb4.affinity.size).toBe(1);
    services.put("web", { spec }, [{ pod: far }]);
    expect(datagram(client.netns, dst, 80).report?.netns).toBe(far.netns);
  });
});

test("backends are chosen at random, each as often as others", () => {
  const { services, one, near, far, client, dst } = world({});
  const third = services.backend(one, 1004);
  services.put("web", { spec: serviceSpec(4) }, [{ pod: near }, { pod: far }, { pod: third }]);
  const counts = new Map<unknown, number>();
  for (let i = 0; i < 300; i++) {
    const netns = datagram(client.netns, dst, 80, { srcPort: 10_000 + i }).report?.netns;
    counts.set(netns, (counts.get(netns) ?? 0) + 1);
  }
  expect(counts.size).toBe(3);
  for (const count of counts.values()) expect(Math.abs(count - 100)).toBeLessThan(40);
});

test("what a packet costs does not depend on how many services there are", () => {
  const cost = (count: number) => {
    const { services, one, near, client, dst } = world({});
    services.put("web", { spec: serviceSpec(4) }, [{ pod: near }]);
    for (let i = 0; i < count; i++) {
      const clusterIP = formatIp((parseIp("10.97.0.0") as number) + i);
      services.put(`s${i}`, { spec: serviceSpec(4, { clusterIP, clusterIPs: [clusterIP] }) }, [
        { pod: near },
      ]);
    }
    datagram(client.netns, dst, 80, { srcPort: 4000 });
    const { bpf } = one.netns.kernel;
    const before = bpf.lookups;
    datagram(client.netns, dst, 80, { srcPort: 4000 });
    return bpf.lookups - before;
  };
  expect(cost(200)).toBe(cost(0));
});
