import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cnilab } from "./cnilab.ts";

const THREE = `
services:
  web:
    image: nginx
    ports: ["\${PORT:-8080}:80"]
    networks: { back: {}, front: { gw_priority: 1 } }
    depends_on: [api]
  api: { image: app, expose: [9000, "53/udp"], networks: [back, data], depends_on: [db] }
  db: { image: postgres, networks: [data] }
networks: { front: {}, back: {}, data: { internal: true } }
`;

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "docker-"));
  writeFileSync(join(folder, "compose.yaml"), THREE);
});
afterAll(() => rmSync(folder, { recursive: true }));

const docker = (...args: string[]) =>
  cnilab(["docker", "-f", "compose.yaml", "-p", "p", ...args], { cwd: folder });

test("what comes up, on one screen", async () => {
  const { stdout, stderr, status } = await docker();
  expect([status, stderr]).toEqual([0, ""]);
  expect(stdout.replace(/br-[0-9a-f]{12}/g, "br-ID")).toBe(
    `Project p: 3 containers in 3 networks of one host, 192.0.2.10

  NETWORK  SUBNET         GATEWAY     BRIDGE
  p_front  172.18.0.0/16  172.18.0.1  br-ID
  p_back   172.19.0.0/16  172.19.0.1  br-ID
  p_data   172.20.0.0/16  172.20.0.1  br-ID  internal

  CONTAINER  ADDRESSES                          LISTENS          PUBLISHED
  p-db-1     data 172.20.0.2                    5432/tcp         -
  p-api-1    back 172.19.0.2, data 172.20.0.3   9000/tcp 53/udp  -
  p-web-1    back 172.19.0.3, front 172.18.0.2  80/tcp           8080->80/tcp

dockerd programmed 37 rules of iptables on the host; cnilab docker reach shows who reaches whom.
`,
  );
});

test("addresses of both families, and the first of many ports", async () => {
  const text = `services:
  web:
    image: nginx
    expose: ["9000-9009"]
    ports: ["[::1]:8080:80", "127.0.0.1:9000-9009:9000-9009"]
    networks: { n: { ipv6_address: fd00:6::66 } }
networks: { n: { enable_ipv6: true, ipam: { config: [{ subnet: "fd00:6::/64" }] } } }`;
  const up = (...args: string[]) =>
    cnilab(["docker", "-f", "-", "-p", "p", ...args], { input: text });
  const { stdout } = await up();
  const line = (start: string) => stdout.split("\n").find((each) => each.startsWith(start));
  expect(line("  p_n ")).toContain("172.18.0.0/16, fd00:6::/64  172.18.0.1, fd00:6::1  br-");
  expect(line("  p-web-1 ")).toContain("n 172.18.0.2 fd00:6::66  9000/tcp 9001/tcp 9002/tcp +8  ");
  const probe = await up("probe", "host", "[::1]:8080", "--firewall-backend", "nftables");
  expect(probe.stdout).toContain("allowed: p-web-1 answered at [fd00:6::66]:80");
});

test("of several published ports the one that is open to all is asked for, and the host has its loopback", async () => {
  const text = `services:
  both: { image: nginx, ports: ["127.0.0.1:8080:80", "8081:80"] }
  near: { image: nginx, ports: ["[::1]:8082:80"] }`;
  const { stdout } = await cnilab(["docker", "-f", "-", "-p", "p", "reach", "-o", "csv"], {
    input: text,
  });
  const lines = stdout.split("\n");
  const verdict = (pair: string) => lines.find((line) => line.startsWith(pair))?.split(",")[4];
  const pairs = ["host,both", "lan,both", "internet,both", "host,near", "lan,near"];
  expect(pairs.map((pair) => [pair, verdict(pair)])).toEqual([
    ["host,both", "allowed"],
    ["lan,both", "allowed"],
    ["internet,both", "allowed"],
    ["host,near", "allowed"],
    ["lan,near", "refused"],
  ]);
});

