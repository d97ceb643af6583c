import { exchange, startEchoServer } from "@cnilab/linux";
import {
  formatIp,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  parseIp,
  parsePrefix,
} from "@cnilab/net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { forward, Lan, run } from "../test/docker-lab.ts";
import { DockerError } from "./docker-error.ts";
import { type DaemonConfig, DockerHost } from "./docker-host.ts";

const ip = (text: string): number => parseIp(text) as number;

function host(config: DaemonConfig = {}): DockerHost {
  const kernel = new Lan(3).machine("host", "192.0.2.10", "2001:db8::10");
  if (config.firewallBackend === "nftables") forward(kernel.initNs);
  const docker = new DockerHost(kernel, config);
  docker.createNetwork({ name: "a" });
  docker.createNetwork({ name: "b" });
  return docker;
}

const address = (docker: DockerHost, name: string, i = 0) =>
  formatIp(docker.container(name).endpoints[i]?.address ?? 0);

/** All that dockerd has made on the host, in the words of the kernel. */
function state({ kernel, networks, containers }: DockerHost): unknown {
  const { initNs } = kernel;
  return [
    ...([4, 6] as const).map((family) =>
      initNs
        .iptables(family)
        .save()
        .split("\n")
        .filter((line) => /^(-A|:FORWARD|:DOCKER)/.test(line)),
    ),
    initNs.nftables.list(),
    initNs.devices.map((dev) => `${dev.name} ${dev.mtu}`),
    [...initNs.sockets.all()].map(
      (s) => `${s.protocol} ${s.localAddress} ${s.localPort} ${s.owner}`,
    ),
    [...initNs.fib4.table(254).routes()].map(({ prefix, scope }) => `${prefix} ${scope}`),
    [...networks.keys()],
    [...containers.values()].map((c) => `${c.name} ${c.state} ${c.files.read("/etc/hosts")}`),
    [...kernel.namespaces].map((netns) => `${netns.name} ${netns.devices.map((d) => d.name)}`),
  ];
}

test("what is stopped gives its address away, and takes the lowest when it starts", () => {
  const docker = host();
  run(docker, "one", ["a"]);
  run(docker, "two", [{ network: "a", ip: ip("172.18.0.9") }]);
  docker.stop("one");
  docker.stop("two");
  expect(docker.container("one").state).toBe("exited");
  run(docker, "three", ["a"]);
  expect(address(docker, "three")).toBe("172.18.0.2");
  docker.start("one");
  docker.start("two");
  expect([address(docker, "one"), address(docker, "two")]).toEqual(["172.18.0.3", "172.18.0.9"]);
  const { mac } = docker.container("one").endpoints[0] ?? {};
  docker.restart("one");
  expect(address(docker, "one")).toBe("172.18.0.3");
  expect(docker.container("one").endpoints[0]?.mac).not.toBe(mac);
});

test("a stopped container does not hold its network, and does not start without it", () => {
  const docker = host();
  run(docker, "one", ["a"]);
  docker.stop("one");
  docker.removeNetwork("a");
  const before = state(docker);
  expect(() => docker.start("one")).toThrow("network a not found");
  expect(state(docker)).toEqual(before);
  docker.createNetwork({ name: "a" });
  docker.start("one");
  expect(docker.container("one").isRunning).toBe(true);
});

test("what is connected while it is stopped is so when it starts", () => {
  const docker = host();
  docker.create({ name: "one", image: "i", network: [{ network: "a" }] });
  docker.connect("one", { network: "b", ip: ip("172.19.0.77") });
  docker.disconnect("one", "a");
  docker.start("one");
  expect(docker.container("one").endpoints.map(({ network }) => network.name)).toEqual(["b"]);
  expect(address(docker, "one")).toBe("172.19.0.77");
  expect(() => docker.container("nobody")).toThrow("no such container: nobody");
});

test("the network stack of another container is there while that runs", () => {
  const docker = host();
  const one = run(docker, "one", ["a"]);
  docker.create({ name: "side", image: "i", network: { container: "one" } });
  docker.start("side");
  expect(docker.container("side").netns).toBe(one.netns);
  docker.stop("one");
  // It goes on in what the other has left.
  expect(docker.container("side").netns.devices.map((dev) => dev.name)).toEqual(["lo"]);
  docker.stop("side");
  expect(() => docker.start("side")).toThrow(
    "cannot join network namespace of a non running container",
  );
  docker.start("one");
  docker.start("side");
  expect(docker.container("side").netns).toBe(one.netns);
});

