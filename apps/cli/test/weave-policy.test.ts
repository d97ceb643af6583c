import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
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
