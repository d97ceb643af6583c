// The policy commands with Calico's own kinds, as a user calls them.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cnilab } from "./cnilab.ts";

const POD = (name: string, account = "default") => `
---
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: shop, labels: {app: ${name}}}
spec: {serviceAccountName: ${account}, containers: [{name: c, image: i, ports: [{containerPort: 5432, name: pg}]}]}`;

const SHOP = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: api, namespace: shop, labels: {role: backend}}
${POD("api", "api")}${POD("web")}${POD("db")}`;

const POLICIES = `
---
apiVersion: projectcalico.org/v3
kind: Tier
metadata: {name: security}
spec: {order: 100}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: security.quarantine}
spec:
  tier: security
  selector: app == "db"
  types: [Ingress]
  ingress:
  - {action: Log}
  - {action: Deny, source: {nets: [192.0.2.0/24]}}
  - {action: Pass}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  selector: app == "db"
  types: [Ingress]
  ingress:
  - action: Allow
    protocol: TCP
    source: {serviceAccounts: {selector: role == "backend"}}
    destination: {ports: [pg]}
---
apiVersion: projectcalico.org/v3
kind: StagedGlobalNetworkPolicy
metadata: {name: later}
spec: {selector: all(), types: [Ingress]}
`;

let folder: string;
let shop: string;
let policies: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cnilab-calico-policy-"));
  shop = join(folder, "shop.yaml");
  policies = join(folder, "policies.yaml");
  writeFileSync(shop, SHOP);
  writeFileSync(policies, POLICIES);
});
afterAll(() => rmSync(folder, { recursive: true }));

const input = () => ["-f", shop, "-f", policies, "--cni", "calico"];

describe("policies of Calico without packets", () => {
  test("policy explain goes through the tiers, and says what would allow it", async () => {
    const { stdout, stderr, status } = await cnilab([
      "policy",
      "explain",
      "shop/web",
      "shop/db:5432",
      ...input(),
    ]);
    expect(status).toBe(1);
    expect(stdout.trimEnd().split("\n")).toEqual([
      "shop/web[Pod] => shop/db[Pod] TCP 5432: denied",
      "egress at shop/web[Pod]: allowed",
      "  no policy selects it for egress, so everything is allowed",
      "ingress at shop/db[Pod]: denied",
      "  security tier: logged by spec.ingress[0] of GlobalNetworkPolicy security.quarantine",
      "  security tier: Pass by spec.ingress[2] of GlobalNetworkPolicy security.quarantine",
      "  default tier: Deny: selected by NetworkPolicy.projectcalico.org shop/db, and no rule of it lets this through",
      "to allow it:",
      `  NetworkPolicy.projectcalico.org shop/db: add to spec.ingress: {action: Allow, protocol: TCP, source: {namespaceSelector: 'projectcalico.org/name == "shop"', selector: 'app == "web"'}, destination: {ports: [5432]}}`,
    ]);
    expect(stderr).toContain("StagedGlobalNetworkPolicy later is left out: it is staged");
  });

  test("what it says would allow it does", async () => {
    const { stdout } = await cnilab(["policy", "explain", "shop/web", "shop/db:5432", ...input()]);
    const rule = /add to spec\.ingress: (\{.*\})$/m.exec(stdout)?.[1];
    const mended = join(folder, "mended.yaml");
    writeFileSync(
      mended,
      POLICIES.replace(
        "  ingress:\n  - action: Allow",
        `  ingress:\n  - ${rule}\n  - action: Allow`,
      ),
    );
    const answer = await cnilab([
      "policy",
      "explain",
      "shop/web",
      "shop/db:5432",
      ...["-f", shop, "-f", mended, "--cni", "calico"],
    ]);
    expect(answer.stdout).toMatch(/: allowed\n/);
    expect(answer.status).toBe(0);
  });

  test("policy list names every connection", async () => {
    const { stdout } = await cnilab(["policy", "list", ...input()]);
    expect(stdout.split("\n").filter((line) => line.includes("=> shop/db"))).toEqual([
      "shop/api[Pod] => shop/db[Pod] : TCP 5432",
    ]);
  });

  test("policy list tells of pods that are not there yet", async () => {
    const policy = `
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: scrape}
spec:
  selector: app == "db"
  types: [Ingress]
  ingress:
  - action: Allow
    protocol: TCP
    source: {namespaceSelector: projectcalico.org/name == "monitoring", selector: app == "prometheus"}
    destination: {ports: [9187]}
  - {action: Allow, source: {namespaceSelector: env == "prod"}}`;
    const file = join(folder, "scrape.yaml");
    writeFileSync(file, policy);
    const { stdout } = await cnilab([
      ...["policy", "list", "--exposure", "-f", shop, "-f", file, "--cni", "calico"],
    ]);
    const lines = stdout.split("\n").filter((line) => /^shop\/db\[Pod\].*<=/.test(line));
    expect(lines.map((line) => line.replace(/\s+/g, " "))).toEqual([
      "shop/db[Pod] <= [namespace with {env=prod}]/[all pods] : All Connections",
      "shop/db[Pod] <= monitoring/[pod with {app=prometheus}] : TCP 9187",
    ]);
  });

  test("policy diff tells what they close", async () => {
    const { stdout, status } = await cnilab([
      "policy",
      "diff",
      "-f",
      shop,
      shop,
      policies,
      "--cni",
      "calico",
    ]);
    expect(status).toBe(1);
    expect(stdout).toContain("- shop/web[Pod] => shop/db[Pod] : All Connections");
    expect(stdout).toContain("~ shop/api[Pod] => shop/db[Pod] : All Connections -> TCP 5432");
  });

  test("without --cni calico they are not read, and a warning says so", async () => {
    const { stdout, stderr } = await cnilab(["policy", "list", "-f", shop, "-f", policies]);
    expect(stdout).toContain("shop/web[Pod] => shop/db[Pod] : All Connections");
    expect(stderr).toContain("say --cni calico");
  });

  test.each([
    ["shop/api", "tcp", "allowed"],
    ["shop/web", "tcp", "blocked"],
    ["shop/api", "icmp", "blocked"],
  ])("probe --static from %s by %s: %s", async (from, protocol, verdict) => {
    const to = protocol === "icmp" ? "shop/db" : "shop/db:5432";
    const args = ["probe", from, to, "--static", "--protocol", protocol, ...input()];
    const { stdout } = await cnilab(args);
    expect(stdout).toMatch(new RegExp(`^${verdict}: `));
  });
});
