// The policy commands with Cilium's own kinds, as a user calls them.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cnilab } from "./cnilab.ts";

const POD = (name: string, port: string) => `
---
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: shop, labels: {app: ${name}}}
spec: {containers: [{name: c, image: i, ports: [${port}]}]}`;

const SHOP = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
${POD("api", "{containerPort: 8080, name: http}")}
${POD("web", "{containerPort: 80}")}
${POD("db", "{containerPort: 5432, name: pg}")}`;

const POLICIES = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: db}}
  ingress:
  - fromEndpoints: [{matchLabels: {app: api}}]
    toPorts: [{ports: [{port: pg, protocol: TCP}]}]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: api, namespace: shop}
specs:
- endpointSelector: {matchLabels: {app: api}}
  ingress:
  - fromEndpoints: [{matchLabels: {app: web}}]
    toPorts:
    - ports: [{port: http, protocol: TCP}]
      rules: {http: [{method: GET, path: /public}]}
- endpointSelector: {matchLabels: {app: api}}
  egress:
  - toEndpoints: [{matchLabels: {app: db}}]
  - toFQDNs: [{matchName: docs.example.com}]
    toPorts: [{ports: [{port: "443"}]}]
---
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: no-world}
spec:
  endpointSelector: {}
  enableDefaultDeny: {ingress: false}
  ingressDeny:
  - fromCIDR: [203.0.113.0/24]
`;

const BAD = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: bad, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: db}}
  ingress:
  - {fromEndpoints: [{matchLabels: {app: api}}], fromEntities: [world]}
`;

let folder: string;
const file = (name: string) => join(folder, name);
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cnilab-cilium-policy-"));
  writeFileSync(file("shop.yaml"), SHOP);
  writeFileSync(file("policies.yaml"), POLICIES);
  writeFileSync(file("bad.yaml"), BAD);
  writeFileSync(file("values.yaml"), "policyEnforcementMode: always\n");
});
afterAll(() => rmSync(folder, { recursive: true }));

const input = () => ["-f", file("shop.yaml"), "-f", file("policies.yaml"), "--cni", "cilium"];

describe.concurrent("policies of Cilium without packets", () => {
  test.each<[string, readonly string[], readonly string[]]>([
    [
      "nothing allows it, and what would",
      ["shop/web", "shop/db:5432"],
      [
        "shop/web[Pod] => shop/db[Pod] TCP 5432: denied",
        "egress at shop/web[Pod]: allowed",
        "  no policy selects it for egress, so everything is allowed",
        "ingress at shop/db[Pod]: denied",
        "  Cilium tier: Deny: selected by CiliumNetworkPolicy shop/db, and no rule of it lets this through",
        "to allow it:",
        `  CiliumNetworkPolicy shop/db: add to spec.ingress: {fromEndpoints: [{matchLabels: {"app":"web","k8s:io.kubernetes.pod.namespace":"shop"}}], toPorts: [{ports: [{port: "5432", protocol: TCP}]}]}`,
      ],
    ],
    [
      "a deny rule",
      ["203.0.113.4", "shop/db:pg"],
      [
        "203.0.113.4 => shop/db[Pod] TCP 5432: denied",
        "ingress at shop/db[Pod]: denied",
        "  Cilium tier: Deny by spec.ingressDeny[0] of CiliumClusterwideNetworkPolicy no-world",
        "to allow it:",
        "  CiliumClusterwideNetworkPolicy no-world: take spec.ingressDeny[0] away or narrow it: what denies comes before all that allow",
      ],
    ],
    [
      "a proxy decides further",
      ["shop/web", "shop/api:http"],
      [
        "shop/web[Pod] => shop/api[Pod] TCP 8080: allowed",
        "egress at shop/web[Pod]: allowed",
        "  no policy selects it for egress, so everything is allowed",
        "ingress at shop/api[Pod]: allowed",
        "  Cilium tier: Allow by specs[0].ingress[0] of CiliumNetworkPolicy shop/api, provided that a proxy lets it through: HTTP GET /public",
      ],
    ],
    [
      "one of several rules of an object",
      ["shop/api", "198.51.100.1:443"],
      [
        "shop/api[Pod] => 198.51.100.1 TCP 443: denied",
        "egress at shop/api[Pod]: denied",
        "  Cilium tier: Deny: selected by CiliumNetworkPolicy shop/api, and no rule of it lets this through",
        "to allow it:",
        `  CiliumNetworkPolicy shop/api: add to specs[1].egress: {toCIDR: [198.51.100.1/32], toPorts: [{ports: [{port: "443", protocol: TCP}]}]}`,
      ],
    ],
  ])("policy explain: %s", async (_, ends, lines) => {
    const { stdout, stderr, status } = await cnilab(["policy", "explain", ...ends, ...input()]);
    expect(stdout.trimEnd().split("\n")).toEqual(lines);
    expect(status).toBe(lines[0]?.endsWith("allowed") ? 0 : 1);
    // Names are said to be unknown, and nothing else.
    expect(stderr.trimEnd().split("\n")).toEqual([
      expect.stringContaining(
        "specs[1].egress[1] of CiliumNetworkPolicy shop/api names docs.example.com",
      ),
    ]);
  });

  test("what it says would allow it does", async () => {
    const { stdout } = await cnilab(["policy", "explain", "shop/web", "shop/db:5432", ...input()]);
    const rule = /add to spec\.ingress: (\{.*\})$/m.exec(stdout)?.[1];
    const mended = POLICIES.replace("  ingress:\n", `  ingress:\n  - ${rule}\n`);
    writeFileSync(file("mended.yaml"), mended);
    const answer = await cnilab([
      ...["policy", "explain", "shop/web", "shop/db:5432", "--cni", "cilium"],
      ...["-f", file("shop.yaml"), "-f", file("mended.yaml")],
    ]);
    expect(answer.stdout).toMatch(/: allowed\n/);
    expect(answer.status).toBe(0);
  });

  test("policy explain takes nodes, and who they are to pods", async () => {
    const node = `
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {role: front}}
status: {addresses: [{type: InternalIP, address: 192.168.0.11}]}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: nodes, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: web}}
  ingress: [{fromEntities: [remote-node]}]
