import { SeededRandom, VirtualClock } from "@cnilab/core";
import { exchange, Kernel, type NetNamespace, Network, startEchoServer } from "@cnilab/linux";
import {
  formatEndpoint,
  formatIp,
  IPPROTO_TCP,
  type Ipv6Address,
  parseIp,
  parsePrefix,
} from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { answered, forward, Lan, run } from "../test/docker-lab.ts";
import { containerResolver } from "./dns/container-resolver.ts";
import { type DaemonConfig, DockerHost } from "./docker-host.ts";
import { networkSettings } from "./output/container-inspect.ts";
import { inspectText } from "./output/docker-table.ts";
import { inspectNetwork } from "./output/network-inspect.ts";

const ip6 = (text: string): Ipv6Address => parseIp(text) as Ipv6Address;

/**
 * A host with docker at 2001:db8::10 and a neighbour at 2001:db8::20 that routes all of Docker's addresses by way of it. web (with
 * port 80 published) and db on net1 (fd01::/64), far on net2 (fd02::/64), plain on net4, which has no IPv6.
 */
class Lab extends Lan {
  readonly host: NetNamespace;
  readonly neighbour: NetNamespace;
  readonly docker: DockerHost;

  constructor(config: DaemonConfig = {}, options: Readonly<Record<string, string>> = {}) {
    super(7);
    const host = this.machine("host", "192.0.2.10", "2001:db8::10");
    this.host = host.initNs;
    if (config.firewallBackend === "nftables") forward(this.host);
    this.neighbour = this.machine("neighbour", "192.0.2.20", "2001:db8::20").initNs;
    this.neighbour.addRoute({ dst: parsePrefix("fd00::/8"), via: parseIp("2001:db8::10") });
    startEchoServer(this.neighbour, { protocol: IPPROTO_TCP, port: 80, owner: "neighbour" });
    this.docker = new DockerHost(host, config);
    this.docker.createNetwork({
      name: "net1",
      ipv6: true,
      subnet6: parsePrefix("fd01::/64"),
      options,
    });
    this.docker.createNetwork({ name: "net2", ipv6: true, subnet6: parsePrefix("fd02::/64") });
    this.docker.createNetwork({ name: "net4" });
    this.run("web", ["net1"], 8080);
    this.run("db", ["net1"]);
    this.run("far", ["net2"]);
    this.run("plain", ["net4"], 8081);
  }

  run(name: string, networks: readonly string[], port?: number): NetNamespace {
    const { netns } = run(this.docker, name, networks, {
      ports: port === undefined ? [] : [{ protocol: "tcp", port: 80, hostPorts: [port, port] }],
    });
    startEchoServer(netns, { protocol: IPPROTO_TCP, port: 80, owner: name });
    return netns;
  }

  walk(from: string, to: string, port = 80): string {
    const known: Readonly<Record<string, NetNamespace>> = {
      host: this.host,
      neighbour: this.neighbour,
    };
    const netns = known[from] ?? this.docker.container(from).netns;
    return answered(exchange(netns, { protocol: IPPROTO_TCP, dst: parseIp(to), port }));
  }
}

