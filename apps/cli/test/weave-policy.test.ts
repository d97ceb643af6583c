import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { cnilab } from "./cnilab.ts";

function pod(name: string, node: string): string {
  return `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, labels: { app: ${name} } }
spec: { nodeName: ${node}, containers: [{ name: c, image: i, ports: [{ containerPort: 80, name: http }] }] }
`;
}

const INPUT = join(mkdtempSync(join(tmpdir(), "weave-policy-")), "input.yaml");
writeFileSync(
  INPUT,
  [
    pod("web", "node1"),
    pod("client", "node2"),
    pod("other", "node1"),
    `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: named }
spec: { podSelector: {}, ingress: [{ ports: [{ port: http }] }] }
`,
    `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: web }
spec:
  podSelector: { matchLabels: { app: web } }
  ingress: [{ from: [{ podSelector: { matchLabels: { app: client } } }], ports: [{ port: 80, endPort: 90 }] }]
`,
  ].join("---"),
);

const NAMED =
  "default/named is not enforced: spec.ingress[0].ports[0] names port http, and weave-npc takes no policy with named ports";
const END_PORT =
  "default/web is enforced otherwise: spec.ingress[0].ports[0] has endPort 90, which weave-npc does not know: port 80 alone is let through";

function weave(...args: readonly string[]) {
  return cnilab([...args, "--cni", "weave", "-f", INPUT]);
}

test.each([
  ["client", "web:80", "allowed"],
  ["client", "web:81", "blocked"],
  ["other", "web:80", "blocked"],
  ["web", "other:80", "allowed"],
  ["node/node1", "web:80", "allowed"],
  ["node/node2", "web:80", "blocked"],
])("the walk and the analyser agree that %s to %s is to be %s", async (from, to, verdict) => {
  for (const flags of [[], ["--static"]]) {
    const { status, stdout } = await weave("probe", from, to, ...flags, "--listen", "all");
    expect([status, stdout.split(":", 1)[0]]).toEqual([verdict === "allowed" ? 0 : 1, verdict]);
  }
});

test("what weave-npc refuses, and what it does otherwise, is told", async () => {
  const { warnings } = JSON.parse((await weave("run", "-o", "json")).stdout);
  expect(warnings).toEqual([
    expect.stringContaining(`NetworkPolicy ${NAMED}`),
    `NetworkPolicy ${END_PORT}`,
  ]);
  const { stdout, stderr } = await weave("policy", "list");
  expect(stdout).toContain("default/client[Pod] => default/web[Pod] : TCP 80\n");
  expect(stderr).toContain(
    "NetworkPolicy named is left out: spec.ingress[0].ports[0] names port http",
  );
  expect(stderr).toContain(
    "NetworkPolicy web is enforced otherwise: spec.ingress[0].ports[0] has endPort 90",
  );
});

test("without weave-npc nobody enforces anything", async () => {
  const { stdout } = await weave(
    "probe",
    "other",
    "web:80",
    "--static",
    "--cni-set",
    "expect-npc=false",
  );
  expect(stdout).toMatch(/^allowed: /);
});

describe.each([{ fastdp: true }, { fastdp: false }])("fastdp=$fastdp", ({ fastdp }) => {
  test.each([
    ["cni", "other", "web:80", "blocked"],
    ["none", "other", "web:80", "allowed"],
    ["none", "client", "web:80", "allowed"],
    ["none", "client", "other:80", "allowed"],
    ["none", "node/node2", "web:80", "allowed"],
    // A controller that knows named ports, and endPort.
    ["standalone", "other", "web:80", "allowed"],
    ["standalone", "client", "web:90", "allowed"],
    ["standalone", "other", "web:90", "blocked"],
    ["standalone", "client", "other:80", "allowed"],
    ["standalone", "client", "other:81", "blocked"],
    ["standalone", "node/node2", "web:90", "blocked"],
  ])("enforced by %s, %s to %s is %s", async (policy, from, to, verdict) => {
    const { status, stdout } = await weave(
      ...["probe", from, to, "--policy", policy, "--listen", "all"],
      ...["--cni-set", `fastdp=${fastdp}`],
    );
    expect([status, stdout.split(":", 1)[0]]).toEqual([verdict === "allowed" ? 0 : 1, verdict]);
    expect(stdout.includes("WEAVE") || stdout.includes("weave-net")).toBe(
      policy === "cni" && verdict === "blocked",
    );
  });

  test.each(["none", "standalone"])(
    "with %s, weave-npc and its chains are not there",
    async (policy) => {
      const { stdout } = await weave(
        ...["show", "iptables", "--node", "node1", "--policy", policy],
        ...["--cni-set", `fastdp=${fastdp}`],
      );
      expect(stdout).toContain("-A FORWARD -i weave -o weave -j ACCEPT");
      expect(stdout).toContain("-A WEAVE-EXPOSE -d 10.32.0.0/12 -j ACCEPT");
      expect(stdout).not.toContain("WEAVE-NPC");
    },
  );
});
