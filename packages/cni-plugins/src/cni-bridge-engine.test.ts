import type {
  CniResult,
  IpamEngine,
  IpamRequest,
  NetworkConfigList,
  PodAttachment,
} from "@cnilab/core";
import { Bridge, type Route } from "@cnilab/linux";
import { formatIp, parseIp, parsePrefix } from "@cnilab/net";
import { expect, test } from "vitest";
import { failureOf, TestNode } from "../test/node.ts";
import { CniBridgeEngine, type CniBridgeEngineOptions } from "./cni-bridge-engine.ts";
import { PLUGINS } from "./plugins.ts";

const list: NetworkConfigList = {
  cniVersion: "1.0.0",
  name: "cbr0",
  plugins: [
    {
      type: "bridge",
      isDefaultGateway: true,
      ipam: {
        type: "host-local",
        ranges: [[{ subnet: "10.1.0.0/24" }], [{ subnet: "fd00:1::/64" }]],
      },
    },
    { type: "portmap", capabilities: { portMappings: true } },
    { type: "bandwidth", capabilities: { bandwidth: true } },
  ],
};

class Setup {
  readonly node = new TestNode();
  readonly engine: CniBridgeEngine;

  constructor(options: Partial<CniBridgeEngineOptions> = {}) {
    this.engine = new CniBridgeEngine({ machine: this.node.kernel, network: list, ...options });
  }

  pod(name: string, more: Partial<PodAttachment> = {}): PodAttachment {
    const { kernel } = this.node;
    return {
      containerId: name,
      ifName: "eth0",
      sandbox: kernel.findNamespace(name) ?? kernel.addNamespace(name),
      pod: { namespace: "shop", name, uid: `uid-${name}`, labels: {}, annotations: {} },
      portMappings: [],
      ...more,
    };
  }

  /** Routes of the node that lead to single pods. */
  podRoutes(): string[] {
    const isHost = ({ prefix }: Route) => prefix.isHost;
    return [...this.node.kernel.initNs.fib4.main.routes()]
      .filter(isHost)
      .map((r) => `${r.prefix} dev ${r.nexthops[0]?.dev?.name}`);
  }
}

function addresses(result: CniResult): string[] {
  return (result.ips ?? []).map((ip) => ip.address);
}

test("a pod is joined, checked, taken off and joined again", () => {
  const { engine, node, pod } = bound(new Setup());
  const web = pod("web");
  expect(addresses(engine.attach(web))).toEqual(["10.1.0.2/24", "fd00:1::2/64"]);
  const sandbox = node.kernel.findNamespace("web");
  expect(sandbox?.loopback.up).toBe(true);
  engine.check(web);
  sandbox?.device("eth0").removeAddress(parseIp("10.1.0.2"));
  expect(failureOf(() => engine.check(web))).toBe(
    "999 Failed to match addr 10.1.0.2/24 on interface eth0",
  );
  engine.detach(web);
  engine.detach(web);
  expect(node.kernel.files.list("/var/lib/cni/results")).toEqual([]);
  expect(addresses(engine.attach(web))).toEqual(["10.1.0.3/24", "fd00:1::3/64"]);
});

test("plugins learn of the pod what containerd tells them", () => {
  const seen: string[] = [];
  const spy = {
    type: "bandwidth",
    add: ({
      args,
      config,
    }: {
      args: string;
      config: { runtimeConfig?: unknown; prevResult?: CniResult };
    }) => {
      seen.push(args, JSON.stringify(config.runtimeConfig));
      return config.prevResult as CniResult;
    },
    del: () => {},
    check: () => {},
  };
  const plugins = new Map(PLUGINS).set("bandwidth", spy);
  const { engine, pod } = bound(new Setup({ plugins }));
  engine.attach(pod("web", { bandwidth: { ingressRate: 8000 } }));
  expect(seen).toEqual([
    "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=web;K8S_POD_UID=uid-web;IgnoreUnknown=1",
    '{"bandwidth":{"ingressRate":8000,"ingressBurst":4294967295}}',
  ]);
});

test("a host port is forwarded, and gone with its pod", () => {
  const { engine, node, pod } = bound(new Setup());
  const web = pod("web", {
    portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "TCP" }],
  });
  engine.attach(web);
  const iptables = node.kernel.initNs.iptables(4);
  const dnat = () =>
    iptables
      .save("nat")
      .split("\n")
      .filter((line) => line.includes("DNAT --to"));
  expect(dnat()).toEqual([
    expect.stringMatching(
      /^-A CNI-DN-\S+ -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.1.0.2:80$/,
    ),
  ]);
  expect(node.kernel.initNs.device("cni0").conf4.route_localnet).toBe(1);
  engine.detach(web);
  expect(dnat()).toEqual([]);
});