describe.each(["iptables", "nftables"] as const)("with %s", (firewallBackend) => {
  test.each<{ why: string; from: string; to: string; port?: number; want: string }>([
    { why: "same bridge", from: "web", to: "fd01::3", want: "db saw fd01::2" },
    { why: "another network", from: "web", to: "fd02::2", want: "timeout" },
    { why: "another network, published", from: "far", to: "fd01::2", want: "timeout" },
    {
      why: "out, masqueraded",
      from: "web",
      to: "2001:db8::20",
      want: "neighbour saw 2001:db8::10",
    },
    { why: "the host to a container", from: "host", to: "fd01::2", want: "web saw fd01::1" },
    { why: "a container's address, by the LAN", from: "neighbour", to: "fd01::3", want: "timeout" },
    {
      why: "published, by the LAN",
      from: "neighbour",
      to: "2001:db8::10",
      port: 8080,
      want: "web saw 2001:db8::20",
    },
    {
      why: "published, by another network",
      from: "far",
      to: "2001:db8::10",
      port: 8080,
      want: "web saw fd01::1",
    },
    { why: "published, by loopback", from: "host", to: "::1", port: 8080, want: "web saw fd01::1" },
    {
      why: "published by IPv4 alone: the proxy",
      from: "neighbour",
      to: "2001:db8::10",
      port: 8081,
      want: "plain saw 172.20.0.1",
    },
    { why: "no IPv6 at all", from: "plain", to: "fd01::2", want: "unreachable" },
  ])("$why: $from to $to: $want", ({ from, to, port, want }) => {
    expect(new Lab({ firewallBackend }).walk(from, to, port)).toBe(want);
  });

  test.each([
    { mode: "nat", port: "timeout", other: "timeout" },
    { mode: "nat-unprotected", port: "web saw 2001:db8::20", other: "db saw 2001:db8::20" },
    { mode: "routed", port: "web saw 2001:db8::20", other: "timeout" },
  ])("gateway mode $mode, by the LAN to containers' addresses", ({ mode, port, other }) => {
    const options = { "com.docker.network.bridge.gateway_mode_ipv6": mode };
    const lab = new Lab({ firewallBackend }, options);
    expect([lab.walk("neighbour", "fd01::2"), lab.walk("neighbour", "fd01::3")]).toEqual([
      port,
      other,
    ]);
    const mapped = lab.docker
      .container("web")
      .portMappings.map((m) => formatEndpoint(m.hostIp, m.hostPort));
    expect(mapped).toEqual(["0.0.0.0:8080", mode === "routed" ? "[::]:0" : "[::]:8080"]);
  });
});

test("without the userland proxy, IPv6 of the host reaches only containers that have it", () => {
  const lab = new Lab({ userlandProxy: false });
  expect(lab.walk("neighbour", "2001:db8::10", 8080)).toBe("web saw 2001:db8::20");
  expect(lab.walk("neighbour", "2001:db8::10", 8081)).toBe("refused");
});

test("networks get /64s of the host's own range, one after the other", () => {
  const { docker } = new Lab();
  const made = ["a", "b"].map((name) => docker.createNetwork({ name, ipv6: true }));
  const [first, second] = made.map(({ subnet6 }) => String(subnet6));
  expect(first).toMatch(/^fd[0-9a-f]{2}:[0-9a-f:]+::\/64$/);
  expect(second).toBe(first?.replace("::/64", ":1::/64"));
  docker.removeNetwork("a");
  expect(String(docker.createNetwork({ name: "c", ipv6: true }).subnet6)).toBe(first);
});

test("each family has its gateway", () => {
  const lab = new Lab();
  lab.docker.createNetwork({ name: "a4" });
  const netns = lab.run("both", ["net2", "a4"], 8090);
  const via = (prefix: string) =>
    (prefix.includes(":") ? netns.fib6 : netns.fib4)
      .routesTo(parsePrefix(prefix))
      .map((route) => formatIp(route.nexthops[0]?.gateway ?? 0));
  // Whoever leads out by both comes first.
  expect([via("0.0.0.0/0"), via("::/0")]).toEqual([["172.19.0.1"], ["fd02::1"]]);
  lab.docker.disconnect("both", "net2");
  lab.docker.connect("both", { network: "net2", gatewayPriority: -1 });
  expect([via("0.0.0.0/0"), via("::/0")]).toEqual([["172.21.0.1"], ["fd02::1"]]);
  const mapped = lab.docker.container("both").portMappings;
  expect(mapped.map((m) => formatEndpoint(m.hostIp, m.hostPort))).toEqual([
    "0.0.0.0:8090",
    "[::]:8090",
  ]);
  expect(lab.walk("neighbour", "2001:db8::10", 8090)).toBe("both saw 2001:db8::20");
  expect(lab.walk("neighbour", "192.0.2.10", 8090)).toBe("both saw 192.0.2.20");
});

