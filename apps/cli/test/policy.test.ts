// The policy commands as a user calls them.

import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cnilab, hasManifests, MANIFESTS, ROOT } from "./cnilab.ts";

const BOUTIQUE = join(MANIFESTS, "online-boutique");

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cnilab-policy-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** The example of every beginner's guide, as the page about it has it. */
const PAGE = readFileSync(join(ROOT, "docs/network-policy.md"), "utf8");
const DATABASE = /```yaml\n([\s\S]*?)```/.exec(PAGE)?.[1] ?? "";

function databaseFile(text = DATABASE): string {
  const file = join(mkdtempSync(join(folder, "db-")), "db.yaml");
  writeFileSync(file, text);
  return file;
}

describe("the database of the guides", () => {
  test.each([
    ["cni", "api", "allowed", 0],
    ["cni", "web", "allowed", 0],
    ["none", "web", "allowed", 0],
    ["standalone", "api", "allowed", 0],
    ["standalone", "web", "blocked", 1],
  ])("on Flannel with --policy %s, asked by %s: %s", async (policy, src, verdict, status) => {
    const args = ["probe", src, "svc/db:5432", "-f", databaseFile(), "--policy", policy];
    const answer = await cnilab(args);
    expect(answer.stdout.split(":")[0]).toBe(verdict);
    expect(answer.status).toBe(status);
    const isTold = answer.stderr.includes("database-network-policy is not enforced");
    expect(isTold).toBe(policy !== "standalone");
  });

  test("reach says the same by packets and by policies, and names the policy", async () => {
    const file = databaseFile();
    const reach = (...args: string[]) =>
      cnilab(["reach", "-f", file, "--policy", "standalone", ...args]);
    const [walked, analysed] = await Promise.all([
      reach("-o", "json"),
      reach("-o", "json", "--static"),
    ]);
    const verdicts = (text: string) =>
      (
        JSON.parse(text) as {
          source: string;
          destination: string;
          verdict: string;
          reason: string;
        }[]
      ).map(({ source, destination, verdict }) => `${source} ${destination} ${verdict}`);
    expect(verdicts(walked.stdout)).toEqual(verdicts(analysed.stdout));
    expect(verdicts(walked.stdout)).toContain("default/web default/db blocked");
    expect(walked.status).toBe(1);
    for (const { stdout } of [walked, analysed])
      expect(stdout).toContain("database-network-policy");
    const matrix = await reach();
    expect(matrix.stdout.split("\n").slice(0, 4)).toEqual([
      "               1 2 3",
      "1  default/api   . .",
      "2  default/db  .   .",
      "3  default/web . x",
    ]);
    const csv = await reach("-o", "csv");
    expect(csv.stdout).toMatch(
      /^source,destination,protocol,port,verdict,reason\ndefault\/api,default\/db,TCP,5432,allowed,/,
    );
  });

  test("probe --static answers as packets do, one by one and in batch", async () => {
    const file = databaseFile();
    const probes = ["api", "web", "internet"].flatMap((src) =>
      ["svc/db", "db"].map((dst) => JSON.stringify({ src, dst, port: 5432, id: `${src} ${dst}` })),
    );
    const args = ["probe", "-f", file, "--policy", "standalone", "--probes", "-"];
    const [walked, analysed] = await Promise.all([
      cnilab(args, { input: probes.join("\n") }),
      cnilab([...args, "--static"], { input: probes.join("\n") }),
    ]);
    const sides = (text: string) =>
      text
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line))
        // A host outside has no route to Services and pods: that is no policy's doing.
        .filter(({ src }) => src !== "internet")
        .map(({ id, verdict, egress, ingress }) => ({ id, verdict, egress, ingress }));
    expect(sides(analysed.stdout)).toEqual(sides(walked.stdout));
    expect(sides(analysed.stdout)).toContainEqual({
      id: "web db",
      verdict: "blocked",
      egress: true,
      ingress: false,
    });
  });

  test.each([
    ["api", "default/db", "allowed"],
    ["web", "default/db", "blocked"],
    ["web", "db", "unreachable"],
  ])("ping from %s to %s is %s, by packets and by the policies", async (src, dst, verdict) => {
    const args = ["-f", databaseFile(), "--policy", "standalone", "--protocol", "icmp"];
    const answers = await Promise.all([
      cnilab(["probe", src, dst, ...args, "-o", "json"]),
      cnilab(["probe", src, dst, ...args, "-o", "json", "--static"]),
    ]);
    expect(answers.map(({ stdout }) => JSON.parse(stdout).verdict)).toEqual([verdict, verdict]);
  });

  test("policy explain says what decides, and what would have to change", async () => {
    const { status, stdout } = await cnilab([
      "policy",
      "explain",
      "web",
      "db:5432",
      "-f",
      databaseFile(),
    ]);
    expect(status).toBe(1);
    expect(stdout).toContain("default/web[Pod] => default/db[Pod] TCP 5432: denied");
    expect(stdout).toContain(
      "egress at default/web[Pod]: allowed\n  no policy selects it for egress",
    );
    expect(stdout).toContain(
      "selected by NetworkPolicy default/database-network-policy, and no rule of it",
    );
    expect(stdout).toContain('podSelector: {matchLabels: {"app-component":"web"}}');
    const allowed = await cnilab(["policy", "explain", "pod/api", "db:5432", "-f", databaseFile()]);
    expect(allowed.stdout).toContain(
      "Allow by spec.ingress[0] of NetworkPolicy default/database-network-policy",
    );
    expect(allowed.status).toBe(0);
  });

  test.each([
    [
      ["explain", "nobody", "db:5432"],
      '"nobody": is no workload of the input; there are default/api',
    ],
    [["explain", "web", "db"], '"db": needs a port, as shop/db:5432'],
    [["explain", "web", "db:http"], '"db:http": has no TCP port "http"'],
  ])("policy %j is refused", async (args, message) => {
    const { status, stdout, stderr } = await cnilab(["policy", ...args, "-f", databaseFile()]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toContain(message);
  });

  test("policy suggest takes recorded traffic, and an Ingress stays open", async () => {
    const file = databaseFile(`${DATABASE}---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app-component: web}, ports: [{port: 8080, targetPort: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec: {defaultBackend: {service: {name: web, port: {number: 8080}}}}
`);
    const flow = (src: string) => JSON.stringify({ src, dst: "default/api", port: 80 });
    const suggest = (traffic: string) => {
      const recorded = join(mkdtempSync(join(folder, "t-")), "flows.ndjson");
      writeFileSync(recorded, traffic);
      return cnilab(["policy", "suggest", "-f", file, "--traffic", recorded, "-o", "json"]);
    };
    const { stdout } = await suggest(`${flow("default/web")}\n`);
    const items = (JSON.parse(stdout) as { items: { metadata: { name: string }; spec: object }[] })
      .items;
    const specOf = (name: string) => items.find(({ metadata }) => metadata.name === name)?.spec;
    expect(specOf("api")).toMatchObject({
      ingress: [
        {
          from: [{ podSelector: { matchLabels: { "app-component": "web" } } }],
          ports: [{ protocol: "TCP", port: 80 }],
        },
      ],
    });
    expect(specOf("web")).toMatchObject({ ingress: [{ ports: [{ protocol: "TCP", port: 80 }] }] });
    const lines = await cnilab(["policy", "list", "-f", file]);
    expect(lines.stdout).toContain("{ingress-controller} => default/web[Pod] : TCP 80\n");
    const wrong = await suggest(flow("default/nobody"));
    expect(wrong).toMatchObject({ status: 2, stdout: "" });
    expect(wrong.stderr).toContain('flows.ndjson:1: "default/nobody" is no workload of the input');
  });

  test("policy check fails where a policy stops a call, in every format", async () => {
    const closed = databaseFile(
      DATABASE.replace("{app-component: api}}}]", "{app-component: nobody}}}]"),
    );
    const check = (file: string, ...args: string[]) =>
      cnilab(["policy", "check", "-f", file, ...args]);
    const open = await check(databaseFile());
    expect(open.status).toBe(0);
    expect(open.stdout).toContain("2 of 2 inferred calls and DNS questions are allowed");
    const text = await check(closed);
    expect(text.status).toBe(1);
    expect(text.stdout).toContain(
      "error: default/api[Pod] calls default/db:5432: blocked by the ingress of default/db[Pod]: no rule of NetworkPolicy default/database-network-policy lets it through (env DB of container c)",
    );
    const sarif = JSON.parse((await check(closed, "-o", "sarif")).stdout);
    expect(sarif.version).toBe("2.1.0");
    expect(sarif.runs[0].results[0]).toMatchObject({ ruleId: "blocked-call", level: "error" });
    const junit = await check(closed, "-o", "junit");
    expect(junit.stdout).toMatch(/<testsuite name="policy check" tests="2" failures="1">/);
    const json = JSON.parse((await check(closed, "-o", "json")).stdout);
    expect(json[0]).toMatchObject({ rule: "blocked-call", level: "error" });
  });
});

