import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { cnilab, hasVectors, VECTORS } from "./cnilab.ts";
import { scratchFiles } from "./scratch-files.ts";

const file = scratchFiles("weave-render-");

const PODS = `
apiVersion: v1
kind: Pod
metadata: { name: web, labels: { app: web } }
spec: { containers: [{ name: c, image: i }] }
status: { podIP: 10.32.0.2, phase: Running }
`;

function policy(port: number | string): string {
  return `${PODS}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: web }
spec:
  podSelector: { matchLabels: { app: web } }
  ingress: [{ ports: [{ port: ${port} }] }]
`;
}

const OPEN = file("open.yaml", PODS);
const CLOSED = file("closed.yaml", policy(80));

function render(path: string, ...args: readonly string[]) {
  return cnilab(["render", "weave-npc", "--node", "node1", "-f", path, ...args]);
}

const GOLDEN = join(VECTORS, "weave-netfilter");

test.skipIf(!hasVectors)(
  "takes each golden vector as it is (needs ../shared/vectors)",
  async () => {
    const names = readdirSync(GOLDEN).filter((name) => name.startsWith("npc-"));
    expect(names.length).toBeGreaterThan(5);
    for (const name of names) {
      const { status, stdout } = await render(join(GOLDEN, name, "input.json"), "-o", "json");
      expect(status, name).toBe(0);
      const wanted = JSON.parse(readFileSync(join(GOLDEN, name, "expected.json"), "utf8"));
      const got = JSON.parse(stdout);
      expect(got.base.iptables, name).toEqual(wanted.base.iptables);
      const errors = (states: readonly { readonly error?: string }[]) => states.map((s) => s.error);
      expect(errors(got.afterEvent), name).toEqual(errors(wanted.afterEvent));
      // Rules of one policy are in no certain order there.
      expect(got.afterEvent.at(-1).iptables.toSorted(), name).toEqual(
        wanted.afterEvent.at(-1).iptables.toSorted(),
      );
    }
  },
);

test("takes manifests, and what becomes of them", async () => {
  const closed = await render(CLOSED);
  expect(closed.status).toBe(0);
  expect(closed.stdout).toMatch(
    /^-A WEAVE-NPC-INGRESS -p tcp -m set --match-set \S+ dst .*--dport 80 .*-j ACCEPT$/m,
  );
  const byDefault = (text: string) =>
    text.split("\n").filter((line) => / 10\.32\.0\.2 /.test(line)).length;
  // In the sets of all pods of its namespace, of those who may send anywhere, and of the policy's pods.
  expect(byDefault((await render(CLOSED, "-o", "ipset")).stdout)).toBe(3);
  // Whoever may come: the set of those that no policy selects, in place of the policy's.
  expect(byDefault((await render(OPEN, "-o", "ipset")).stdout)).toBe(3);
  const opened = await render(CLOSED, "--then", OPEN);
  expect(opened.stdout).toBe((await render(OPEN)).stdout);
});

test("says what weave-npc refuses, and programs the rest", async () => {
  const { status, stdout, stderr } = await render(file("named.yaml", policy("http")));
  expect(status).toBe(0);
  expect(stderr).toContain(
    "warning: weave-npc logs: NetworkPolicy default/web: add network policy: named ports in network policies is not supported yet",
  );
  expect(stdout).not.toMatch(/^-A WEAVE-NPC-INGRESS/m);
});

test.each([
  [
    "an output that it has not",
    OPEN,
    ["-o", "nftables"],
    'weave-npc has no output "nftables"; it has iptables, ipset, json',
  ],
  ["a configuration", OPEN, ["--config", OPEN], "weave-npc has no settings here"],
  [
    "an event of no kind",
    "events: [{op: put, object: {kind: Pod}}]",
    [],
    "events[0].op must be add, update or delete",
  ],
  [
    "another object",
    "events: [{op: add, object: {kind: Node}}]",
    [],
    "events[0].object.kind must be Namespace, Pod or NetworkPolicy",
  ],
  [
    "an update of nothing",
    "events: [{op: update, object: {kind: Namespace, metadata: {name: a}}}]",
    [],
    "events[0].old is required and missing",
  ],
  [
    "a bad field",
    "events: [{op: add, object: {kind: NetworkPolicy, metadata: {name: a}, spec: {ingress: [{ports: [{port: 0}]}]}}}]",
    [],
    "events[0].object.spec.ingress[0].ports[0].port must be a whole number between 1 and 65535",
  ],
])("refuses %s", async (name, input, args, message) => {
  const path = input.startsWith("events")
    ? file(`${name.replaceAll(" ", "-")}.yaml`, input)
    : input;
  const { status, stdout, stderr } = await render(path, ...args);
  expect([status, stdout]).toEqual([2, ""]);
  expect(stderr).toContain(message);
});