---
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: ssh}
spec:
  nodeSelector: {matchLabels: {role: front}}
  ingress: [{fromEntities: [world], toPorts: [{ports: [{port: "22"}]}]}]`;
    writeFileSync(file("node.yaml"), node);
    const ask = (...ends: string[]) =>
      cnilab([
        ...["policy", "explain", ...ends, "--cni", "cilium", "-f", file("shop.yaml")],
        ...["-f", file("node.yaml"), "--cni-set", "hostFirewall.enabled=true"],
      ]);
    const fromNode = await ask("node/n1", "shop/web:80");
    expect(fromNode.stdout).toContain(
      "Cilium tier: Allow by spec.ingress[0] of CiliumNetworkPolicy shop/nodes",
    );
    const toNode = await ask("shop/api", "192.168.0.11:22");
    expect(toNode.stdout.trimEnd().split("\n")).toEqual([
      "shop/api[Pod] => node/n1 TCP 22: denied",
      "egress at shop/api[Pod]: allowed",
      "  no policy selects it for egress, so everything is allowed",
      "ingress at node/n1: denied",
      "  Cilium tier: Deny: selected by CiliumClusterwideNetworkPolicy ssh, and no rule of it lets this through",
      "to allow it:",
      `  CiliumClusterwideNetworkPolicy ssh: add to spec.ingress: {fromEndpoints: [{matchLabels: {"app":"api","k8s:io.kubernetes.pod.namespace":"shop"}}], toPorts: [{ports: [{port: "22", protocol: TCP}]}]}`,
    ]);
    const unknown = await ask("node/n2", "shop/web:80");
    expect(unknown).toMatchObject({ status: 2, stdout: "" });
    expect(unknown.stderr).toContain('"node/n2": is no node of the input that has an address');
  });

  test("policy explain as JSON holds the rule, and what else decides", async () => {
    const { stdout } = await cnilab([
      ...["policy", "explain", "shop/web", "shop/api:8080", "-o", "json"],
      ...input(),
    ]);
    expect(JSON.parse(stdout).ingress.steps).toEqual([
      {
        tier: "Cilium",
        says: "Allow",
        selectedBy: ["CiliumNetworkPolicy api", "CiliumClusterwideNetworkPolicy no-world"],
        rule: {
          policy: "CiliumNetworkPolicy api",
          path: "specs[0].ingress[0]",
          provided: "a proxy lets it through: HTTP GET /public",
        },
      },
    ]);
  });

  test("policy list names every connection, and what is not protected", async () => {
    const { stdout } = await cnilab(["policy", "list", "--exposure", ...input()]);
    const lines = stdout.split("\n");
    expect(lines.filter((line) => / => shop\/(db|api)/.test(line))).toEqual([
      "shop/api[Pod] => shop/db[Pod] : TCP 5432",
      "shop/web[Pod] => shop/api[Pod] : TCP 8080",
    ]);
    expect(lines).toContain(
      "203.0.114.0-255.255.255.255[External] => shop/web[Pod] : All Connections",
    );
    // A policy that only denies a range closes nothing else.
    expect(lines).toContain("shop/web[Pod] is not protected on Ingress");
    expect(lines).not.toContain("shop/db[Pod] is not protected on Ingress");
  });

  test("policy list tells of pods that are not there yet", async () => {
    const policy = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: scrape, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: db}}
  ingress:
  - fromEndpoints:
    - matchLabels: {app: prometheus, k8s:io.kubernetes.pod.namespace: monitoring}
    toPorts: [{ports: [{port: "9187", protocol: TCP}]}]
  - fromEndpoints:
    - matchLabels: {k8s:io.cilium.k8s.namespace.labels.env: prod}
  - fromEntities: [host, world]`;
    writeFileSync(file("scrape.yaml"), policy);
    const { stdout } = await cnilab([
      ...["policy", "list", "--exposure", "--cni", "cilium"],
      ...["-f", file("shop.yaml"), "-f", file("scrape.yaml")],
    ]);
    const lines = stdout.split("\n").filter((line) => /^shop\/db\[Pod\].*<=/.test(line));
    expect(lines.map((line) => line.replace(/\s+/g, " "))).toEqual([
      "shop/db[Pod] <= 0.0.0.0-255.255.255.255[External] : All Connections",
      "shop/db[Pod] <= [namespace with {env=prod}]/[all pods] : All Connections",
      "shop/db[Pod] <= monitoring/[pod with {app=prometheus}] : TCP 9187",
    ]);
  });

  test("policy check finds nothing wrong", async () => {
    const { stdout, status } = await cnilab(["policy", "check", ...input()]);
    expect(stdout).not.toMatch(/^(error|warning)/m);
    expect(status).toBe(0);
  });

  test("policy diff tells what they close", async () => {
    const { stdout, status } = await cnilab([
      ...["policy", "diff", file("shop.yaml"), file("policies.yaml"), "--cni", "cilium"],
      ...["-f", file("shop.yaml")],
    ]);
    expect(status).toBe(1);
    expect(stdout).toContain("- shop/web[Pod] => shop/db[Pod] : All Connections");
    expect(stdout).toContain("~ shop/api[Pod] => shop/db[Pod] : All Connections -> TCP 5432");
  });

  test.each([
    ["--cni-set", () => "policyEnforcementMode=always"],
    ["--cni-values", () => file("values.yaml")],
  ])("%s sets how policies are read", async (flag, value) => {
    const { stdout } = await cnilab([
      ...["policy", "explain", "shop/db", "shop/web:80", flag, value()],
      ...input(),
    ]);
    expect(stdout).toContain(
      "selected by ConfigMap kube-system/cilium-config, and no rule of it lets this through",
    );
    expect(stdout).toContain("  add a policy that allows it: ");
  });

  test("what agents refuse is left out, with one clear line", async () => {
    const { stdout, stderr, status } = await cnilab([
      ...["policy", "explain", "shop/web", "shop/db:5432", "--cni", "cilium"],
      ...["-f", file("shop.yaml"), "-f", file("bad.yaml")],
    ]);
    expect(stdout).toMatch(/: allowed\n/);
    expect(stderr).toBe(
      "cnilab: warning: CiliumNetworkPolicy shop/bad is left out: spec.ingress[0].fromEntities cannot stand beside fromEndpoints; make it a rule of its own\n",
    );
    expect(status).toBe(0);
  });

  test.each([
    ["--cni-set=policyEnforcementMode=sometimes", "must be one of default, always, never"],
    ["--cni-set=enforcement=always", 'cilium has no option "enforcement"'],
  ])("%s is refused", async (flag, message) => {
    const { stdout, stderr, status } = await cnilab(["policy", "list", flag, ...input()]);
    expect([stdout, status]).toEqual(["", 2]);
    expect(stderr).toContain(message);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  });

  test("probe --static and reach --static say who forbids it", async () => {
    const probes = [
      [
        "shop/web",
        "shop/api:8080",
        "allowed: specs[0].ingress[0] of CiliumNetworkPolicy shop/api allows it, provided that a proxy lets it through: HTTP GET /public",
      ],
      [
        "shop/web",
        "shop/db:5432",
        "blocked: no ingress rule of CiliumNetworkPolicy shop/db allows it",
      ],
      // The kubelet's probes come from the pod's own node.
      ["node/node2", "shop/db:5432", "allowed: no policy forbids it"],
      [
        "node/node1",
        "shop/db:5432",
        "blocked: no ingress rule of CiliumNetworkPolicy shop/db allows it",
      ],
    ];
    for (const [from, to, expected] of probes) {
      const { stdout } = await cnilab([
        "probe",
        from as string,
        to as string,
        "--static",
        ...input(),
      ]);
      expect(stdout.trimEnd()).toBe(expected);
    }
    const { stdout, stderr, status } = await cnilab(["reach", "--static", ...input()]);
    expect(stdout).toContain(
      "shop/api -> shop/web TCP/80 blocked: no egress rule of CiliumNetworkPolicy shop/api allows it",
    );
    expect(stderr).toContain("names docs.example.com");
    expect(status).toBe(1);
  });

  test("without --cni cilium they are not read, and a warning says so", async () => {
    const { stdout, stderr } = await cnilab([
      ...["policy", "list", "-f", file("shop.yaml"), "-f", file("policies.yaml")],
    ]);
    expect(stdout).toContain("shop/web[Pod] => shop/db[Pod] : All Connections");
    expect(stderr).toContain("say --cni cilium");
  });
});