test("the default route and published ports go where the gateway goes", () => {
  const docker = host();
  docker.createNetwork({ name: "inside", internal: true });
  const one = run(docker, "one", ["inside"], {
    ports: [{ protocol: "tcp", port: 80, hostPorts: [8080, 8080] }],
  });
  startEchoServer(one.netns, { protocol: IPPROTO_TCP, port: 80, owner: "one" });
  const gateway = () =>
    one.netns.fib4
      .routesTo(parsePrefix("0.0.0.0/0"))
      .map((r) => formatIp(r.nexthops[0]?.gateway ?? 0));
  const seen = () => {
    const { outcome, report } = exchange(docker.kernel.initNs, {
      protocol: IPPROTO_TCP,
      dst: ip("127.0.0.1"),
      port: 8080,
    });
    return report === undefined ? outcome : formatIp(report.seenAddress);
  };
  expect([gateway(), seen(), one.portMappings.length]).toEqual([[], "refused", 0]);
  docker.connect("one", { network: "b" });
  expect([gateway(), seen()]).toEqual([["172.19.0.1"], "172.19.0.1"]);
  docker.connect("one", { network: "a", gatewayPriority: -1 });
  expect([gateway(), seen()]).toEqual([["172.19.0.1"], "172.19.0.1"]);
  docker.disconnect("one", "b");
  expect([gateway(), seen()]).toEqual([["172.18.0.1"], "172.18.0.1"]);
  docker.disconnect("one", "a");
  expect([gateway(), seen()]).toEqual([[], "refused"]);
});

describe.each(["iptables", "nftables"] as const)("with %s", (firewallBackend) => {
  test.each([
    { protocol: "tcp", number: IPPROTO_TCP },
    { protocol: "udp", number: IPPROTO_UDP },
    { protocol: "sctp", number: IPPROTO_SCTP },
  ] as const)("$protocol is published, by IPv6 through the proxy", ({ protocol, number }) => {
    const docker = host({ firewallBackend });
    const { netns } = run(docker, "one", ["a"], {
      ports: [{ protocol, port: 80, hostPorts: [8080, 8080] }],
    });
    startEchoServer(netns, { protocol: number, port: 80, owner: "one" });
    const seen = (from: string, to: string) => {
      const asker = from === "host" ? docker.kernel.initNs : docker.container(from).netns;
      const { outcome, report } = exchange(asker, {
        protocol: number,
        dst: parseIp(to),
        port: 8080,
      });
      return report === undefined ? outcome : formatIp(report.seenAddress);
    };
    run(docker, "two", ["b"]);
    expect(seen("host", "127.0.0.1")).toBe("172.18.0.1");
    expect(seen("host", "192.0.2.10")).toBe("192.0.2.10");
    expect(seen("host", "::1")).toBe("172.18.0.1");
    expect(seen("host", "2001:db8::10")).toBe("172.18.0.1");
    expect(seen("two", "192.0.2.10")).toBe("172.18.0.1");
    expect(seen("one", "192.0.2.10")).toBe("172.18.0.1");
  });
});

test.each<{ hostIp?: string; proxy?: boolean; binding?: string; want: string[] }>([
  { want: ["0.0.0.0", "::"] },
  { hostIp: "0.0.0.0", want: ["0.0.0.0"] },
  { hostIp: "::", want: ["::"] },
  { hostIp: "127.0.0.1", want: ["127.0.0.1"] },
  { hostIp: "::1", want: ["::1"] },
  { binding: "192.0.2.10", want: ["192.0.2.10"] },
  { binding: "192.0.2.10", hostIp: "::", want: ["::"] },
  { proxy: false, want: ["0.0.0.0"] },
  { proxy: false, hostIp: "::", want: [] },
])(
  "published on $hostIp (binding $binding, proxy $proxy): $want",
  ({ hostIp, proxy, binding, want }) => {
    const docker = host({ userlandProxy: proxy ?? true });
    const options =
      binding === undefined ? {} : { "com.docker.network.bridge.host_binding_ipv4": binding };
    docker.createNetwork({ name: "n", options });
    const { portMappings } = run(docker, "one", ["n"], {
      ports: [
        { protocol: "tcp", port: 80, ...(hostIp === undefined ? {} : { hostIp: parseIp(hostIp) }) },
      ],
    });
    expect(portMappings.map((mapping) => formatIp(mapping.hostIp))).toEqual(want);
    expect(new Set(portMappings.map(({ hostPort }) => hostPort)).size).toBe(
      Math.min(want.length, 1),
    );
  },
);

