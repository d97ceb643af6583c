import { InputError, SeededRandom, VirtualClock } from "@cnilab/core";
import { exchange, Kernel, Network } from "@cnilab/linux";
import { formatIp, IPPROTO_TCP, parseIp } from "@cnilab/net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DockerHost } from "../docker-host.ts";
import { ComposeStack } from "./compose-stack.ts";
import { imagePorts } from "./image-ports.ts";
import { readCompose } from "./read-compose.ts";

function up(text: string): ComposeStack {
  const kernel = new Kernel(new Network(new VirtualClock(), new SeededRandom(3)), "host");
  kernel.initNs.loopback.setUp();
  const project = readCompose([{ name: "compose.yaml", text }], { projectName: "p" });
  return new ComposeStack(new DockerHost(kernel), project);
}

/** A container's addresses, by the networks that it is on. */
function addresses(stack: ComposeStack, name: string): Readonly<Record<string, string>> {
  const [member] = stack.find(name);
  return Object.fromEntries(
    (member?.container.endpoints ?? []).map(({ network, address }) => [
      network.name,
      formatIp(address),
    ]),
  );
}

function reaches(stack: ComposeStack, from: string, to: string): string {
  const [, address, port] = /^\[?([^\]]*)\]?:(\d+)$/.exec(to) ?? [];
  const netns = stack.find(from)[0]?.container.netns ?? stack.docker.kernel.initNs;
  const { outcome, report } = exchange(netns, {
    protocol: IPPROTO_TCP,
    dst: parseIp(address as string),
    port: Number(port),
  });
  return report?.owner ?? outcome;
}

const THREE = `
services:
  web:
    image: nginx
    ports: ["8080:80"]
    networks: { back: {}, front: { priority: 5, gw_priority: 1 } }
    depends_on: [api]
  api: { image: app, expose: [9000], networks: { back: { aliases: [backend] }, data: {} }, depends_on: [db] }
  db: { image: postgres, networks: [data] }
networks: { front: {}, back: {}, data: { internal: true } }
`;

test("starts what is depended on first, and gives addresses in that order", () => {
  const stack = up(THREE);
  expect(stack.containers.map(({ container }) => container.name)).toEqual([
    "p-db-1",
    "p-api-1",
    "p-web-1",
  ]);
  expect([...stack.docker.networks.keys()]).toEqual(["bridge", "p_front", "p_back", "p_data"]);
  expect(addresses(stack, "web")).toEqual({ p_front: "172.18.0.2", p_back: "172.19.0.3" });
  expect(addresses(stack, "api")).toEqual({ p_back: "172.19.0.2", p_data: "172.20.0.3" });
  expect(stack.find("web")[0]?.container.gatewayEndpoint?.network.name).toBe("p_front");
});

// What three networks keep apart, as Docker does.
test.each([
  { from: "web", to: "172.19.0.2:9000", want: "p-api-1" },
  { from: "api", to: "172.20.0.2:5432", want: "p-db-1" },
  { from: "web", to: "172.20.0.2:5432", want: "timeout" },
  { from: "db", to: "172.19.0.2:9000", want: "unreachable" },
  { from: "api", to: "172.18.0.2:80", want: "timeout" },
  { from: "host", to: "127.0.0.1:8080", want: "p-web-1" },
  { from: "api", to: "172.19.0.3:80", want: "p-web-1" },
  { from: "api", to: "172.19.0.3:81", want: "refused" },
])("$from to $to: $want", ({ from, to, want }) => {
  expect(reaches(up(THREE), from, to)).toBe(want);
});

test("names on a network: the container's, the service's, aliases", () => {
  const [api] = up(THREE).find("api");
  expect(api?.container.endpoints.map(({ spec }) => spec.aliases)).toEqual([
    ["p-api-1", "api", "backend"],
    ["p-api-1", "api"],
  ]);
});

test("modes: host, none, another service's, another container's, the default bridge", () => {
  const stack = up(`
services:
  h: { image: nginx, network_mode: host }
  n: { image: nginx, network_mode: none }
  s: { image: app, expose: [9000], network_mode: "service:d" }
  c: { image: app, network_mode: "container:dee" }
  d: { image: app, network_mode: bridge, container_name: dee, expose: [9001] }
`);
  const netns = (name: string) => stack.find(name)[0]?.container.netns;
  const { initNs } = stack.docker.kernel;
  expect(netns("h")).toBe(initNs);
  expect(netns("n")?.devices.map(({ name }) => name)).toEqual(["lo"]);
  expect([netns("s"), netns("c")]).toEqual([netns("dee"), netns("dee")]);
  expect(addresses(stack, "d")).toEqual({ bridge: "172.17.0.2" });
  expect(reaches(stack, "host", "172.17.0.2:9000")).toBe("p-s-1");
  expect(reaches(stack, "host", "127.0.0.1:80")).toBe("p-h-1");
  expect(stack.docker.networks.size).toBe(1);
});

