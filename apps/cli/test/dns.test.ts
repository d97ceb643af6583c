import { expect, test } from "vitest";
import { cnilab } from "./cnilab.ts";

const OBJECTS = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: w, image: nginx, ports: [{containerPort: 80}]}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.96.7.7, selector: {app: web}, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: client, labels: {app: client}}, spec: {containers: [{name: c, image: curl}]}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: closed, namespace: shop}, spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Egress]}}
`;
const on = (...args: string[]) =>
  cnilab(["dns", ...args, "-f", "-", "--nodes", "2"], { input: OBJECTS });

test.each<[string, string[], number, string]>([
  [
    "a name, step by step",
    ["client", "web.shop"],
    0,
    [
      "client asks 10.96.0.10; search default.svc.cluster.local svc.cluster.local cluster.local; options ndots:5",
      "  1  A     web.shop.default.svc.cluster.local.  10.96.0.10  NXDOMAIN",
      "  2  AAAA  web.shop.default.svc.cluster.local.  10.96.0.10  NXDOMAIN",
      "  3  A     web.shop.svc.cluster.local.          10.96.0.10  NOERROR   10.96.7.7",
      "  4  AAAA  web.shop.svc.cluster.local.          10.96.0.10  NOERROR   no such record",
      "web.shop is 10.96.7.7",
      "",
    ].join("\n"),
  ],
  [
    "records of one type",
    ["shop/deploy/web", "_http._tcp.web.shop.svc.cluster.local.", "srv"],
    0,
    [
      "shop/deploy/web asks 10.96.0.10; search shop.svc.cluster.local svc.cluster.local cluster.local; options ndots:5",
      "  1  SRV  _http._tcp.web.shop.svc.cluster.local.  10.96.0.10  NOERROR  0 100 80 web.shop.svc.cluster.local.",
      "_http._tcp.web.shop.svc.cluster.local.: SRV 0 100 80 web.shop.svc.cluster.local.",
      "",
    ].join("\n"),
  ],
  [
    "the world, from outside",
    ["internet", "nobody.example.", "-n", "shop"],
    1,
    [
      "internet asks 203.0.113.53",
      "  1  A     nobody.example.  203.0.113.53  NXDOMAIN",
      "  2  AAAA  nobody.example.  203.0.113.53  NXDOMAIN",
      "unresolved: nobody.example.: NXDOMAIN (no such name) for nobody.example",
      "",
    ].join("\n"),
  ],
  [
    "the root, which has no address",
    ["client", "."],
    1,
    [
      "client asks 10.96.0.10; search default.svc.cluster.local svc.cluster.local cluster.local; options ndots:5",
      "  1  A     .  10.96.0.10  NXDOMAIN",
      "  2  AAAA  .  10.96.0.10  NXDOMAIN",
      "unresolved: .: NXDOMAIN (no such name) for .",
      "",
    ].join("\n"),
  ],
  [
    "an address, and asks nobody",
    ["internet", "10.96.0.10"],
    0,
    "internet asks 203.0.113.53\n10.96.0.10 is an address, so nobody is asked\n",
  ],
  [
    "what can be no name, and asks nobody",
    ["internet", "a..b"],
    1,
    "internet asks 203.0.113.53\nunresolved: a..b: can be no domain name (it has an empty label), so nobody is asked\n",
  ],
  [
    "what can be no name, as dig says it",
    ["internet", "x".repeat(64), "TXT", "-o", "dig"],
    1,
    `dig: '${"x".repeat(64)}' is not a legal name: it has a label of 64 bytes (63 at most)\n`,
  ],
])("dns asks for %s", async (_, args, status, stdout) => {
  const answer = await on(...args);
  expect(answer.stderr.replace(/^.*is not enforced.*\n/, "")).toBe("");
  expect({ status: answer.status, stdout: answer.stdout }).toEqual({ status, stdout });
});

test.each(["iptables", "nftables", "ipvs"])(
  "dns names the policy that keeps questions from CoreDNS, with %s",
  async (mode) => {
    const flags = ["--policy", "standalone", "--proxy-mode", mode];
    const { status, stdout } = await on("shop/deploy/web", "web", ...flags);
    expect(status).toBe(1);
    expect(stdout.trimEnd().split("\n").at(-1)).toMatch(
      /^unresolved: web: timed out, no answer from 10\.96\.0\.10:53\/UDP \(Service kube-system\/kube-dns\); .* of NetworkPolicy shop\/closed \(egress/,
    );
  },
);

test("dns -o json tells each question with its answer", async () => {
  const { status, stdout } = await on("client", "web.shop", "-o", "json", "--dns", "nodelocal");
  expect(status).toBe(0);
  const told = JSON.parse(stdout);
  expect(told).toMatchObject({
    pod: "client",
    name: "web.shop",
    resolvConf: { nameservers: ["10.96.0.10"], options: [{ name: "ndots", value: "5" }] },
    addresses: ["10.96.7.7"],
    resolved: true,
  });
  expect(told.steps).toHaveLength(4);
  expect(told.steps[2]).toMatchObject({
    name: "web.shop.svc.cluster.local.",
    type: "A",
    server: "10.96.0.10",
    protocol: "udp",
    outcome: "NOERROR",
    answer: [{ type: "A", ttl: 30, data: "10.96.7.7" }],
  });
});

test("dns -o dig prints the last answers as dig does", async () => {
  const { status, stdout } = await on("client", "web.shop", "A", "-o", "dig");
  expect(status).toBe(0);
  expect(stdout).toMatch(/^\n; <<>> DiG 9\.18 <<>> \+search web\.shop A\n/);
  expect(stdout).toMatch(
    /\n;; ANSWER SECTION:\nweb\.shop\.svc\.cluster\.local\.\s+30\s+IN\s+A\s+10\.96\.7\.7\n/,
  );
});

test("dns -o dig tells several questions in one go, after one banner", async () => {
  const { stdout } = await on("client", "web.shop", "-o", "dig");
  expect(stdout.match(/<<>>.*/g)).toEqual(["<<>> DiG 9.18 <<>> +search web.shop A web.shop AAAA"]);
  expect(stdout).toMatch(/;; MSG SIZE {2}rcvd: \d+\n\n;; Got answer:\n/);
});

test.each<[string, string[], string]>([
  ["a type", ["client", "web", "BOGUS"], 'dns: "BOGUS" is no type of record'],
  ["a pod", ["nobody", "web"], "there is no pod default/nobody"],
  ["a Service", ["shop/svc/web", "web"], "a Service sends nothing"],
  ["a name", ["client", ""], "the name is empty"],
])("dns refuses %s that cannot be", async (_, args, message) => {
  const { status, stdout, stderr } = await on(...args);
  expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
  expect(stderr).toContain(message);
  expect(stderr.trim().split("\n")).toHaveLength(1);
});

test("a trace by name shows the questions first, in text, JSON and pcapng", async () => {
  const trace = (...args: string[]) =>
    cnilab(["trace", "client", "web.shop:80", "-f", "-", ...args], { input: OBJECTS });
  const [json, pcapng] = await Promise.all([trace("-o", "json"), trace("-o", "pcapng")]);
  const { verdict, lookup, packets } = JSON.parse(json.stdout);
  expect(verdict).toBe("allowed");
  expect(lookup.steps.map((s: { outcome: string }) => s.outcome)).toEqual([
    "NXDOMAIN",
    "NXDOMAIN",
    "NOERROR",
    "NOERROR",
  ]);
  expect(packets[0]).toMatchObject({ protocol: "UDP", dst: "10.96.0.10", dstPort: 53 });
  expect(packets.some((p: { protocol: string }) => p.protocol === "TCP")).toBe(true);
  // The name as a DNS message spells it, RFC 1035 §3.1.
  expect(pcapng.bytes.includes(Buffer.from("\x03web\x04shop\x07default"))).toBe(true);
});

test.each<[string, string[]]>([
  ["dns", ["client", "www.example.com"]],
  ["probe", ["client", "www.example.com:80"]],
  ["trace", ["client", "www.example.com:80", "--level", "summary"]],
  ["curl", ["client", "http://www.example.com/"]],
])("%s lets no question through on a connection from before the policy", async (command, args) => {
  const input = `${OBJECTS}---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: mute, namespace: kube-system}, spec: {podSelector: {matchLabels: {k8s-app: kube-dns}}, policyTypes: [Egress]}}
`;
  const flags = ["-f", "-", "--nodes", "2", "--policy", "standalone"];
  const { status, stdout } = await cnilab([command, ...args, ...flags], { input });
  expect(status).toBe(1);
  expect(stdout.trimEnd().split("\n").at(-1)).toContain(
    "NetworkPolicy kube-system/mute (egress, no rule of it allows this)",
  );
});
