import { SeededRandom, VirtualClock } from "@cnilab/core";
import {
  type Exchange,
  exchange,
  Kernel,
  type NetNamespace,
  Network,
  startEchoServer,
} from "@cnilab/linux";
import { formatEndpoint, IPPROTO_TCP, IPPROTO_UDP, parseIp, parsePrefix } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { answered, Lan, run, serve } from "../test/docker-lab.ts";
import type { ConnectSpec } from "./container.ts";
import { type DaemonConfig, DockerHost } from "./docker-host.ts";

const ip = (text: string): number => parseIp(text) as number;

/**
 * A host with docker at 192.0.2.10 and a neighbour at 192.0.2.20 that routes all of Docker's addresses by way of it, as an
 * attacker would. Containers serve TCP and UDP port 80.
 */
class Lab extends Lan {
  readonly host: NetNamespace;
  readonly neighbour: NetNamespace;
  readonly docker: DockerHost;

  constructor(config: DaemonConfig = {}) {
    super(7);
    const machine = this.machine("host", "192.0.2.10");
    this.host = machine.initNs;
    if (config.firewallBackend === "nftables") this.host.sysctl.set("net/ipv4/ip_forward", 1);
    this.neighbour = this.machine("neighbour", "192.0.2.20").initNs;
    this.neighbour.addRoute({ dst: parsePrefix("172.16.0.0/12"), via: ip("192.0.2.10") });
    serve(this.neighbour, "neighbour");
    this.docker = new DockerHost(machine, config);
  }

  run(name: string, networks: readonly (string | ConnectSpec)[], publish?: number): void {
    const hostPorts = [publish ?? 0, publish ?? 0] as const;
    const container = run(this.docker, name, networks, {
      image: "nginx",
      ports:
        publish === undefined
          ? []
          : [
              { protocol: "tcp", port: 80, hostPorts },
              { protocol: "udp", port: 80, hostPorts },
            ],
    });
    serve(container.netns, name);
  }

  netns(name: string): NetNamespace {
    if (name === "host") return this.host;
    if (name === "neighbour") return this.neighbour;
    return (this.docker.containers.get(name) as { netns: NetNamespace }).netns;
  }

  ask(from: string, to: string, protocol: number): Exchange {
    const [address, port] = to.split(":");
    return exchange(this.netns(from), {
      protocol,
      dst: ip(address as string),
      port: Number(port),
    });
  }

  walk(from: string, to: string, protocol: number = IPPROTO_TCP): string {
    return answered(this.ask(from, to, protocol));
  }
}

/** web and db on net1 (172.18), far on net2 (172.19), shut on an internal network (172.20), alone on one without icc (172.21). */
function lab(config?: DaemonConfig): Lab {
  const made = new Lab(config);
  const { docker } = made;
  docker.createNetwork({ name: "net1" });
  docker.createNetwork({ name: "net2" });
  docker.createNetwork({ name: "internal", internal: true });
  docker.createNetwork({
    name: "noicc",
    options: { "com.docker.network.bridge.enable_icc": "false" },
  });
  docker.createNetwork({
    name: "nomasq",
    options: { "com.docker.network.bridge.enable_ip_masquerade": "false" },
  });
  made.run("web", ["net1"], 8080);
  made.run("db", ["net1"]);
  made.run("far", ["net2"]);
  made.run("shut", ["internal"], 8081);
  made.run("shut2", ["internal"]);
  made.run("alone", ["noicc"], 8082);
  made.run("alone2", ["noicc"]);
  made.run("plain", ["nomasq"]);
  return made;
}

