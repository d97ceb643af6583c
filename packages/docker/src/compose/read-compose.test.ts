// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Compose's own variables
import { InputError } from "@cnilab/core";
import { formatIp } from "@cnilab/net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ComposeProject } from "./compose-project.ts";
import { type ComposeOptions, readCompose } from "./read-compose.ts";

function read(texts: string | readonly string[], options: ComposeOptions = {}): ComposeProject {
  const files = [texts].flat();
  const sources = files.map((text, i) => ({
    name: i === 0 ? "compose.yaml" : `more${i}.yaml`,
    text,
  }));
  return readCompose(sources, { projectName: "shop", ...options });
}

/** One service, and what its networks and ports come to. */
function web(fields: string, rest = ""): ComposeProject["services"][number] {
  const [service] = read(`services:\n  web:\n    image: nginx\n${indent(fields)}${rest}`).services;
  return service as ComposeProject["services"][number];
}

function indent(text: string): string {
  return text.replace(/^(?=.)/gm, "    ").concat("\n");
}

test("a service without networks is on the project's own", () => {
  const { name, networks, services, warnings } = read("services: { web: { image: nginx } }");
  expect([name, warnings]).toEqual(["shop", []]);
  expect(networks.map((n) => [n.key, n.name, n.driver, n.internal])).toEqual([
    ["default", "shop_default", "bridge", false],
  ]);
  expect(services[0]?.attachments.map((a) => a.network)).toEqual(networks);
});

test.each<{ options: ComposeOptions; text: string; want: string }>([
  { options: { projectName: undefined, folder: "My Shop.v2" }, text: "", want: "myshopv2" },
  { options: { projectName: undefined, folder: "_-x" }, text: "", want: "x" },
  { options: { projectName: undefined, folder: "" }, text: "", want: "default" },
  { options: { projectName: undefined, folder: "f" }, text: "name: given\n", want: "given" },
  {
    options: { projectName: undefined, environment: { COMPOSE_PROJECT_NAME: "env" } },
    text: "name: given\n",
    want: "env",
  },
  { options: { projectName: "flag" }, text: "name: given\n", want: "flag" },
])("project name: $want", ({ options, text, want }) => {
  expect(read(`${text}services: { web: { image: nginx } }`, options).name).toBe(want);
});

test("networks, long and short", () => {
  const project = read(`
services:
  web:
    image: nginx
    networks: [front, back]
  db:
    image: postgres
    networks:
      back: { aliases: [database], ipv4_address: 172.30.0.9, gw_priority: 2, mac_address: "02:00:00:00:00:07" }
      data: { priority: 10 }
networks:
  front: { name: outer, driver_opts: { com.docker.network.driver.mtu: 1400 } }
  back:
    internal: true
    ipam: { config: [{ subnet: 172.30.0.0/24, gateway: 172.30.0.254, ip_range: 172.30.0.128/25 }] }
  data: { external: true }
  unused: {}
`);
  expect(project.networks.map(({ key, name }) => [key, name])).toEqual([
    ["front", "outer"],
    ["back", "shop_back"],
    ["data", "data"],
  ]);
  const [front, back, data] = project.networks;
  expect(front?.options).toEqual({ "com.docker.network.driver.mtu": "1400" });
  expect([back?.internal, String(back?.subnet), String(back?.ipRange), data?.external]).toEqual([
    true,
    "172.30.0.0/24",
    "172.30.0.128/25",
    true,
  ]);
  expect(formatIp(back?.gateway ?? 0)).toBe("172.30.0.254");
  const db = project.services[1];
  expect(db?.attachments.map(({ network }) => network.key)).toEqual(["data", "back"]);
  expect(db?.attachments[1]).toMatchObject({
    aliases: ["database"],
    gatewayPriority: 2,
    mac: 0x02_00_00_00_00_07,
  });
  expect(formatIp(db?.attachments[1]?.address ?? 0)).toBe("172.30.0.9");
  expect(db?.where).toBe("compose.yaml:6: services.db");
  expect(project.warnings).toEqual([
    "external networks are taken as made by docker network create before: data",
  ]);
});