test("DNS and /etc/hosts have both addresses", () => {
  const lab = new Lab();
  const web = lab.docker.container("web");
  let heard = "";
  containerResolver(web).lookup("db", "AF_UNSPEC", ({ addresses }) => {
    heard = addresses.map(formatIp).join(" ");
  });
  lab.clock.settle();
  expect(heard).toBe("172.18.0.3 fd01::3");
  expect(web.files.read("/etc/hosts")).toContain(
    `172.18.0.2\t${web.shortId}\nfd01::2\t${web.shortId}\n`,
  );
});

test("is shown as docker shows it", () => {
  const { docker } = new Lab();
  const web = docker.container("web");
  const text = inspectText([inspectNetwork(docker, "net1")]);
  expect(text).toContain('"EnableIPv6": true');
  expect(text).toContain('"IPv6Address": "fd01::2/64"');
  // All but the subnet's own, the gateway's and two containers'.
  expect(text).toContain(`"fd01::/64": {
                        "IPsInUse": 4,
                        "DynamicIPsAvailable": 18446744073709551612
                    }`);
  expect(networkSettings(docker, web)).toMatchObject({
    Networks: {
      net1: { IPv6Gateway: "fd01::1", GlobalIPv6Address: "fd01::2", GlobalIPv6PrefixLen: 64 },
    },
  });
});

test("forwarding is turned on with the first network that has IPv6, and closed for others", () => {
  const kernel = new Kernel(new Network(new VirtualClock(), new SeededRandom(1)), "host");
  kernel.initNs.loopback.setUp();
  const docker = new DockerHost(kernel);
  const state = () => [
    kernel.initNs.sysctl.get("net/ipv6/conf/all/forwarding"),
    kernel.initNs.iptables(6).list("filter", "FORWARD")[0],
  ];
  expect(state()).toEqual([0, "-P FORWARD ACCEPT"]);
  docker.createNetwork({ name: "n", ipv6: true });
  expect(state()).toEqual([1, "-P FORWARD DROP"]);
});

test.each<{ name: string; act: (docker: DockerHost) => void; error: string }>([
  {
    name: "an address outside the subnet",
    act: (d) => d.connect("plain", { network: "net1", ip6: ip6("fd09::1") }),
    error: "no configured subnet contains IP address fd09::1: network net1 has fd01::/64",
  },
  {
    name: "an IPv6 address where there is none",
    act: (d) => d.connect("web", { network: "net4", ip6: ip6("fd01::9") }),
    error: "network net4 has no IPv6",
  },
  {
    name: "an address twice",
    act: (d) => d.connect("plain", { network: "net1", ip6: ip6("fd01::2") }),
    error: "fd01::2 is already in use",
  },
  {
    name: "a subnet of the wrong family",
    act: (d) => d.createNetwork({ name: "n", ipv6: true, subnet6: parsePrefix("10.0.0.0/24") }),
    error: "10.0.0.0/24 is no IPv6 subnet",
  },
  {
    name: "an overlapping subnet",
    act: (d) => d.createNetwork({ name: "n", ipv6: true, subnet6: parsePrefix("fd01::/48") }),
    error: "Pool overlaps with other one",
  },
  {
    name: "a gateway outside the subnet",
    act: (d) =>
      d.createNetwork({
        name: "n",
        ipv6: true,
        subnet6: parsePrefix("fd09::/64"),
        gateway6: ip6("fd08::1"),
      }),
    error: "invalid gateway fd08::1",
  },
])("refuses $name, and loses nothing", ({ act, error }) => {
  const { docker } = new Lab();
  expect(() => act(docker)).toThrow(error);
  docker.connect("plain", { network: "net1" });
  const [, endpoint] = docker.container("plain").endpoints;
  expect([formatIp(endpoint?.address ?? 0), formatIp(endpoint?.address6 ?? 0)]).toEqual([
    "172.18.0.4",
    "fd01::4",
  ]);
  expect(String(docker.createNetwork({ name: "next" }).subnet)).toBe("172.21.0.0/16");
});