const WALKS: readonly { why: string; from: string; to: string; want: string }[] = [
  { why: "same bridge", from: "web", to: "172.18.0.3:80", want: "db saw 172.18.0.2" },
  { why: "another network", from: "web", to: "172.19.0.2:80", want: "timeout" },
  { why: "another network, published", from: "far", to: "172.18.0.2:80", want: "timeout" },
  {
    why: "published, by the LAN",
    from: "neighbour",
    to: "192.0.2.10:8080",
    want: "web saw 192.0.2.20",
  },
  {
    why: "published, by another network",
    from: "far",
    to: "192.0.2.10:8080",
    want: "web saw 172.18.0.1",
  },
  {
    why: "published, by the host",
    from: "host",
    to: "192.0.2.10:8080",
    want: "web saw 192.0.2.10",
  },
  { why: "published, by loopback", from: "host", to: "127.0.0.1:8080", want: "web saw 172.18.0.1" },
  { why: "its own published port", from: "web", to: "192.0.2.10:8080", want: "web saw 172.18.0.1" },
  { why: "the host to a container", from: "host", to: "172.18.0.3:80", want: "db saw 172.18.0.1" },
  {
    why: "a container's address, by the LAN",
    from: "neighbour",
    to: "172.18.0.3:80",
    want: "timeout",
  },
  { why: "the same, published", from: "neighbour", to: "172.18.0.2:80", want: "timeout" },
  { why: "internal, within", from: "shut", to: "172.20.0.3:80", want: "shut2 saw 172.20.0.2" },
  { why: "internal, out", from: "shut", to: "192.0.2.20:80", want: "unreachable" },
  { why: "internal, published", from: "neighbour", to: "192.0.2.10:8081", want: "refused" },
  { why: "internal, by another network", from: "web", to: "172.20.0.2:80", want: "timeout" },
  { why: "no icc", from: "alone2", to: "172.21.0.2:80", want: "timeout" },
  { why: "no icc, published", from: "alone2", to: "192.0.2.10:8082", want: "alone saw 172.21.0.1" },
  { why: "no icc, out", from: "alone", to: "192.0.2.20:80", want: "neighbour saw 192.0.2.10" },
  { why: "out, masqueraded", from: "web", to: "192.0.2.20:80", want: "neighbour saw 192.0.2.10" },
  {
    why: "out, as it is: the answer is taken for direct access",
    from: "plain",
    to: "192.0.2.20:80",
    want: "timeout",
  },
];

describe.each(["iptables", "nftables"] as const)("with %s", (firewallBackend) => {
  test.each(WALKS)("$why: $from to $to: $want", ({ from, to, want }) => {
    expect(lab({ firewallBackend }).walk(from, to)).toBe(want);
  });
  test.each(WALKS.filter(({ want }) => want !== "refused"))(
    "UDP, $why: $want",
    ({ from, to, want }) => {
      expect(lab({ firewallBackend }).walk(from, to, IPPROTO_UDP)).toBe(want);
    },
  );
});

test.each([
  { from: "host", to: "127.0.0.1:8080", want: "web saw 172.18.0.1" },
  { from: "web", to: "192.0.2.10:8080", want: "web saw 172.18.0.1" },
  { from: "db", to: "192.0.2.10:8080", want: "web saw 172.18.0.3" },
  { from: "neighbour", to: "192.0.2.10:8080", want: "web saw 192.0.2.20" },
])("without the userland proxy, $from to $to: $want", ({ from, to, want }) => {
  const made = lab({ userlandProxy: false });
  expect(made.host.sockets.listening(IPPROTO_TCP, 8080)).toEqual([]);
  expect(made.walk(from, to)).toBe(want);
});

test("allow-direct-routing lets in what is for containers that do not masquerade", () => {
  const made = lab({ allowDirectRouting: true });
  expect(made.walk("plain", "192.0.2.20:80")).toBe("neighbour saw 172.22.0.2");
  expect(made.walk("neighbour", "172.18.0.2:80")).toBe("web saw 192.0.2.20");
  expect(made.walk("neighbour", "172.18.0.3:80")).toBe("timeout");
});

test("without rules, only routing and proxies are left", () => {
  const made = lab({ iptables: false });
  expect(made.walk("web", "172.19.0.2:80")).toBe("far saw 172.18.0.2");
  expect(made.walk("neighbour", "192.0.2.10:8080")).toBe("web saw 172.18.0.1");
});