test.each<{ name: string; act: (docker: DockerHost) => void; error: string }>([
  {
    name: "a name twice",
    act: (d) => run(d, "used", ["a"]),
    error: 'The container name "/used" is already in use by container',
  },
  {
    name: "a name that is none",
    act: (d) => run(d, "-x", ["a"]),
    error: "Invalid container name (-x)",
  },
  {
    name: "an address outside the subnet",
    act: (d) => run(d, "one", [{ network: "a", ip: ip("10.0.0.1") }]),
    error: "no configured subnet contains IP address 10.0.0.1",
  },
  {
    name: "an address twice, after another network was joined",
    act: (d) => run(d, "one", ["b", { network: "a", ip: ip("172.18.0.2") }]),
    error: "172.18.0.2 is already in use",
  },
  {
    name: "an address on the default bridge",
    act: (d) => run(d, "one", [{ network: "bridge", ip: ip("172.17.0.9") }]),
    error: "user-specified IP address is supported on user-defined networks only",
  },
  {
    name: "an alias on the default bridge",
    act: (d) => run(d, "one", [{ network: "bridge", aliases: ["x"] }]),
    error: "network-scoped aliases are only supported for user-defined networks",
  },
  {
    name: "a network twice",
    act: (d) => d.connect("used", { network: "a" }),
    error: "endpoint with name used already exists in network a",
  },
  {
    name: "the host's network later on",
    act: (d) => d.connect("used", { network: "host" }),
    error: "container must be created in host network mode",
  },
  {
    name: "a network for who has none of his own",
    act: (d) => {
      d.create({ name: "side", image: "i", network: { container: "used" } });
      try {
        d.connect("side", { network: "b" });
      } finally {
        d.remove("side");
      }
    },
    error: "container sharing network namespace with another container",
  },
  {
    name: "ports of who shares a network",
    act: (d) =>
      d.run({
        name: "side",
        image: "i",
        network: { container: "used" },
        ports: [{ protocol: "tcp", port: 80 }],
      }),
    error: "ports are published by used",
  },
  {
    name: "to leave a network that it is not on",
    act: (d) => d.disconnect("used", "b"),
    error: "container used is not connected to network b",
  },
  {
    name: "an address of the host that it has not",
    act: (d) =>
      run(d, "one", ["a"], {
        ports: [
          { protocol: "udp", port: 1 },
          { protocol: "tcp", port: 80, hostIp: ip("198.51.100.1"), hostPorts: [80, 80] },
        ],
      }),
    error: "failed to bind host port 198.51.100.1:80/tcp",
  },
  {
    name: "a port that a program of the host has",
    act: (d) => {
      const { initNs } = d.kernel;
      const server = startEchoServer(initNs, { protocol: IPPROTO_TCP, port: 99, owner: "x" });
      try {
        run(d, "one", ["a"], { ports: [{ protocol: "tcp", port: 80, hostPorts: [99, 99] }] });
      } finally {
        server.close();
      }
    },
    error: "failed to bind host port 0.0.0.0:99/tcp: address already in use",
  },
  {
    name: "a gateway whose ports are taken",
    act: (d) => {
      d.create({
        name: "late",
        image: "i",
        network: [],
        ports: [{ protocol: "tcp", port: 80, hostPorts: [8080, 8080] }],
      });
      d.start("late");
      try {
        d.connect("late", { network: "b" });
      } finally {
        d.remove("late");
      }
    },
    error: "port is already allocated",
  },
  {
    name: "to rename into a name that is taken",
    act: (d) => d.rename("used", "used"),
    error: "is already in use",
  },
  {
    name: "an IP range outside the subnet",
    act: (d) =>
      d.createNetwork({
        name: "n",
        subnet: parsePrefix("10.0.0.0/16"),
        ipRange: parsePrefix("10.1.0.0/24"),
      }),
    error:
      "network n: invalid network config: invalid ip-range 10.1.0.0/24: parent subnet 10.0.0.0/16 doesn't contain",
  },
  {
    name: "an IP range larger than the subnet",
    act: (d) =>
      d.createNetwork({
        name: "n",
        subnet: parsePrefix("10.0.0.0/16"),
        ipRange: parsePrefix("10.0.0.0/8"),
      }),
    error: "CIDR block is bigger than its parent subnet 10.0.0.0/16",
  },
  {
    name: "a gateway outside the subnet",
    act: (d) =>
      d.createNetwork({ name: "n", subnet: parsePrefix("10.0.0.0/16"), gateway: ip("10.1.0.1") }),
    error: "invalid gateway 10.1.0.1: parent subnet 10.0.0.0/16 doesn't contain this address",
  },
  {
    name: "a bridge whose name no device can have",
    act: (d) =>
      d.createNetwork({
        name: "n",
        options: { "com.docker.network.bridge.name": "a-name-of-sixteen" },
      }),
    error: "network n: ",
  },
  {
    name: "to remove the default bridge",
    act: (d) => d.removeNetwork("bridge"),
    error: "bridge is a pre-defined network and cannot be removed",
  },
])("refuses $name, and leaves all as it was", ({ act, error }) => {
  for (const firewallBackend of ["iptables", "nftables"] as const) {
    const docker = host({ firewallBackend });
    run(docker, "used", ["a"], { ports: [{ protocol: "tcp", port: 80, hostPorts: [8080, 8080] }] });
    const before = state(docker);
    expect(() => act(docker)).toThrow(error);
    expect(() => act(docker)).toThrow(DockerError);
    expect(state(docker)).toEqual(before);
    // Neither an address nor a subnet was lost on the way.
    run(docker, "next", ["a", "b"]);
    expect([address(docker, "next", 0), address(docker, "next", 1)]).toEqual([
      "172.18.0.3",
      "172.19.0.2",
    ]);
    expect(String(docker.createNetwork({ name: "last" }).subnet)).toBe("172.20.0.0/16");
  }
});

