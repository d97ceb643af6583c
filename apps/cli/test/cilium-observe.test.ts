// Flows out of the programs' own messages, with the identities that they decided by.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cnilab } from "./cnilab.ts";

function pod(name: string, node: number): string {
  return `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: shop, labels: {app: ${name}}}
spec: {nodeName: node${node}, containers: [{name: c, image: nginx, ports: [{containerPort: 8080}]}]}
---`;
}

const INPUT = `${pod("web", 2)}${pod("cart", 1)}${pod("thief", 1)}
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.7.7, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: cart-only, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: web}}
  ingress: [{fromEndpoints: [{matchLabels: {app: cart}}], toPorts: [{ports: [{port: "8080", protocol: TCP}]}]}]
`;

let folder = "";
let file = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "cnilab-flows-"));
  file = join(folder, "input.yaml");
  await writeFile(file, INPUT);
});
afterAll(() => rm(folder, { recursive: true }));

const KPR = ["--cni-set", "kubeProxyReplacement=true"];

async function lines(...args: readonly string[]): Promise<string[]> {
  const cluster = ["-f", file, "--nodes", "2", "--cni", "cilium", "--dns", "none"];
  const { status, stdout } = await cnilab(["observe", ...args, ...cluster]);
  expect(status).toBe(0);
  return stdout.split("\n").filter((line) => line !== "");
}

/** Without times, numbers of identities and ports of clients. */
function plain(line: string): string {
  return line
    .replace(/^.*?: /, "")
    .replace(/ID:\d{3,}/g, "ID:n")
    .replace(/:(?!8080)\d{4,5}\b/g, "");
}

describe("observe on Cilium", () => {
  test("shows where sockets and policies decide, and the way between nodes", async () => {
    const flows = await lines("shop/cart", "10.96.7.7:80", "--first", "5", ...KPR);
    expect(flows.map(plain)).toEqual([
      "shop/cart (ID:n) <> shop/web:80 (world) pre-xlate-fwd TRACED (TCP)",
      "shop/cart (ID:n) <> shop/web:8080 (ID:n) post-xlate-fwd TRANSLATED (TCP)",
      "shop/cart (ID:n) -> shop/web:8080 (ID:n) to-overlay FORWARDED (TCP Flags: SYN)",
      "shop/cart (ID:n) -> shop/web:8080 (ID:n) policy-verdict:L3-L4 INGRESS ALLOWED (TCP Flags: SYN)",
      "shop/cart (ID:n) -> shop/web:8080 (ID:n) to-endpoint FORWARDED (TCP Flags: SYN)",
    ]);
  });

  test("beside kube-proxy programs of pods translate", async () => {
    const flows = await lines("shop/cart", "10.96.7.7:80", "--type", "trace-sock", "--all");
    expect(flows).toEqual([]);
    const [first] = await lines("shop/cart", "10.96.7.7:80", "--first", "1");
    expect(plain(first ?? "")).toBe(
      "shop/cart (ID:n) -> shop/web:8080 (ID:n) to-overlay FORWARDED (TCP Flags: SYN)",
    );
  });

  test.each([
    ["the verdict", ["--type", "policy-verdict"], 1],
    ["drops", ["--verdict", "DROPPED", "--type", "drop"], 1],
    ["labels", ["--from-label", "app=thief", "--verdict", "DROPPED"], 2],
    ["another's labels", ["--from-label", "app=cart", "--verdict", "DROPPED"], 0],
    ["identities", ["--to-identity", "1"], 0],
    ["pods", ["--to-pod", "shop/web", "--type", "drop"], 1],
  ])("shows what policy denies, by %s", async (_by, filters, count) => {
    const flows = await lines("shop/thief", "10.96.7.7:80", "--all", ...filters, ...KPR);
    expect(flows.filter((line) => / SYN\)/.test(line)).length).toBeGreaterThanOrEqual(count);
    if (count === 0) expect(flows).toEqual([]);
    for (const line of flows) {
      expect(plain(line)).toMatch(
        /^shop\/thief \(ID:n\) (->|<>) shop\/web:8080 \(ID:n\) (policy-verdict:none INGRESS DENIED|Policy denied DROPPED)/,
      );
    }
  });

  test("has identities and reason in JSON", async () => {
    const args = ["--type", "drop", "--first", "1", "-o", "jsonpb", ...KPR];
    const [line] = await lines("shop/thief", "10.96.7.7:80", ...args);
    expect(JSON.parse(line ?? "")).toMatchObject({
      flow: {
        verdict: "DROPPED",
        drop_reason: 133,
        drop_reason_desc: "POLICY_DENIED",
        source: { pod_name: "thief", identity: expect.any(Number) },
        destination: { pod_name: "web", ID: expect.any(Number) },
        traffic_direction: "INGRESS",
        event_type: { type: 1, sub_type: 133 },
      },
      node_name: "node2",
    });
  });
});