test.each([
  { mode: "nat", port: "timeout", other: "timeout" },
  { mode: "nat-unprotected", port: "xx saw 192.0.2.20", other: "xx saw 192.0.2.20" },
  { mode: "routed", port: "xx saw 192.0.2.20", other: "timeout" },
])("gateway mode $mode, by the LAN to containers' addresses", ({ mode, port, other }) => {
  const made = new Lab();
  const options = { "com.docker.network.bridge.gateway_mode_ipv4": mode };
  made.docker.createNetwork({ name: "n", options });
  made.run("xx", ["n"], 8080);
  expect(made.walk("neighbour", "172.18.0.2:80")).toBe(port);
  startEchoServer(made.netns("xx"), { protocol: IPPROTO_TCP, port: 81, owner: "xx" });
  expect(made.walk("neighbour", "172.18.0.2:81")).toBe(other);
  const mapped = made.docker
    .container("xx")
    .portMappings.map(({ hostIp, hostPort }) => formatEndpoint(hostIp, hostPort));
  const proxied = "[::]:8080";
  expect(mapped.sort()).toEqual(
    mode === "routed"
      ? ["0.0.0.0:0", "0.0.0.0:0", proxied, proxied]
      : ["0.0.0.0:8080", "0.0.0.0:8080", proxied, proxied],
  );
});

test.each([
  { before: 0, noDrop: false, want: "DROP" },
  { before: 0, noDrop: true, want: "ACCEPT" },
  { before: 1, noDrop: false, want: "ACCEPT" },
])(
  "ip_forward $before, --ip-forward-no-drop $noDrop: FORWARD $want",
  ({ before, noDrop, want }) => {
    const kernel = new Kernel(new Network(new VirtualClock(), new SeededRandom(1)), "host");
    kernel.initNs.sysctl.set("net/ipv4/ip_forward", before);
    new DockerHost(kernel, { ipForwardNoDrop: noDrop });
    expect(kernel.initNs.sysctl.get("net/ipv4/ip_forward")).toBe(1);
    expect(kernel.initNs.iptables(4).list("filter", "FORWARD")[0]).toBe(`-P FORWARD ${want}`);
  },
);

test("nftables demands that the host forwards already", () => {
  const kernel = new Kernel(new Network(new VirtualClock(), new SeededRandom(1)), "host");
  expect(() => new DockerHost(kernel, { firewallBackend: "nftables" })).toThrow(
    "IPv4 forwarding is disabled",
  );
});

test("an isolated network has no address on the host", () => {
  const made = new Lab();
  const options = { "com.docker.network.bridge.gateway_mode_ipv4": "isolated" };
  const { bridge } = made.docker.createNetwork({ name: "n", internal: true, options });
  expect(bridge.addresses4).toEqual([]);
  made.run("xx", ["n"]);
  made.run("yy", ["n"]);
  expect(made.walk("yy", "172.18.0.1:80")).toBe("xx saw 172.18.0.2");
  expect(made.walk("host", "172.18.0.1:80")).toBe("unreachable");
});

test.each<{ networks: ConnectSpec[]; want: string }>([
  { networks: [{ network: "b" }, { network: "a" }], want: "172.18.0.1" },
  { networks: [{ network: "a" }, { network: "b", gatewayPriority: 1 }], want: "172.19.0.1" },
  { networks: [{ network: "c" }, { network: "b" }], want: "172.19.0.1" },
])("default route of $networks by $want", ({ networks, want }) => {
  const made = new Lab();
  made.docker.createNetwork({ name: "a" });
  made.docker.createNetwork({ name: "b" });
  made.docker.createNetwork({ name: "c", internal: true });
  made.run("xx", networks);
  const routes = made.netns("xx").fib4.routesTo(parsePrefix("0.0.0.0/0"));
  expect(routes.map((r) => r.nexthops[0]?.gateway)).toEqual([ip(want)]);
});

test("published ports follow the gateway, and end with their container", () => {
  const made = new Lab();
  made.docker.createNetwork({ name: "a" });
  made.docker.createNetwork({ name: "b" });
  made.run("xx", ["b"], 8080);
  const to = "127.0.0.1:8080";
  expect(made.walk("host", to)).toBe("xx saw 172.19.0.1");
  made.docker.connect("xx", { network: "a" });
  expect(made.walk("host", to)).toBe("xx saw 172.18.0.1");
  made.docker.disconnect("xx", "a");
  expect(made.walk("host", to)).toBe("xx saw 172.19.0.1");
  expect(made.walk("xx", "192.0.2.20:80")).toBe("neighbour saw 192.0.2.10");
  made.docker.remove("xx");
  expect(made.walk("host", to)).toBe("refused");
  expect(made.host.iptables(4).save()).not.toContain("8080");
  made.docker.removeNetwork("a");
  made.docker.removeNetwork("b");
  expect(made.host.iptables(4).save()).not.toContain("br-");
});

