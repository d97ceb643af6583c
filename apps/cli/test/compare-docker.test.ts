import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { cnilab, ROOT } from "./cnilab.ts";

const FOLDER = join(ROOT, "apps/examples/compose");

/** Commands of the example's README, and what they print there. */
const PRINTED = [
  ...readFileSync(join(FOLDER, "README.md"), "utf8").matchAll(
    /^```console\n\$ cnilab (.*)\n([\s\S]*?)^```$/gm,
  ),
].map(([, command = "", output = ""]) => ({ command, output }));

test("the example's README has commands", () => {
  expect(PRINTED.map(({ command }) => command.split(" ")[0])).toEqual([
    "docker",
    "docker",
    "docker",
    "compare",
    "compare",
  ]);
});

test.each(PRINTED)(
  "the example prints what its README says: $command",
  async ({ command, output }) => {
    const { stdout } = await cnilab(command.split(" "), { cwd: FOLDER });
    expect(stdout).toBe(output);
  },
);

test("fits one screen", () => {
  for (const { output } of PRINTED.filter(({ command }) => command.startsWith("compare"))) {
    expect(output.split("\n").length).toBeLessThanOrEqual(50);
    expect(Math.max(...output.split("\n").map((line) => line.length))).toBeLessThanOrEqual(100);
  }
});

const COMPOSE = ["compare", "--docker", "compose.yaml"];
const compare = (...args: string[]) => cnilab([...COMPOSE, ...args], { cwd: FOLDER });

interface Json {
  readonly workloads: {
    both: string[];
    dockerOnly: string[];
    kubernetesOnly: string[];
    notCompared: string[];
  };
  readonly pairs: {
    source: string;
    destination: string;
    port: number;
    docker: { allowed: boolean; asked: string; cause: string; verdict: string };
    kubernetes: { allowed: boolean; asked: string; cause: string; verdict: string };
  }[];
  readonly differences: { kind: string; count: number; text: string }[];
  readonly configured: Record<
    "docker" | "kubernetes",
    { kind: string; what: string; where: string; why: string }[]
  >;
}

async function asJson(...args: string[]): Promise<Json> {
  const { stdout, status } = await compare(...args, "-o", "json");
  expect(status).toBe(0);
  return JSON.parse(stdout);
}

test("as data: each way on both sides, with what was asked for and what was in the way", async () => {
  const { workloads, pairs, differences } = await asJson(
    "-f",
    "../shop/shop.yaml",
    "--cni",
    "calico",
  );
  expect([workloads.both.length, workloads.dockerOnly, workloads.kubernetesOnly]).toEqual([
    11,
    [],
    [],
  ]);
  const pair = (source: string, destination: string) =>
    pairs.find((p) => p.source === source && p.destination === destination);
  expect(pair("checkout", "cache")).toMatchObject({
    port: 6379,
    docker: { allowed: true, asked: "cache:6379", cause: "" },
    kubernetes: {
      allowed: false,
      verdict: "blocked",
      cause: "NetworkPolicy shop-data/cache-for-cart-only",
    },
  });
  expect(pair("frontend", "orders")).toMatchObject({
    docker: { allowed: false, cause: "no network in common" },
    kubernetes: { allowed: true, asked: "orders.shop-data:5432" },
  });
  expect(pair("internet", "frontend")).toMatchObject({
    docker: { allowed: true, asked: "192.0.2.10:8080" },
    kubernetes: { allowed: false, cause: "Service of type ClusterIP" },
  });
  expect(differences.map(({ kind, count }) => [kind, count])).toEqual([
    ["kubernetes only", 21],
    ["docker only", 2],
    ["docker only", 1],
    ["name", 7],
    ["port", 8],
  ]);
});

/** Services of every mode, and what is left of them on Kubernetes. */
const MODES = `
services:
  web: { image: nginx, network_mode: host }
  side: { image: app, expose: [9000], network_mode: "service:db" }
  db: { image: postgres, networks: [n] }
  off: { image: redis, network_mode: none }
  zero: { image: redis, scale: 0 }
  many: { image: redis, scale: 3, networks: [n], ports: ["6379"] }
  old: { image: nginx, network_mode: bridge, ports: ["127.0.0.1:9090:80"] }
networks: { n: { driver_opts: { com.docker.network.bridge.enable_icc: "false" } } }
`;
const MODES_MANIFESTS = `
{apiVersion: v1, kind: Pod, metadata: {name: web, labels: {a: web}}, spec: {containers: [{name: c, ports: [{containerPort: 80}]}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {type: NodePort, selector: {a: web}, ports: [{port: 8080, targetPort: 80}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: db, labels: {a: db}}, spec: {containers: [{name: c, ports: [{containerPort: 5432}]}]}}
---
{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: many}, spec: {serviceName: many, replicas: 2, selector: {matchLabels: {a: many}}, template: {metadata: {labels: {a: many}}, spec: {containers: [{name: c, ports: [{containerPort: 6379}]}]}}}}
---
{apiVersion: v1, kind: Service, metadata: {name: many}, spec: {clusterIP: None, selector: {a: many}, ports: [{port: 6379}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: old}, spec: {containers: [{name: c}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: off}, spec: {containers: [{name: c}]}}
`;