test("networks of both families", () => {
  const { networks, services, warnings } = read(`
services: { web: { image: nginx, networks: { n: { ipv6_address: "fd00:1::9" } } } }
networks:
  n:
    enable_ipv6: true
    ipam: { config: [{ subnet: 10.1.0.0/24 }, { subnet: "fd00:1::/64", gateway: "fd00:1::7", ip_range: "fd00:1::/80" }] }
`);
  const [network] = networks;
  expect(warnings).toEqual([]);
  expect([
    network?.ipv6,
    String(network?.subnet),
    String(network?.subnet6),
    String(network?.ipRange6),
  ]).toEqual([true, "10.1.0.0/24", "fd00:1::/64", "fd00:1::/80"]);
  expect(formatIp(network?.gateway6 ?? 0)).toBe("fd00:1::7");
  expect(formatIp(services[0]?.attachments[0]?.address6 ?? 0)).toBe("fd00:1::9");
});

test("ports, long and short, from variables", () => {
  const [service] = read(
    `services: { web: { image: "nginx:$TAG", expose: [9000, "53/udp"], scale: "\${N:-2}",
      ports: [8080, "\${PORT}:80", { target: 443, published: "8443-8444", host_ip: 127.0.0.1, protocol: tcp, mode: host }] } }`,
    { environment: { PORT: "81", TAG: "1" } },
  ).services;
  expect(service?.image).toBe("nginx:1");
  expect(service?.replicas).toBe(2);
  expect(service?.published).toEqual([
    { protocol: "tcp", port: 8080, hostIp: undefined, hostPorts: undefined },
    { protocol: "tcp", port: 80, hostIp: undefined, hostPorts: [81, 81] },
    { protocol: "tcp", port: 443, hostIp: 0x7f000001, hostPorts: [8443, 8444] },
  ]);
  expect(service?.exposed).toEqual([
    { protocol: "tcp", port: 9000 },
    { protocol: "udp", port: 53 },
  ]);
});

test("names, environment, order", () => {
  const { services } = read(
    `
services:
  web:
    image: nginx
    hostname: www
    domainname: example.test
    extra_hosts: ["db.example:10.0.0.5", "host.docker.internal=host-gateway"]
    dns: 1.1.1.1
    dns_search: [example.test]
    links: [db, "cache:redis"]
    depends_on: { api: { condition: service_healthy } }
    environment: { A: 1, B: null, C: null }
    command: nginx -g daemon
  api: { image: a, environment: ["X=y=z", B], extra_hosts: { one: 10.0.0.1, two: [10.0.0.2, "::1"] } }
  db: { image: postgres, network_mode: "service:api" }
  cache: { image: redis, network_mode: none }
`,
    { environment: { B: "set" } },
  );
  const [first, api, db, cache] = services;
  expect(first).toMatchObject({
    hostname: "www",
    domainname: "example.test",
    extraHosts: ["db.example:10.0.0.5", "host.docker.internal:host-gateway"],
    dns: [0x01010101],
    dnsSearch: ["example.test"],
    links: [
      { service: "db", alias: "db" },
      { service: "cache", alias: "redis" },
    ],
    dependsOn: ["api", "db", "cache"],
    environment: { A: "1", B: "set" },
    command: ["nginx", "-g", "daemon"],
  });
  expect(api?.environment).toEqual({ X: "y=z", B: "set" });
  expect(api?.extraHosts).toEqual(["one:10.0.0.1", "two:10.0.0.2", "two:::1"]);
  expect([db?.mode, db?.dependsOn, db?.attachments]).toEqual([{ service: "api" }, ["api"], []]);
  expect(cache?.mode).toBe("none");
});

test.each([
  { command: "nginx -g 'daemon off;'", want: ["nginx", "-g", "daemon off;"] },
  { command: '"sh -c \\"echo a b\\" c\\\\ d"', want: ["sh", "-c", "echo a b", "c d"] },
  { command: "[a b, c]", want: ["a b", "c"] },
  { command: '""', want: [] },
  { command: "null", want: [] },
])("command $command", ({ command, want }) => {
  expect(web(`command: ${command}`).command).toEqual(want);
});