test("an address that is used anew is found at once", () => {
  const made = new Lab();
  made.docker.createNetwork({ name: "a" });
  made.run("xx", ["a"]);
  made.run("yy", ["a"]);
  expect(made.walk("xx", "172.18.0.3:80")).toBe("yy saw 172.18.0.2");
  made.docker.remove("yy");
  made.run("zz", ["a"]);
  expect(made.walk("xx", "172.18.0.3:80")).toBe("zz saw 172.18.0.2");
});

test("host, none and the network of another container", () => {
  const made = new Lab();
  made.run("xx", ["bridge"]);
  const { docker } = made;
  expect(docker.run({ name: "hh", image: "i", network: "host" }).netns).toBe(made.host);
  expect(docker.run({ name: "nn", image: "i", network: "none" }).netns.devices).toHaveLength(1);
  const sidecar = docker.run({ name: "ss", image: "i", network: { container: "xx" } });
  expect(sidecar.netns).toBe(made.netns("xx"));
  docker.remove("xx");
  expect(docker.kernel.findNamespace("xx")).toBe(sidecar.netns);
  docker.remove("ss");
  expect(docker.kernel.findNamespace("xx")).toBeUndefined();
});

test.each<{ name: string; act: (docker: DockerHost) => void; error: string }>([
  {
    name: "a network twice",
    act: (d) => d.createNetwork({ name: "bridge" }),
    error: "already exists",
  },
  {
    name: "an overlapping subnet",
    act: (d) => d.createNetwork({ name: "n", subnet: parsePrefix("172.17.0.0/24") }),
    error: "Pool overlaps",
  },
  {
    name: "a bad option",
    act: (d) => d.createNetwork({ name: "n", options: { "com.docker.network.driver.mtu": "big" } }),
    error: "failed to parse com.docker.network.driver.mtu value: big",
  },
  {
    name: "an isolated network that is not internal",
    act: (d) =>
      d.createNetwork({
        name: "n",
        options: { "com.docker.network.bridge.gateway_mode_ipv4": "isolated" },
      }),
    error: "can only be used for an internal network",
  },
  {
    name: "a network that is not there",
    act: (d) => d.run({ name: "yy", image: "i", network: [{ network: "n" }] }),
    error: "network n not found",
  },
  {
    name: "a host port twice",
    act: (d) =>
      d.run({
        name: "yy",
        image: "i",
        ports: [
          { protocol: "tcp", port: 81 },
          { protocol: "tcp", port: 80, hostPorts: [8080, 8080] },
        ],
      }),
    error: "port is already allocated",
  },
  {
    name: "a network in use",
    act: (d) => d.removeNetwork("used"),
    error: 'active endpoints: name:"xx"',
  },
])("refuses $name, and leaves nothing behind", ({ act, error }) => {
  const made = new Lab();
  made.docker.createNetwork({ name: "used" });
  made.run("xx", ["used"], 8080);
  const state = () => [
    made.host.iptables(4).save(),
    made.host.devices.map((dev) => dev.name),
    [...made.docker.networks.keys()],
    [...made.docker.containers.keys()],
    [...made.docker.kernel.namespaces].length,
  ];
  const before = state();
  expect(() => act(made.docker)).toThrow(error);
  expect(state()).toEqual(before);
  expect(String(made.docker.createNetwork({ name: "next" }).subnet)).toBe("172.19.0.0/16");
});

test("goes around the host's own link", () => {
  const made = new Lab();
  made.docker.kernel.files.write("/etc/resolv.conf", "nameserver 172.18.0.53\n");
  made.host.device("ens1").addAddress(ip("172.19.3.4"), 20);
  expect(String(made.docker.createNetwork({ name: "n" }).subnet)).toBe("172.20.0.0/16");
});
