// Clusters on Calico as a user asks about them: sessions, what is not enforced, the Online Boutique under its policies.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cnilab, hasManifests, MANIFESTS } from "./cnilab.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cnilab-calico-cluster-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const CLOSED = `
apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
metadata: {name: closed}
spec:
  priority: 1
  subject: {namespaces: {}}
  ingress: [{name: nobody, action: Deny, from: [{namespaces: {}}]}]
---
apiVersion: v1
kind: Pod
metadata: {name: web}
spec: {containers: [{name: c, ports: [{containerPort: 80}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec: {containers: [{name: c}]}
`;

describe("a cluster on Calico", () => {
  test.each<[string, readonly string[], RegExp]>([
    [
      "of the mesh",
      [],
      /^\| 192\.168\.0\.11 \| node-to-node mesh \| up {4}\| [\d:]{8} \| Established \|$/m,
    ],
    [
      "with a reflector",
      ["--cni-set", "bgp=reflectors"],
      /^\| 192\.168\.0\.11 \| node specific \| up {4}\| [\d:]{8} \| Established \|$/m,
    ],
    ["that VXLAN has no need of", ["--cni-set", "encapsulation=VXLAN"], /\(BIRD\) is not running/],
  ])("says which sessions a node has: %s", async (_, options, expected) => {
    const args = ["calico", "node", "status", "--node", "node2", ...options];
    const { stdout, stderr, status } = await cnilab(args);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toMatch(/^Calico process is running\.\n/);
    expect(stdout).toMatch(expected);
  });

  test("has no status of a node that is not there", async () => {
    const { stderr, status } = await cnilab(["calico", "node", "status", "--node", "node9"]);
    expect(status).toBe(2);
    expect(stderr).toMatch(/^cnilab: .*node9.*\n$/);
  });

  test("does not enforce an AdminNetworkPolicy, and says so", async () => {
    const file = join(folder, "closed.yaml");
    writeFileSync(file, CLOSED);
    const { stdout, stderr, status } = await cnilab([
      ...["probe", "client", "web:80", "-f", file, "--cni", "calico"],
    ]);
    expect(stdout).toMatch(/^allowed: /);
    expect(stderr).toContain("AdminNetworkPolicy closed is not enforced");
    expect(status).toBe(0);
  });

  test.skipIf(!hasManifests)(
    `lets through the same of the Online Boutique by packets and by policies${hasManifests ? "" : " (skipped: needs ../shared)"}`,
    async () => {
      const args = ["reach", "-f", join(MANIFESTS, "online-boutique"), "--cni", "calico"];
      const answers = await Promise.all([
        cnilab([...args, "-o", "json"]),
        cnilab([...args, "-o", "json", "--static"]),
      ]);
      type Pair = Readonly<Record<"source" | "destination" | "port" | "verdict", unknown>>;
      const [walked, analysed] = answers.map(({ stdout }) =>
        (JSON.parse(stdout) as readonly Pair[]).map(
          ({ source, destination, port, verdict }) => `${source} ${destination}:${port} ${verdict}`,
        ),
      );
      expect(walked).toEqual(analysed);
      expect(walked).toContain("default/cartservice default/redis-cart:6379 allowed");
      expect(walked).toContain("default/frontend default/redis-cart:6379 blocked");
    },
  );
});