test("a service with another's network stack is asked by that one's name and published port", async () => {
  // By name, front shares only the second network of the stack that api has.
  const text = `services:
  front: { image: x, networks: [edge] }
  api: { image: x, expose: ["8080"], network_mode: "service:db" }
  db: { image: postgres, ports: ["8080:8080"], networks: [edge, data] }
networks: { edge: {}, data: {} }`;
  const { stdout } = await cnilab(["docker", "-f", "-", "-p", "p", "reach", "-o", "csv"], {
    input: text,
  });
  const lines = stdout.split("\n");
  const verdict = (pair: string) => lines.find((line) => line.startsWith(pair))?.split(",")[4];
  const pairs = ["front,api", "front,db", "db,api", "lan,api", "internet,api"];
  expect(pairs.map((pair) => verdict(pair))).toEqual(pairs.map(() => "allowed"));
});

test.each<{ from: string; to: string; more?: string[]; verdict: string; says: string }>([
  { from: "web", to: "api:9000", verdict: "allowed", says: "p-api-1 answered at 172.19.0.2:9000" },
  { from: "web", to: "api", verdict: "allowed", says: "172.19.0.2:9000" },
  {
    from: "web",
    to: "api",
    more: ["--protocol", "udp"],
    verdict: "allowed",
    says: "172.19.0.2:53",
  },
  { from: "api", to: "p-db-1:5432", verdict: "allowed", says: "172.20.0.2:5432" },
  { from: "api", to: "api.p_back:9000", verdict: "allowed", says: "172.19.0.2:9000" },
  {
    from: "web",
    to: "db:5432",
    verdict: "unresolved",
    says: "db is on p_data, and web on p_back, p_front: ask for container/db",
  },
  { from: "web", to: "container/db:5432", verdict: "blocked", says: "DOCKER-INTERNAL" },
  { from: "web", to: "172.20.0.2:5432", verdict: "blocked", says: "DOCKER-INTERNAL" },
  { from: "db", to: "container/web:80", verdict: "unreachable", says: "no route to 172.18.0.2" },
  { from: "api", to: "container/web:80", verdict: "blocked", says: "DROP" },
  { from: "web", to: "api:9001", verdict: "refused", says: "172.19.0.2:9001" },
  { from: "web", to: "api:9001", more: ["--listen", "all"], verdict: "allowed", says: "9001" },
  { from: "web", to: "api", more: ["--protocol", "icmp"], verdict: "allowed", says: "172.19.0.2" },
  { from: "host", to: "container/db:5432", verdict: "allowed", says: "172.20.0.1" },
  { from: "host", to: "localhost:8080", verdict: "allowed", says: "which saw 172.18.0.1" },
  {
    from: "host",
    to: "localhost:8080",
    more: ["--userland-proxy=false"],
    verdict: "allowed",
    says: "asked for 127.0.0.1:8080",
  },
  { from: "lan", to: "host:8080", verdict: "allowed", says: "p-web-1, which saw 192.0.2.20" },
  { from: "lan", to: "container/web:80", verdict: "blocked", says: "raw PREROUTING" },
  {
    from: "lan",
    to: "container/web:80",
    more: ["--firewall-backend", "nftables"],
    verdict: "blocked",
    says: "docker-bridges",
  },
  {
    from: "internet",
    to: "host:8080",
    verdict: "allowed",
    says: "p-web-1, which saw 203.0.113.10",
  },
  {
    from: "internet",
    to: "container/web:80",
    verdict: "unreachable",
    says: "no route to 172.18.0.2",
  },
  { from: "web", to: "example.com:80", verdict: "allowed", says: "internet, which saw 192.0.2.10" },
  { from: "db", to: "internet:80", verdict: "unreachable", says: "no route" },
  {
    from: "host",
    to: "web:80",
    verdict: "unresolved",
    says: "names of containers are known to containers alone",
  },
])("$from to $to $more: $verdict", async ({ from, to, more = [], verdict, says }) => {
  const { stdout, status } = await docker("probe", from, to, ...more);
  expect(stdout).toContain(`${verdict}: `);
  expect(stdout).toContain(says);
  expect(status).toBe(verdict === "allowed" ? 0 : 1);
});