test("replicas, fixed addresses, links, external networks", () => {
  const stack = up(`
services:
  web: { image: nginx, scale: 3, links: ["db:database"], networks: [default, theirs] }
  db: { image: redis, networks: { default: { ipv4_address: 10.9.0.77 } } }
networks:
  default: { ipam: { config: [{ subnet: 10.9.0.0/24, gateway: 10.9.0.9, ip_range: 10.9.0.64/26 }] } }
  theirs: { external: true }
`);
  expect(stack.find("web").map(({ container }) => container.name)).toEqual([
    "p-web-1",
    "p-web-2",
    "p-web-3",
  ]);
  expect(addresses(stack, "db")).toEqual({ p_default: "10.9.0.77" });
  expect(addresses(stack, "web")).toEqual({ p_default: "10.9.0.64", theirs: "172.18.0.2" });
  expect(stack.find("web")[0]?.container.endpoints[0]?.spec.links).toEqual([
    { container: "p-db-1", alias: "database" },
  ]);
});

test("addresses of both families", () => {
  const stack = up(`
services:
  web: { image: nginx, networks: { n: { ipv6_address: "fd00:1::9" } } }
  db: { image: redis, networks: [n] }
networks: { n: { enable_ipv6: true, ipam: { config: [{ subnet: "fd00:1::/64" }] } } }
`);
  const [web] = stack.find("web");
  expect(formatIp(web?.container.endpoints[0]?.address6 ?? 0)).toBe("fd00:1::9");
  expect(reaches(stack, "db", "[fd00:1::9]:80")).toBe("p-web-1");
});

test("two programs of one network stack cannot have one port", () => {
  const stack = up(`
services:
  a: { image: nginx }
  b: { image: nginx, network_mode: "service:a" }
`);
  expect(stack.warnings).toEqual([
    "p-b-1: cannot listen on 80/tcp: another program with the same network does",
  ]);
});

describe("what Docker refuses is one line with its place", () => {
  test.each([
    {
      text: "services: { web: { image: nginx, scale: 2, ports: ['80:80'] } }",
      error: "compose.yaml:1: services.web: Docker refuses it: ",
    },
    {
      text: `services: { a: { image: x, network_mode: "container:gone" } }`,
      error: "services.a: network_mode: there is no container gone to share the network of",
    },
    {
      text: `services: { a: { image: x, networks: { n: { ipv4_address: 10.0.0.1 } } } }
networks: { n: { ipam: { config: [{ subnet: 10.0.0.0/24 }] } } }`,
      error: "10.0.0.1 is already in use",
    },
    {
      text: `services: { a: { image: x, networks: [n, m] } }
networks: { n: { ipam: { config: [{ subnet: 10.0.0.0/24 }] } }, m: { ipam: { config: [{ subnet: 10.0.0.0/16 }] } } }`,
      error: "compose.yaml:2: networks.m: Docker refuses it: ",
    },
    {
      text: `services: { a: { image: x, networks: [n] } }
networks: { n: { driver_opts: { com.docker.network.driver.mtu: big } } }`,
      error: "failed to parse com.docker.network.driver.mtu value: big",
    },
    {
      text: `services: { a: { image: x, ports: ["10.9.9.9:80:80"] } }`,
      error: "services.a: Docker refuses it: ",
    },
    {
      text: `services: { a: { image: x, networks: [h, n] } }
networks: { h: { external: true, name: host }, n: {} }`,
      error: "services.a: networks: host cannot stand beside other networks",
    },
  ])("$error", ({ text, error }) => {
    expect(() => up(text)).toThrow(InputError);
    expect(() => up(text)).toThrow(error);
  });
});

test.each([
  { image: "nginx", want: [80] },
  { image: "docker.io/library/redis:8-alpine", want: [6379] },
  { image: "postgres@sha256:abc", want: [5432] },
  { image: "php:8-fpm", want: [9000] },
  { image: "registry.example:5000/nginx", want: [] },
  { image: "constructor", want: [] },
])("ports of $image", ({ image, want }) => {
  expect(imagePorts(image).map(({ port }) => port)).toEqual(want);
});