test("profiles", () => {
  const text = `services: { web: { image: w, depends_on: { tool: { condition: service_started, required: false } } },
    tool: { image: t, profiles: [debug] } }`;
  expect(read(text).services.map((s) => s.name)).toEqual(["web"]);
  expect(read(text).warnings).toEqual(["not started, as their profiles are not active: tool"]);
  expect(read(text, { profiles: ["debug"] }).services.map((s) => s.name)).toEqual(["web", "tool"]);
  expect(read(text, { profiles: ["*"] }).services).toHaveLength(2);
});

test("a second file goes on top of the first", () => {
  const base = `
services:
  web:
    image: nginx:1
    command: [a, b]
    ports: ["80:80"]
    networks: [front]
    environment: { A: 1, B: 2 }
    depends_on: [db]
  db: { image: postgres, ports: ["5432:5432"], expose: [1] }
networks: { front: {}, back: {} }
`;
  const over = `
services:
  web:
    image: nginx:2
    command: [c]
    ports: ["80:80", "81:81"]
    networks: { back: { aliases: [w] } }
    environment: ["B=3", "C=4"]
  db: { ports: !reset [], expose: !override [2] }
`;
  const [first, db] = read([base, over]).services;
  expect(first).toMatchObject({ image: "nginx:2", command: ["c"], dependsOn: ["db"] });
  expect(first?.published.map(({ port }) => port)).toEqual([80, 81]);
  expect(first?.attachments.map(({ network }) => network.key)).toEqual(["front", "back"]);
  expect(first?.environment).toEqual({ A: "1", B: "3", C: "4" });
  expect([db?.published, db?.exposed]).toEqual([[], [{ protocol: "tcp", port: 2 }]]);
  // Documents of one file do the same.
  expect(read(`${base}\n---\n${over}`).services[0]?.image).toBe("nginx:2");
});

test("what is said twice in two files is once", () => {
  const text = `
services: { web: { image: nginx, command: a b, dns: 1.1.1.1, extra_hosts: ["h:1.2.3.4"], networks: [n] } }
networks: { n: { ipam: { config: [{ subnet: 10.1.0.0/16 }] } }, unused: { driver: overlay } }`;
  const over = `
services: { web: { command: null, dns: [1.1.1.1], extra_hosts: { h: 1.2.3.4 } } }
networks: { n: { ipam: { config: [{ subnet: 10.1.0.0/16, gateway: 10.1.0.7 }] } } }`;
  const { services, networks } = read([text, over]);
  expect(services[0]).toMatchObject({ command: [], dns: [0x01010101], extraHosts: ["h:1.2.3.4"] });
  expect(formatIp(networks[0]?.gateway ?? 0)).toBe("10.1.0.7");
});

test("a mistake of a service that is not started is one", () => {
  const text = "services: { web: { image: a }, tool: { image: b, profiles: [p], ports: [x] } }";
  expect(() => read(text)).toThrow('services.tool.ports[0]: "x" is no port');
});

test("anchors, merges and extensions", () => {
  const { services } = read(`
x-common: &common { image: nginx, environment: { A: "1" } }
services:
  web: { <<: *common, x-own: [1] }
  two: *common
`);
  expect(services.map(({ image, environment }) => [image, environment])).toEqual([
    ["nginx", { A: "1" }],
    ["nginx", { A: "1" }],
  ]);
});

test("says what has no effect", () => {
  const { warnings } = read(`
services:
  web: { image: "nginx\${GONE}", env_file: x.env, networks: { n: { interface_name: net0 } }, volumes: ["a:/a"], healthcheck: {} }
networks: { n: { ipam: { config: [{ subnet: "fd00::/64" }] } } }
`);
  expect(warnings).toEqual([
    "variables that are not set, and so empty: GONE",
    "not simulated, and left out: ipam subnet fd00::/64, as enable_ipv6 is off (n), env_file (web), interface_name (web)",
  ]);
});

test("ports that are published of the host's network are discarded, and that is said", () => {
  const { services, warnings } = read(
    'services: { web: { image: nginx, network_mode: host, ports: ["80:80"] }, off: { image: x, network_mode: none } }',
  );
  expect(services.map(({ published }) => published)).toEqual([[], []]);
  expect(warnings).toEqual(["web: Docker discards published ports with network_mode: host"]);
});