test("one seed makes the same ids, addresses of devices and ports", () => {
  const [one, two] = [host(), host()].map((docker) => {
    run(docker, "one", ["a", "b"], { ports: [{ protocol: "tcp", port: 80 }] });
    const { id, endpoints, portMappings } = docker.container("one");
    return [
      id,
      endpoints.map((each) => [each.id, each.mac, each.veth.name]),
      portMappings,
      [...docker.networks.values()].map((network) => [network.id, network.bridge.mac]),
    ];
  });
  expect(one).toEqual(two);
});

const NAMES = ["c0", "c1", "c2", "c3"];
const name = fc.constantFrom(...NAMES);
const networkName = fc.constantFrom("bridge", "a", "b", "inside", "six", "nothing");
const connect = fc.record(
  {
    network: networkName,
    ip: fc.constantFrom(ip("172.18.0.2"), ip("172.18.0.3"), ip("172.19.0.2"), ip("10.0.0.1")),
    aliases: fc.subarray(["x", "y"]),
    gatewayPriority: fc.integer({ min: -1, max: 1 }),
  },
  { requiredKeys: ["network"] },
);
const ports = fc.array(
  fc.record(
    {
      protocol: fc.constantFrom("tcp", "udp", "sctp"),
      port: fc.constantFrom(80, 81),
      hostIp: fc.constantFrom(...["0.0.0.0", "::", "127.0.0.1", "198.51.100.1"].map(parseIp)),
      hostPorts: fc.constantFrom([8080, 8080], [8080, 8082]) as fc.Arbitrary<
        readonly [number, number]
      >,
    },
    { requiredKeys: ["protocol", "port"] },
  ),
  { maxLength: 3 },
);
const act: fc.Arbitrary<(docker: DockerHost) => void> = fc.oneof(
  fc
    .record({ name, network: fc.array(connect, { maxLength: 3 }), ports })
    .map((spec) => (d: DockerHost) => void d.run({ image: "i", ...spec })),
  fc
    .record({ name, with: name })
    .map(
      (x) => (d: DockerHost) =>
        void d.run({ name: x.name, image: "i", network: { container: x.with } }),
    ),
  fc.tuple(name, connect).map(
    ([c, spec]) =>
      (d: DockerHost) =>
        d.connect(c, spec),
  ),
  fc.tuple(name, networkName).map(
    ([c, n]) =>
      (d: DockerHost) =>
        d.disconnect(c, n),
  ),
  fc.tuple(name, name).map(
    ([c, n]) =>
      (d: DockerHost) =>
        d.rename(c, n),
  ),
  ...(["stop", "start", "remove"] as const).map((verb) =>
    name.map((c) => (d: DockerHost) => d[verb](c)),
  ),
);

test.each(["iptables", "nftables"] as const)(
  "whatever is done, what is refused changes nothing and what is removed leaves nothing (%s)",
  (firewallBackend) => {
    const made = (): DockerHost => {
      const docker = host({ firewallBackend });
      docker.createNetwork({ name: "inside", internal: true });
      docker.createNetwork({ name: "six", ipv6: true, subnet6: parsePrefix("fd06::/64") });
      return docker;
    };
    const empty = state(made());
    fc.assert(
      fc.property(fc.array(act, { maxLength: 12 }), (acts) => {
        const docker = made();
        for (const each of acts) {
          const before = state(docker);
          try {
            each(docker);
          } catch (error) {
            if (!(error instanceof DockerError)) throw error;
            expect(state(docker)).toEqual(before);
          }
          const used = [...docker.containers.values()].flatMap(({ endpoints }) =>
            endpoints.map((endpoint) => endpoint.address),
          );
          expect(new Set(used).size).toBe(used.length);
        }
        for (const each of [...docker.containers.keys()]) docker.remove(each);
        expect(state(docker)).toEqual(empty);
        run(docker, "last", ["a", "b", "six"]);
        expect(formatIp(docker.container("last").endpoints[2]?.address6 ?? 0)).toBe("fd06::2");
        expect([address(docker, "last", 0), address(docker, "last", 1)]).toEqual([
          "172.18.0.2",
          "172.19.0.2",
        ]);
      }),
      { numRuns: 40 },
    );
  },
);