describe("any project comes up, or is refused in one line", () => {
  /** A few of these fields: with all of them, nothing would come up. */
  const few = (
    fields: Readonly<Record<string, fc.Arbitrary<unknown>>>,
    most: number,
    always: object = {},
  ): fc.Arbitrary<object> =>
    fc
      .uniqueArray(fc.constantFrom(...Object.keys(fields)), { maxLength: most })
      .chain((keys) =>
        fc.record(
          Object.fromEntries(keys.map((key) => [key, fields[key] as fc.Arbitrary<unknown>])),
        ),
      )
      .map((found) => ({ ...always, ...found }));
  const network = few(
    {
      internal: fc.boolean(),
      enable_ipv6: fc.boolean(),
      external: fc.boolean(),
      name: fc.constantFrom("bridge", "host", "none", "one", "two"),
      driver_opts: fc.dictionary(
        fc.constantFrom(
          "com.docker.network.bridge.enable_icc",
          "com.docker.network.bridge.name",
          "com.docker.network.bridge.gateway_mode_ipv4",
          "com.docker.network.bridge.host_binding_ipv4",
          "com.docker.network.driver.mtu",
        ),
        fc.constantFrom("false", "docker0", "br0", "routed", "isolated", "127.0.0.1", "1400", "9"),
        { maxKeys: 2 },
      ),
      ipam: fc.record({
        config: fc.array(
          fc.record(
            {
              subnet: fc.constantFrom(
                "10.1.0.0/24",
                "10.1.0.0/30",
                "172.17.0.0/16",
                "fd00:1::/64",
                "0.0.0.0/0",
              ),
              gateway: fc.constantFrom("10.1.0.1", "10.1.0.2", "10.1.0.0", "fd00:1::1"),
              ip_range: fc.constantFrom("10.1.0.0/30", "10.1.0.2/32", "fd00:1::/126"),
            },
            { requiredKeys: [] },
          ),
          { maxLength: 2 },
        ),
      }),
    },
    2,
  );
  const attachment = few(
    {
      ipv4_address: fc.constantFrom("10.1.0.2", "10.1.0.3", "10.1.0.1", "10.1.0.255"),
      ipv6_address: fc.constantFrom("fd00:1::1", "fd00:1::2"),
      aliases: fc.uniqueArray(fc.constantFrom("a", "b", "web"), { maxLength: 2 }),
      gw_priority: fc.integer(),
      mac_address: fc.constantFrom("02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff"),
    },
    1,
  );
  const service = few(
    {
      image: fc.constantFrom("nginx", "redis", "app"),
      container_name: fc.constantFrom("one", "two"),
      network_mode: fc.constantFrom(
        "host",
        "none",
        "bridge",
        "service:a",
        "container:one",
        "container:p-b-1",
      ),
      networks: fc.dictionary(fc.constantFrom("x", "y", "default"), fc.option(attachment), {
        maxKeys: 2,
      }),
      ports: fc.uniqueArray(
        fc.constantFrom(
          "80:80",
          "80",
          "8000-8001:80",
          "127.0.0.1:81:80",
          "53:53/udp",
          "5:5/sctp",
          "[::1]:82:80",
          "8.8.8.8:1:1",
        ),
        { maxLength: 3 },
      ),
      expose: fc.uniqueArray(fc.constantFrom("80", "53/udp", "1-3"), { maxLength: 2 }),
      scale: fc.integer({ min: 0, max: 3 }),
      depends_on: fc.uniqueArray(fc.constantFrom("a", "b"), { maxLength: 1 }),
      links: fc.uniqueArray(fc.constantFrom("a", "b:alias"), { maxLength: 1 }),
      extra_hosts: fc.uniqueArray(fc.constantFrom("h:10.0.0.1", "h:host-gateway"), {
        maxLength: 1,
      }),
      dns: fc.constantFrom("1.1.1.1", "::1"),
      hostname: fc.constantFrom("h", "host.example", "-"),
    },
    3,
    { image: "nginx" },
  );
  const project = fc.record({
    services: fc.dictionary(fc.constantFrom("a", "b", "c"), service, { minKeys: 1 }),
    networks: fc.record({ x: network, y: network }),
  });

  test("of any services and networks", () => {
    let running = 0;
    fc.assert(
      fc.property(project, (given) => {
        try {
          const stack = up(JSON.stringify(given));
          running++;
          for (const { container } of stack.containers) expect(container.isRunning).toBe(true);
        } catch (error) {
          if (!(error instanceof InputError)) throw error;
          expect(error.message).not.toContain("\n");
          expect(error.message).toMatch(/^compose\.yaml:1: /);
        }
      }),
      { numRuns: 400 },
    );
    expect(running).toBeGreaterThan(20);
  });
});