describe("bad input is one line that says what, where and how to mend it", () => {
  test.each<{ text: string; error: string }>([
    { text: "", error: "compose.yaml: is empty; give a Compose file, with services" },
    { text: "# nothing", error: "compose.yaml: is empty" },
    { text: "a: [", error: "compose.yaml:1: is not valid YAML: Flow sequence" },
    { text: "a: 1\na: 2", error: "compose.yaml:2: is not valid YAML: Map keys must be unique" },
    { text: "- web", error: "compose.yaml:1: is no Compose file: that is a mapping with services" },
    { text: "just text", error: "is no Compose file" },
    { text: "services: {}", error: "compose.yaml:1: has no services; give at least one" },
    { text: "networks: {}", error: "has no services" },
    {
      text: "apiVersion: v1\nkind: Pod",
      error: "compose.yaml:1: apiVersion is no field there; there are configs, include",
    },
    {
      text: "services:\n  web: nginx",
      error: 'compose.yaml:2: services.web must be a mapping, not "nginx"',
    },
    { text: "services:\n  web:\n", error: "services.web must be a mapping, not null" },
    {
      text: "services:\n  a b: {}",
      error: 'services["a b"] is no name: letters, digits, . _ and -',
    },
    {
      text: "include: [x.yaml]\nservices: { web: { image: x } }",
      error: "compose.yaml:1: include: is not read",
    },
    { text: "name: A B\nservices: { web: { image: x } }", error: "" },
  ])("$text", ({ text, error }) => {
    expect(() => readCompose([{ name: "compose.yaml", text }])).toThrow(
      error === "" ? 'compose.yaml:1: name: "A B" must be small letters' : error,
    );
  });

  test.each<{ fields: string; rest?: string; error: string }>([
    {
      fields: "port: [80]",
      error: "compose.yaml:4: services.web.port is no field there; perhaps ports",
    },
    { fields: "ports: 80", error: "services.web.ports must be a list, not 80" },
    {
      fields: 'ports:\n  - "80:80"\n  - "x"',
      error: 'compose.yaml:6: services.web.ports[1]: "x" is no port',
    },
    {
      fields: "expose: [80, 80]",
      error: "services.web.expose[1] is there twice: take one 80 out",
    },
    {
      fields: "ports: [{ published: 80 }]",
      error: "services.web.ports[0].target is required and missing",
    },
    {
      fields: "ports: [{ target: 80, protocol: http }]",
      error: "protocol must be tcp, udp or sctp",
    },
    {
      fields: "networks: [gone]",
      error:
        "compose.yaml:4: services.web.networks[0]: there is no network gone in networks at the top",
    },
    {
      fields: "networks: { n: { ipv4_address: 1.2.3 } }",
      rest: "networks: { n: {} }",
      error: '"1.2.3" is no address; write one',
    },
    {
      fields: "networks: { n: { ipv4_address: 10.0.0.9 } }",
      rest: "networks: { n: {} }",
      error: "needs a subnet of the network's own: give networks.n an ipam.config",
    },
    {
      fields: "networks: { n: { ipv4_address: 10.0.0.9 } }",
      rest: "networks: { n: { ipam: { config: [{ subnet: 10.1.0.0/16 }] } } }",
      error: "10.0.0.9 is not in the network's subnet 10.1.0.0/16",
    },
    {
      fields: "networks: { n: { ipv6_address: fd00::9 } }",
      rest: "networks: { n: {} }",
      error: "an ipam.config with a subnet and enable_ipv6: true",
    },
    {
      fields: "networks: { n: { ipv4_address: fd00::9 } }",
      rest: "networks: { n: {} }",
      error: "fd00::9 is no address of IPv4",
    },
    {
      fields: "networks: [n]",
      rest: "networks: { n: { ipam: { config: [{ subnet: 10.0.0.0/24 }, { subnet: 10.1.0.0/24 }] } } }",
      error: "a bridge network has one subnet of IPv4",
    },
    {
      fields: "networks: [n]",
      rest: "networks: { n: { driver: overlay } }",
      error: '"overlay" is not simulated; cnilab has bridge, host and none',
    },
    {
      fields: "networks: [n]",
      rest: "networks: { n: { driver: host } }",
      error: "write external: true and name: host",
    },
    {
      fields: "networks: [n]",
      rest: "networks: { n: { ipam: { config: [{ gateway: 10.0.0.1 }] } } }",
      error: "needs a subnet beside ip_range and gateway",
    },
    {
      fields: "networks: [n]",
      rest: "networks: { n: { ipam: { config: [{ subnet: 10.0.0.0/8, gateway: 11.0.0.1 }] } } }",
      error: "11.0.0.1 is not in 10.0.0.0/8",
    },
    {
      fields: "networks: [n]",
      rest: "networks: { n: { ipam: { config: [{ subnet: 10.0.0.0/24, ip_range: 10.0.0.0/16 }] } } }",
      error: "10.0.0.0/16 is not in 10.0.0.0/24",
    },
    {
      fields: "networks: [n, m]",
      rest: "networks: { n: { name: x }, m: { name: x } }",
      error: "has the name x, which networks.n has",
    },
    {
      fields: "network_mode: host\nnetworks: [default]",
      error: "services.web.network_mode: cannot stand beside networks",
    },
    {
      fields: "network_mode: hosts",
      error: '"hosts" is none of bridge, host, none, service:NAME and container:NAME',
    },
    {
      fields: "network_mode: service:gone",
      error: "services.web.network_mode: there is no service gone",
    },
    {
      fields: "network_mode: service:db\nports: [80]",
      rest: "  db: { image: x }",
      error: "publish them there",
    },
    { fields: "depends_on: [gone]", error: "services.web.depends_on: there is no service gone" },
    { fields: 'links: ["gone:db"]', error: "services.web.links: there is no service gone" },
    {
      fields: "networks: [n]",
      rest: "networks: { n: { external: true, x-note: 1, internal: true } }",
      error: "networks.n.internal: cannot stand beside external",
    },
    {
      fields: "networks: [n]",
      rest: "networks: { n: { ipam: { config: [{ subnet: 10.0.0.5/24 }] } } }",
      error:
        "networks.n.ipam.config[0].subnet: 10.0.0.5/24 has bits set beside the range: it should be 10.0.0.0/24",
    },
    {
      fields: "networks: [n]",
      rest: "networks: { n: { enable_ipv6: true, ipam: { config: [{ subnet: 'fd00::/64', ip_range: 'fd00::5/80' }] } } }",
      error: "ip_range: fd00::5/80 has bits set beside the range: it should be fd00::/80",
    },
    { fields: "depends_on: [web]", error: "services.web: waits for itself: web -> web" },
    {
      fields: "depends_on: [db]",
      rest: "  db: { image: x, depends_on: [web] }",
      error: "waits for itself: web -> db -> web",
    },
    {
      fields: "depends_on: [db]",
      rest: "  db: { image: x, profiles: [p] }",
      error: "service db is in a profile that is not active",
    },
    {
      fields: "scale: 2\ndeploy: { replicas: 3 }",
      error: "is 2, and deploy.replicas 3; give one of them",
    },
    { fields: "scale: 2\ncontainer_name: www", error: "cannot be the name of 2 containers" },
    {
      fields: "container_name: www",
      rest: "  db: { image: x, container_name: www }",
      error: "www is the name of web's container",
    },
    { fields: "extra_hosts: [db]", error: '"db" must be NAME:ADDRESS' },
    { fields: "dns: one", error: '"one" is no address of a name server' },
    {
      fields: "extends: { service: x }",
      error: "is not read: cnilab does not follow it: write the whole with docker compose config",
    },
    { fields: 'hostname: "${"', error: "compose.yaml:4: services.web.hostname:" },
    {
      fields: 'hostname: "${H:?name it}"',
      error: "required variable H is missing a value: name it",
    },
  ])("$fields", ({ fields, rest = "", error }) => {
    let message = "";
    try {
      web(fields, rest);
    } catch (thrown) {
      expect(thrown).toBeInstanceOf(InputError);
      message = (thrown as Error).message;
    }
    expect(message).toContain(error);
    expect(message).toMatch(/^compose\.yaml:\d+: /);
  });

  test("of the file that says it", () => {
    const over = "services:\n  web:\n    depends_on: [gone]";
    expect(() => read(["services: { web: { image: x } }", over])).toThrow(
      "more1.yaml:3: services.web.depends_on: there is no service gone",
    );
  });

  test("a service needs an image", () => {
    expect(() => read("services: { web: { ports: [80] } }")).toThrow(
      "compose.yaml:1: services.web: has neither image nor build; name the image",
    );
  });

  test("bombs and depths", () => {
    const bomb = `a: &a [1,1,1,1,1,1,1,1,1,1]\n${"bcdefghi"
      .split("")
      .map((x, i) => `${x}: &${x} [${Array(10).fill(`*${"abcdefghi"[i]}`).join(",")}]`)
      .join("\n")}`;
    expect(() => read(bomb)).toThrow(/YAML bomb/);
    expect(() => read(`x-a: ${"[".repeat(20_000)}`)).toThrow(InputError);
    expect(() => read(`x-a: ${"[".repeat(20_000)}${"]".repeat(20_000)}`)).toThrow(InputError);
    expect(() => read("services: { web: { image: *gone } }")).toThrow(InputError);
  });
});