describe.runIf(hasManifests)("Online Boutique with its policies (../shared/manifests)", () => {
  test("every inferred call to a Service that exists works", async () => {
    const { status, stdout } = await cnilab(["policy", "check", "-f", BOUTIQUE]);
    expect(status).toBe(0);
    expect(stdout).toContain("calls shoppingassistantservice:80: there is no such Service");
    expect(stdout).toContain("21 of 21 inferred calls and DNS questions are allowed");
  });

  test("run says which Services policies keep from the pod that asks", async () => {
    const { status, stdout } = await cnilab(["run", "-f", BOUTIQUE, "--policy", "standalone"]);
    expect(status).toBe(0);
    expect(stdout).toContain("4 of 13 answer default/adservice-");
    expect(stdout).toMatch(/^ {2}policies open default\/cartservice:7070\/TCP, /m);
    expect(stdout.trimEnd().split("\n").length).toBeLessThanOrEqual(25);
  });

  test("suggested policies are tighter, and pass", async () => {
    const app = join(BOUTIQUE, "kubernetes-manifests.yaml");
    const suggested = await cnilab(["policy", "suggest", "-f", app]);
    const file = join(folder, "suggested.yaml");
    writeFileSync(file, suggested.stdout);
    const checked = await cnilab(["policy", "check", "-f", app, "-f", file]);
    expect(checked.stdout).toContain("21 of 21 inferred calls");
    expect(checked.status).toBe(0);
    const { stdout } = await cnilab([
      "policy",
      "diff",
      "-f",
      app,
      join(BOUTIQUE, "network-policies"),
      file,
    ]);
    const lines = stdout.trim().split("\n");
    expect(lines.length).toBeGreaterThan(10);
    expect(lines.filter((line) => !/^[-~]/.test(line))).toEqual([]);
  });

  test("a policy taken away shows exactly in policy diff", async () => {
    const fewer = join(folder, "fewer");
    cpSync(join(BOUTIQUE, "network-policies"), fewer, {
      recursive: true,
      filter: (path) => !path.endsWith("redis.yaml"),
    });
    const app = join(BOUTIQUE, "kubernetes-manifests.yaml");
    const { status, stdout } = await cnilab([
      "policy",
      "diff",
      "-f",
      app,
      join(BOUTIQUE, "network-policies"),
      fewer,
    ]);
    expect(status).toBe(1);
    expect(stdout.trim().split("\n")).toEqual([
      "- default/cartservice[Deployment] => default/redis-cart[Deployment] : TCP 6379",
      "- default/redis-cart[Deployment] => 0.0.0.0-255.255.255.255[External] : All Connections",
      "- default/redis-cart[Deployment] => default/frontend[Deployment] : All Connections",
    ]);
    const same = await cnilab(["policy", "diff", "-f", app, fewer, fewer]);
    expect(same).toMatchObject({ status: 0, stdout: "both permit the same connections\n" });
  });

  test("among pods all else is blocked, except to the frontend", async () => {
    const { stdout } = await cnilab([
      "reach",
      "-f",
      BOUTIQUE,
      "--policy",
      "standalone",
      "-o",
      "json",
    ]);
    const pairs = JSON.parse(stdout) as {
      source: string;
      destination: string;
      verdict: string;
    }[];
    const allowed = pairs.filter(({ verdict }) => verdict === "allowed");
    const toFrontend = allowed.filter(({ destination }) => destination === "default/frontend");
    expect(toFrontend.length).toBe(11);
    // The calls that the manifests say, by pairs of workloads.
    expect(allowed.length - toFrontend.length).toBe(15);
    expect(pairs.filter(({ verdict }) => verdict !== "allowed" && verdict !== "blocked")).toEqual(
      [],
    );
  });
});