test.each([
  ["no network yet", undefined, "11 cni plugin not initialized"],
  [
    "a plugin that is not installed",
    { ...list, plugins: [{ type: "weave" }] },
    '999 plugin type="weave" failed (add): failed to find plugin "weave" in path [/opt/cni/bin]',
  ],
])("%s", (_, network, expected) => {
  const { engine, pod } = bound(new Setup({ network: () => network }));
  expect(failureOf(() => engine.attach(pod("web")))).toBe(expected);
});

test.each([
  ["in the range", ["10.1.0.77"], ["10.1.0.77/24", "fd00:1::2/64"], []],
  ["of both families", ["10.1.0.77", "fd00:1::77"], ["10.1.0.77/24", "fd00:1::77/64"], []],
  ["from outside", ["10.9.9.9"], ["10.9.9.9/24", "fd00:1::2/64"], ["10.9.9.9/32 dev cni0"]],
  [
    "from outside, both families",
    ["10.9.9.9", "fd00:9::9"],
    ["10.9.9.9/24", "fd00:9::9/64"],
    ["10.9.9.9/32 dev cni0"],
  ],
])("a requested address %s", (_, ips, expected, routes) => {
  const setup = new Setup();
  const { engine, node, pod } = bound(setup);
  const web = pod("web", { requestedIps: ips.map(parseIp) });
  expect(addresses(engine.attach(web))).toEqual(expected);
  expect(setup.podRoutes()).toEqual(routes);
  engine.check(web);
  // A neighbour on the same bridge and the pod itself reach each other by the node.
  engine.attach(pod("other"));
  for (const [from, to] of [
    ["other", ips[0]],
    ["web", "10.1.0.2"],
  ]) {
    const flow = { dst: parseIp(to ?? "") };
    const route = node.kernel.findNamespace(from ?? "")?.routeGet(flow);
    expect(typeof route === "object" && route.dst.gateway).not.toBe("EHOSTUNREACH");
    expect(typeof route).toBe("object");
  }
  engine.detach(web);
  expect(setup.podRoutes()).toEqual([]);
});

test("an address that somebody has is refused", () => {
  const { engine, pod } = bound(new Setup());
  const requestedIps = [parseIp("10.1.0.77")];
  engine.attach(pod("web", { requestedIps }));
  expect(failureOf(() => engine.attach(pod("other", { requestedIps })))).toContain(
    "requested IP address 10.1.0.77 is not available",
  );
});

/** Counts up from 172.16.0.10. */
class Counter implements IpamEngine {
  readonly requests: IpamRequest[] = [];
  readonly held = new Set<string>();

  allocate(request: IpamRequest) {
    this.requests.push(request);
    this.held.add(request.containerId);
    const address = request.requested?.[0] ?? parseIp(`172.16.0.${9 + this.requests.length}`);
    return {
      ips: [{ address: { address, length: 24 }, gateway: parseIp("172.16.0.1") }],
      routes: [{ dst: parsePrefix("172.16.0.0/16") }],
    };
  }

  release(containerId: string): void {
    this.held.delete(containerId);
  }

  check(): void {}
}

test("an IPAM engine takes the place of the network's IPAM plugin", () => {
  const ipam = new Counter();
  const { engine, node, pod } = bound(new Setup({ ipam }));
  expect(addresses(engine.attach(pod("web")))).toEqual(["172.16.0.10/24"]);
  const requestedIps = [parseIp("172.16.0.99")];
  expect(addresses(engine.attach(pod("other", { requestedIps })))).toEqual(["172.16.0.99/24"]);
  expect(
    ipam.requests.map(({ pod: who, requested }) => [who?.name, requested?.map(formatIp)]),
  ).toEqual([
    ["web", undefined],
    ["other", ["172.16.0.99"]],
  ]);
  const cni0 = node.kernel.initNs.device("cni0");
  expect(cni0).toBeInstanceOf(Bridge);
  expect(cni0.hasAddress(parseIp("172.16.0.1"))).toBe(true);
  engine.detach(pod("web"));
  expect([...ipam.held]).toEqual(["other"]);
  expect(node.kernel.files.list("/var/lib/cni/networks/cbr0")).toEqual([]);
});

/** So that tests can take the parts of a set-up apart. */
function bound(setup: Setup) {
  return { node: setup.node, engine: setup.engine, pod: setup.pod.bind(setup) };
}