describe("whatever is given, a project or one error comes out", () => {
  const check = (text: string): void => {
    try {
      const project = read(text);
      expect(project.services.length).toBeGreaterThan(0);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      expect(error.message).not.toContain("\n");
    }
  };

  const leaf = fc.oneof(
    fc.constantFrom(
      null,
      true,
      "",
      "web",
      "db",
      "front",
      "80",
      "8080:80",
      "service:web",
      "host",
      "10.0.0.0/8",
      "10.0.0.7",
      "$X",
      "${Y",
      "__proto__",
      "toString",
    ),
    fc.integer(),
    fc.string({ maxLength: 6 }),
  );
  const key = fc.constantFrom(
    "services",
    "networks",
    "web",
    "db",
    "front",
    "default",
    "image",
    "ports",
    "expose",
    "depends_on",
    "links",
    "network_mode",
    "environment",
    "ipam",
    "config",
    "subnet",
    "gateway",
    "ip_range",
    "aliases",
    "ipv4_address",
    "external",
    "name",
    "driver",
    "driver_opts",
    "internal",
    "scale",
    "deploy",
    "replicas",
    "extra_hosts",
    "dns",
    "hostname",
    "profiles",
    "target",
    "published",
    "x-y",
    "constructor",
    "__proto__",
    "labels",
    "command",
  );
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 5 },
      leaf,
      fc.array(tie("value"), { maxLength: 3 }),
      fc.dictionary(key, tie("value"), { maxKeys: 5 }),
    ),
  }));

  test("values of any shape", () => {
    fc.assert(fc.property(value, (any) => check(JSON.stringify(any) ?? "")));
  });

  test("a good file with one value put somewhere", () => {
    const good = {
      services: {
        web: {
          image: "nginx",
          ports: ["80:80"],
          networks: { front: { aliases: ["w"] } },
          depends_on: ["db"],
        },
        db: { image: "postgres", expose: [5432], environment: ["A=b"] },
      },
      networks: { front: { ipam: { config: [{ subnet: "10.1.0.0/16" }] } } },
    };
    const paths = [
      "services.web",
      "services.web.ports",
      "services.web.networks",
      "services.web.networks.front",
      "services.web.depends_on",
      "services.db",
      "services.db.environment",
      "networks.front",
      "networks.front.ipam",
    ];
    fc.assert(
      fc.property(fc.constantFrom(...paths), key, value, (path, at, any) => {
        const copy = structuredClone(good);
        let place: Record<string, unknown> = copy;
        for (const step of path.split(".")) place = place[step] as Record<string, unknown>;
        place[at] = any;
        check(JSON.stringify(copy));
      }),
      { numRuns: 500 },
    );
  });

  test("text of YAML's own signs", () => {
    const piece = fc.constantFrom(
      "services:",
      "\n",
      "  ",
      "web:",
      " image: x",
      "- ",
      "&a ",
      "*a",
      "<<: ",
      "{",
      "}",
      "[",
      "]",
      "!reset ",
      "!!int ",
      "|",
      ">",
      "---\n",
      "%YAML 1.1\n",
      "? ",
      "'",
      '"',
      "#",
      ": ",
      "\t",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 24 }), (pieces) => check(pieces.join(""))),
      { numRuns: 500 },
    );
  });
});