test("a trace, as text, data and packets", async () => {
  const text = await docker("trace", "lan", "host:8080");
  expect(text.stdout).toContain("DNAT");
  expect(text.stdout).toContain("-A DOCKER ! -i br-");
  expect(text.stdout).toMatch(/allowed: p-web-1 answered at 172\.18\.0\.2:80 .*\n$/);
  const data = JSON.parse((await docker("trace", "lan", "host:8080", "-o", "json")).stdout);
  expect([data.verdict, data.backend, data.seenAs]).toEqual(["allowed", "p-web-1", "192.0.2.20"]);
  expect(data.packets.length).toBeGreaterThan(3);
  const packets = await docker("trace", "lan", "host:8080", "-o", "pcapng");
  expect(packets.bytes.subarray(0, 4)).toEqual(Buffer.from([0x0a, 0x0d, 0x0d, 0x0a]));
});

test("who reaches whom", async () => {
  const { stdout, status } = await docker("reach");
  expect(status).toBe(1);
  expect(stdout.split("\n").slice(0, 8)).toEqual([
    "            1 2 3",
    "1  db         . x",
    "2  api      .   .",
    "3  web      x .",
    "   host     . . .",
    "   lan      x x .",
    "   internet x x .",
    "rows reach columns: . all declared ports, o some, x none, - no port declared",
  ]);
  expect(stdout).toContain(
    "web -> db TCP/5432 blocked: its networks do not know the name db; dropped at",
  );
  const pairs = JSON.parse((await docker("reach", "-o", "json")).stdout);
  expect(pairs).toContainEqual({
    source: "lan",
    destination: "web",
    protocol: "TCP",
    port: 80,
    verdict: "allowed",
    reason: "p-web-1 answered at 172.18.0.2:80 (asked for 192.0.2.10:8080)",
    asked: "192.0.2.10:8080",
  });
});

test("a request over HTTP", async () => {
  const { stdout, status } = await docker("curl", "internet", "http://192.0.2.10:8080/cart");
  expect(status).toBe(0);
  expect(stdout).toContain("HTTP/1.1 200 OK\n  backend  p-web-1 at 172.18.0.2:80");
  const lost = await docker("curl", "db", "http://web/");
  expect(lost.status).toBe(1);
  expect(lost.stdout).toContain("SERVFAIL from 127.0.0.11:53/UDP (Docker's own) for web");
  const traced = await docker("trace", "api", "http://web/", "--level", "summary");
  expect(traced.stdout).toContain("HTTP/1.1 200 OK");
});

test("names", async () => {
  const { stdout } = await docker("dns", "api", "db");
  expect(stdout).toContain("api asks 127.0.0.11; options ndots:0");
  expect(stdout).toContain("db is 172.20.0.2");
  expect((await docker("dns", "web", "db")).status).toBe(1);
  expect((await docker("dns", "web", "2.0.19.172.in-addr.arpa", "PTR")).stdout).toContain(
    "p-api-1.p_back.",
  );
});

test.each([
  { args: ["show", "iptables"], says: "-A FORWARD -j DOCKER-FORWARD" },
  { args: ["show", "nft", "--firewall-backend", "nftables"], says: "table ip docker-bridges" },
  { args: ["show", "routes", "--container", "web"], says: "default via 172.18.0.1 dev" },
  { args: ["show", "iptables", "--container", "web"], says: "DOCKER_OUTPUT" },
  { args: ["show", "addrs", "-o", "json"], says: '"172.19.0.1"' },
  { args: ["show", "sockets", "--userland-proxy=false"], says: "Netid" },
])("$args", async ({ args, says }) => {
  const { stdout, status } = await docker(...args);
  expect(status).toBe(0);
  expect(stdout).toContain(says);
});

test("what docker itself lists", async () => {
  const { stdout } = await docker("ps");
  expect(stdout.split("\n").map((line) => line.replace(/ {3,}/g, " | ").slice(15))).toEqual([
    "IMAGE | COMMAND | CREATED | STATUS | PORTS | NAMES",
    'nginx | "" | Less than a second ago | Up Less than a second | 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp | p-web-1',
    'app | "" | Less than a second ago | Up Less than a second | 53/udp, 9000/tcp | p-api-1',
    'postgres | "" | Less than a second ago | Up Less than a second | 5432/tcp | p-db-1',
    "",
  ]);
  expect((await docker("ps", "-q", "--no-trunc")).stdout).toMatch(/^([0-9a-f]{64}\n){3}$/);
  expect((await docker("port", "web")).stdout).toBe(
    "80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080\n",
  );
  expect((await docker("port", "web", "80")).stdout).toBe("0.0.0.0:8080\n[::]:8080\n");
  expect((await docker("network", "ls")).stdout.match(/\bp_\w+/g)).toEqual([
    "p_back",
    "p_data",
    "p_front",
  ]);
  const [network] = JSON.parse((await docker("network", "inspect", "data")).stdout);
  expect([network.Name, network.Internal, network.IPAM.Config[0].Subnet]).toEqual([
    "p_data",
    true,
    "172.20.0.0/16",
  ]);
  const [web, front] = JSON.parse((await docker("inspect", "web", "p_front")).stdout);
  expect([web.Name, front.Name]).toEqual(["/p-web-1", "p_front"]);
  expect(Object.keys(web.NetworkSettings.Networks)).toEqual(["p_back", "p_front"]);
  expect(web.NetworkSettings.Networks.p_back.DNSNames).toContain("web");
});