test("services of every mode, with the reason for each difference", async () => {
  const folder = mkdtempSync(join(tmpdir(), "compare-"));
  try {
    writeFileSync(join(folder, "compose.yaml"), MODES);
    const args = ["compare", "--docker", "compose.yaml", "-f", "-", "-o", "json"];
    const { stdout } = await cnilab(args, { cwd: folder, input: MODES_MANIFESTS });
    const { workloads, differences } = JSON.parse(stdout) as Json;
    expect(workloads).toEqual({
      both: ["db", "many", "old", "web"],
      notCompared: ["off"],
      dockerOnly: ["side", "zero"],
      kubernetesOnly: [],
    });
    expect(differences.map(({ kind, count, text }) => [kind, count, text.split(": ")[1]])).toEqual([
      [
        "kubernetes only",
        2,
        "on Docker they are in one network, and filter DOCKER-FORWARD is in the way.",
      ],
      ["kubernetes only", 2, "the two are in no network of Docker's together"],
      ["docker only", 1, "no container of the pod listens on that port"],
      [
        "docker only",
        1,
        "many answers at 192.0.2.10:32768 there; on Kubernetes a Service of type ClusterIP opens nothing, and the world needs a LoadBalancer, an Ingress or a Gateway.",
      ],
      [
        "docker only",
        1,
        "web answers at 192.0.2.10:80 there; on Kubernetes a Service of type NodePort opens ports of nodes, which stand behind a router, and the world needs a LoadBalancer, an Ingress or a Gateway.",
      ],
      ["name", 5, "what has the host's network, or no network in common, has no name on Docker."],
      ["port", 3, "containers are asked on their own ports, a Service has ports of its own."],
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test.each([
  [
    "Egress",
    "1 way on Docker alone, as web -> db TCP/5432: on Kubernetes NetworkPolicy default/p keeps the question for the name db from DNS.",
  ],
  [
    "Ingress",
    "1 way on Docker alone, as internet -> web TCP/80: web answers at 192.0.2.10:80 there; on Kubernetes NetworkPolicy default/p keeps the world out.",
  ],
])("what a policy for %s stops is told as that", async (type, difference) => {
  const folder = mkdtempSync(join(tmpdir(), "compare-"));
  const deployment = (name: string, port: number) =>
    `{apiVersion: apps/v1, kind: Deployment, metadata: {name: ${name}}, spec: {selector: {matchLabels: {a: ${name}}}, template: {metadata: {labels: {a: ${name}}}, spec: {containers: [{name: c, ports: [{containerPort: ${port}}]}]}}}}\n---\n`;
  const service = (name: string, port: number, kind: string) =>
    `{apiVersion: v1, kind: Service, metadata: {name: ${name}}, spec: {type: ${kind}, selector: {a: ${name}}, ports: [{port: ${port}}]}}\n---\n`;
  const manifests = `${deployment("web", 80)}${deployment("db", 5432)}${service("web", 80, "LoadBalancer")}${service("db", 5432, "ClusterIP")}
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p}, spec: {podSelector: {matchLabels: {a: web}}, policyTypes: [${type}], ${type.toLowerCase()}: [{${type === "Egress" ? "to" : "from"}: [{podSelector: {matchLabels: {a: db}}}]}]}}`;
  try {
    writeFileSync(
      join(folder, "compose.yaml"),
      'services: { web: { image: nginx, ports: ["80:80"] }, db: { image: postgres } }',
    );
    const args = ["compare", "--docker", "compose.yaml", "-f", "-", "--cni", "calico"];
    const { stdout } = await cnilab(args, { cwd: folder, input: manifests });
    expect(stdout.replaceAll("\n  ", " ")).toContain(difference);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a headless Service is a name for every port, and what has a node's network is not compared", async () => {
  const folder = mkdtempSync(join(tmpdir(), "compare-"));
  const pod = (name: string, port: number, more = "") =>
    `{apiVersion: v1, kind: Pod, metadata: {name: ${name}, labels: {a: ${name}}}, spec: {${more}containers: [{name: c, ports: [{containerPort: ${port}}]}]}}\n---\n`;
  const manifests = `${pod("web", 80)}${pod("db", 9187)}${pod("agent", 9100, "hostNetwork: true, ")}
{apiVersion: v1, kind: Service, metadata: {name: db}, spec: {clusterIP: None, selector: {a: db}, ports: [{port: 5432}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {a: web}, ports: [{port: 81}]}}`;
  try {
    writeFileSync(
      join(folder, "compose.yaml"),
      "services: { web: { image: nginx }, db: { image: x, expose: [9187] }, agent: { image: x } }",
    );
    const args = ["compare", "--docker", "compose.yaml", "-f", "-"];
    const { stdout } = await cnilab(args, { cwd: folder, input: manifests });
    expect(stdout).toContain(
      "Not compared, without a network of its own on a side, or not running: agent\n",
    );
    expect(stdout.replaceAll("\n  ", " ")).toMatch(
      /- 1 way, as db -> web TCP\/80 ask for web on Docker and [\d.]+ on Kubernetes: no Service leads to the port there\.\n/,
    );
    expect(stdout).not.toContain("web -> db");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

describe("what is configured by hand", () => {
  const compose = `
services:
  web:
    image: nginx
    container_name: www
    hostname: w
    ports: ["80:80", "127.0.0.1:81:81", "82"]
    networks: { a: { aliases: [site], ipv4_address: 10.1.0.9, gw_priority: 1 }, b: { ipv6_address: "fd00::9", mac_address: 02:00:00:00:00:09 } }
    extra_hosts: ["old:10.9.9.9", "old6:fd00:9::9", "me:host-gateway"]
    dns: [1.1.1.1]
    links: ["db:database"]
    environment: { DB_HOST: db, CACHE: "redis://db:6379/0", MODE: db, PEER: "10.2.3.4:80", SELF: 127.0.0.1 }
  db: { image: redis, networks: [a] }
networks:
  a: { internal: true, driver_opts: { com.docker.network.bridge.enable_icc: "true" }, ipam: { config: [{ subnet: 10.1.0.0/24, gateway: 10.1.0.1, ip_range: 10.1.0.128/25 }] } }
  b: { enable_ipv6: true, ipam: { config: [{ subnet: fd00::/64 }] } }
`;
  const manifests = `
{apiVersion: v1, kind: Pod, metadata: {name: web, labels: {app: web}}, spec: {hostname: w, hostAliases: [{ip: 10.9.9.9, hostnames: [old, older]}], dnsPolicy: None, dnsConfig: {nameservers: [1.1.1.1]}, containers: [{name: c, image: nginx, ports: [{containerPort: 80, hostPort: 8000}], env: [{name: DB_HOST, value: db}, {name: MODE, value: db}, {name: PEER, value: "10.2.3.4:80"}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: db, labels: {app: db}}, spec: {containers: [{name: c, image: redis, ports: [{containerPort: 6379}]}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: db}, spec: {clusterIP: 10.96.7.7, selector: {app: db}, ports: [{port: 6379}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: out}, spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, nodePort: 30080}]}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p}, spec: {podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24}}]}, {}]}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: i}, spec: {rules: [{host: web.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: out, port: {number: 80}}}}]}}]}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {DB_HOST: db, MODE: db, PEER: "10.2.3.4:80", app.conf: "[db]\\n10.2.3.4\\n"}}
---
{apiVersion: v1, kind: Service, metadata: {name: old}, spec: {ports: [{port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: old-1, labels: {kubernetes.io/service-name: old}}, addressType: IPv4, ports: [{port: 80}], endpoints: [{addresses: [192.0.2.20]}]}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: g}, spec: {gatewayClassName: x, listeners: [{name: h, port: 80, protocol: HTTP, hostname: shop.example}]}}
`;
  const listed = async (side: "docker" | "kubernetes") => {
    const folder = mkdtempSync(join(tmpdir(), "compare-"));
    try {
      writeFileSync(join(folder, "compose.yaml"), compose);
      const args = ["compare", "--docker", "compose.yaml", "-f", "-", "-o", "json"];
      const { stdout, stderr } = await cnilab(args, { cwd: folder, input: manifests });
      if (stdout === "") throw new Error(stderr);
      const { configured } = JSON.parse(stdout) as Json;
      return configured[side].map(({ kind, what, where }) => `${kind} ${where}: ${what}`);
    } finally {
      rmSync(folder, { recursive: true });
    }
  };

  test("on Docker", async () => {
    expect(await listed("docker")).toEqual([
      "addresses networks.a: subnet 10.1.0.0/24",
      "addresses networks.a: gateway 10.1.0.1",
      "addresses networks.a: ip_range 10.1.0.128/25",
      "rules networks.a: a network",
      "rules networks.a: internal: true",
      "rules networks.a: com.docker.network.bridge.enable_icc=true",
      "addresses networks.b: subnet fd00::/64",
      "rules networks.b: a network",
      "rules services.web: on a",
      "addresses services.web: ipv4_address 10.1.0.9",
      "names services.web: alias site",
      "routes services.web: gw_priority 1 on a",
      "rules services.web: on b",
      "addresses services.web: ipv6_address fd00::9",
      "addresses services.web: mac_address 02:00:00:00:00:09",
      "ports services.web: 80:80/tcp",
      "ports services.web: 127.0.0.1:81:81/tcp",
      "ports services.web: 82/tcp",
      "addresses services.web: extra_hosts 10.9.9.9",
      "names services.web: extra_hosts old",
      "addresses services.web: extra_hosts fd00:9::9",
      "names services.web: extra_hosts old6",
      "names services.web: extra_hosts me",
      "addresses services.web: dns 1.1.1.1",
      "names services.web: link db:database",
      "names services.web: container_name www",
      "names services.web: hostname w",
      "names services.web: DB_HOST=db",
      "names services.web: CACHE=redis://db:6379/0",
      "addresses services.web: PEER=10.2.3.4:80",
      "rules services.db: on a",
    ]);
  });

  test("on Kubernetes", async () => {
    expect(await listed("kubernetes")).toEqual([
      "addresses Pod web: hostAliases 10.9.9.9",
      "names Pod web: hostAliases old",
      "names Pod web: hostAliases older",
      "names Pod web: hostname w",
      "addresses Pod web: nameserver 1.1.1.1",
      "ports Pod web: hostPort 8000",
      "names Pod web: DB_HOST=db",
      "addresses Pod web: PEER=10.2.3.4:80",
      "names Service db: its name",
      "ports Service db: 6379 to 6379/tcp",
      "addresses Service db: clusterIP 10.96.7.7",
      "names Service out: its name",
      "ports Service out: 80 to 80/tcp",
      "ports Service out: nodePort 30080",
      "rules NetworkPolicy p: selects pods",
      "rules NetworkPolicy p: rule 1",
      "rules NetworkPolicy p: rule 2",
      "addresses NetworkPolicy p: cidr 192.0.2.0/24",
      "names Ingress i: host web.example",
      "names ConfigMap c: DB_HOST=db",
      "addresses ConfigMap c: PEER=10.2.3.4:80",
      "names Service old: its name",
      "ports Service old: 80 to 80/tcp",
      "addresses EndpointSlice old-1: endpoint 192.0.2.20",
      "ports Gateway g: 80/http",
      "names Gateway g: host shop.example",
    ]);
  });
});

test("wide names each thing with its reason", async () => {
  const { stdout } = await compare("-f", "../shop/shop.yaml", "-o", "wide");
  expect(stdout).toContain("Docker, by hand: 22");
  expect(stdout).toContain(
    "  1 ports: the host's address is one for all, so its ports must differ\n    services.frontend: 8080:8080/tcp",
  );
  expect(stdout).toContain("Kubernetes, by hand: 24");
});

test.each([
  { args: ["-o", "csv"], error: "-o csv: with --docker there are text, wide and json" },
  { args: ["--cni", "gone"], error: "gone" },
  { args: ["--docker", "/gone.yaml"], error: "/gone.yaml: there is no such file or folder" },
  {
    args: ["-f", "../windows/mixed.yaml"],
    error: "no service of the Compose file has the name of a workload",
  },
])("$args is one line, and exit 2", async ({ args, error }) => {
  const { status, stdout, stderr } = await compare(...args);
  expect([status, stdout]).toEqual([2, ""]);
  const lines = stderr.trimEnd().split("\n");
  expect(lines.at(-1)).toContain(error);
});

test("a service that nobody can reach is said to be the reason where it is the only one", async () => {
  const folder = mkdtempSync(join(tmpdir(), "compare-"));
  try {
    const compose = "services: { web: { image: nginx, network_mode: none } }";
    writeFileSync(join(folder, "compose.yaml"), compose);
    const args = ["compare", "--docker", "compose.yaml", "-f", "-"];
    const input =
      "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: [{name: c}]}}";
    const { status, stderr } = await cnilab(args, { cwd: folder, input });
    expect([status, stderr]).toEqual([
      2,
      "cnilab: compare: nothing is left to compare: on a side without a network of its own, or not running: web\n",
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