test("variables come from .env beside the file, and from the caller before that", async () => {
  writeFileSync(join(folder, ".env"), "PORT=8081\n");
  try {
    expect((await docker("probe", "lan", "host:8081")).status).toBe(0);
    const args = ["docker", "-f", "compose.yaml", "probe", "lan", "host:8082"];
    expect((await cnilab(args, { cwd: folder, env: { PORT: "8082" } })).status).toBe(0);
  } finally {
    rmSync(join(folder, ".env"));
  }
});

test("flags stand before the command or behind it, and files add up", async () => {
  writeFileSync(join(folder, "more.yaml"), "services: { db: { networks: [back] } }");
  const args = ["docker", "-f", "compose.yaml", "probe", "web", "db:5432", "-f", "more.yaml"];
  expect((await cnilab(args, { cwd: folder })).status).toBe(0);
  const input = "services: { solo: { image: nginx } }";
  const { stdout } = await cnilab(["docker", "-f", "-"], { cwd: folder, input });
  expect(stdout).toMatch(/^Project docker-\w+: 1 container in 1 network of one host/);
});

test("without a file, the example", async () => {
  expect((await cnilab(["docker"])).stdout).toContain("Project shop: 11 containers in 3 networks");
});

describe("bad input is one line, and exit 2", () => {
  test.each([
    { args: ["foo"], error: 'docker: there is no command "foo"; there are trace' },
    { args: ["probe", "gone", "api:1"], error: '"gone": is not there; a source is a service' },
    { args: ["probe", "web", "container/gone:1"], error: "there is no such container" },
    { args: ["probe", "web", "a b:1"], error: "is neither a name nor an address" },
    { args: ["probe", "web", "api:0"], error: '"0" is no port' },
    { args: ["probe", "web", "10.0.0.1"], error: "say which TCP port is meant, as in 10.0.0.1:80" },
    { args: ["probe", "web", "web", "--userland-proxy=x"], error: "must be true or false" },
    { args: ["show", "iptables", "-o", "json"], error: "iptables-save has no JSON form" },
    { args: ["show", "links", "--container", "gone"], error: '"gone": is not there' },
    { args: ["port", "api", "80"], error: "no public port '80' published for p-api-1" },
    { args: ["port", "gone"], error: '"gone": is not there; there is p-db-1' },
    { args: ["inspect", "gone"], error: '"gone": is not there; there is p-db-1' },
    { args: ["network", "inspect", "gone"], error: "network gone not found" },
    { args: ["reach", "--port", "x"], error: "--port: must be a number" },
    { args: ["dns", "web", "x", "Q"], error: '"Q" is no type of record' },
    { args: ["--seed", "x"], error: "--seed: must be a whole number" },
  ])("$args", async ({ args, error }) => {
    const { status, stdout, stderr } = await docker(...args);
    expect([status, stdout]).toEqual([2, ""]);
    expect(stderr).toContain(error);
    expect(stderr.trimEnd()).not.toContain("\n");
  });

  test("of the file", async () => {
    const input = "services:\n  web:\n    image: nginx\n    ports: [x]\n";
    const { status, stderr } = await cnilab(["docker", "-f", "-", "reach"], { input });
    expect(status).toBe(2);
    expect(stderr).toBe(
      'cnilab: standard input:4: services.web.ports[0]: "x" is no port: write PORT, HOST:PORT or IP:HOST:PORT with numbers from 1 to 65535, as 8080:80\n',
    );
  });
});
