import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cnilab } from "./cnilab.ts";

const INPUT = `
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: node2, containers: [{name: c, image: nginx, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {type: NodePort, clusterIP: 10.96.7.7, selector: {app: web}, ports: [{port: 80, targetPort: 8080, nodePort: 30080}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress]}
`;

let folder = "";
let file = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "cnilab-cilium-"));
  file = join(folder, "input.yaml");
  await writeFile(file, INPUT);
});
afterAll(() => rm(folder, { recursive: true }));

async function list(words: readonly string[], ...args: readonly string[]): Promise<string> {
  const cluster = ["-f", file, "--nodes", "2", "--dns", "none", "--node", "node2"];
  const kpr = ["--cni-set", "kubeProxyReplacement=true"];
  const { status, stdout } = await cnilab(["cilium", ...words, ...cluster, ...kpr, ...args]);
  expect(status).toBe(0);
  return stdout;
}

/** Lines without the widths of columns. */
function plain(text: string): string[] {
  return text.split("\n").map((line) => line.replace(/ {2,}/g, " ").trim());
}

describe("cilium", () => {
  test("endpoint list says who is selected by policies", async () => {
    const lines = plain(await list(["endpoint", "list"]));
    expect(lines.slice(0, 2)).toEqual([
      "ENDPOINT POLICY (ingress) POLICY (egress) IDENTITY LABELS (source:key[=value]) IPv6 IPv4 STATUS",
      "ENFORCEMENT ENFORCEMENT",
    ]);
    expect(lines).toContainEqual(
      expect.stringMatching(/^\d+ Enabled Disabled \d+ k8s:app=web 10\.244\.\d+\.\d+ ready$/),
    );
    expect(lines).toContainEqual(
      expect.stringMatching(/^\d+ Disabled Disabled 1 reserved:host .*ready$/),
    );
  });

  test("identity list has those of all and those of pods", async () => {
    const lines = plain(await list(["identity", "list"]));
    expect(lines.slice(0, 3)).toEqual(["ID LABELS", "1 reserved:host", "2 reserved:world"]);
    expect(lines).toContainEqual(expect.stringMatching(/^\d+ k8s:app=web$/));
    const json = JSON.parse(await list(["identity", "list"], "-o", "json")) as unknown[];
    expect(json).toContainEqual({
      id: 7,
      labels: ["reserved:kube-apiserver", "reserved:remote-node"],
    });
  });

  test("service list has a node port once, for all addresses", async () => {
    const lines = plain(await list(["service", "list"]));
    expect(lines[0]).toBe("ID Frontend Service Type Backend");
    expect(
      lines.filter((line) => / (10\.96\.7\.7|0\.0\.0\.0|192\.168\.0\.12):/.test(line)),
    ).toEqual([
      expect.stringMatching(
        /^\d+ 10\.96\.7\.7:80\/TCP ClusterIP 1 => 10\.244\.\d+\.\d+:8080\/TCP \(active\)$/,
      ),
      expect.stringMatching(
        /^\d+ 0\.0\.0\.0:30080\/TCP NodePort 1 => 10\.244\.\d+\.\d+:8080\/TCP \(active\)$/,
      ),
    ]);
  });

  test("node list says which node is the agent's own", async () => {
    expect(await list(["node", "list"])).toBe(
      [
        "Name    IPv4 Address   Endpoint CIDR   IPv6 Address   Endpoint CIDR   Source",
        "node1   192.168.0.11   10.244.0.0/24                                  custom-resource",
        "node2   192.168.0.12   10.244.1.0/24                                  local",
        "",
      ].join("\n"),
    );
  });

  test.each<[options: readonly string[], expected: readonly string[]]>([
    [
      [],
      [
        "KubeProxyReplacement: True [eth0 192.168.0.12 (Direct Routing)]",
        "Routing: Network: Tunnel [vxlan] Host: Legacy",
        "Masquerading: IPTables [IPv4: Enabled, IPv6: Disabled]",
        "Encryption: Disabled",
      ],
    ],
    [
      ["routingMode=native", "autoDirectNodeRoutes=true", "bpf.masquerade=true"],
      [
        "Routing: Network: Native Host: BPF",
        "Masquerading: BPF [eth0] 10.244.0.0/16 [IPv4: Enabled, IPv6: Disabled]",
      ],
    ],
    [
      ["kubeProxyReplacement=false", "encryption.enabled=true", "encryption.type=wireguard"],
      ["KubeProxyReplacement: False", "Encryption: Wireguard [NodeEncryption: Disabled]"],
    ],
  ])("status with %j says how the agent is set up", async (options, expected) => {
    const args = options.flatMap((option) => ["--cni-set", option]);
    const lines = plain(await list(["status"], ...args)).map((line) =>
      line.replace(/ fe80::[0-9a-f:]+/, ""),
    );
    expect(lines).toEqual(expect.arrayContaining([...expected]));
    expect(lines).toContainEqual(
      expect.stringMatching(/^IPAM: IPv4: \d\/254 allocated from 10\.244\.1\.0\/24,$/),
    );
  });

  test("status names what there is no room for", async () => {
    const cluster = ["-f", file, "--nodes", "2", "--dns", "none", "--node", "node2"];
    const small = ["--cni-set", "kubeProxyReplacement=true", "--cni-set", "bpf.lbMapMax=4"];
    const { status, stderr } = await cnilab(["cilium", "status", ...cluster, ...small]);
    expect(status).toBe(0);
    expect(stderr).toMatch(/Service shop\/web is not served at \S+: .*--bpf-lb-map-max/);
  });

  test("is refused of a node that is not there, or has no agent", async () => {
    const nowhere = await cnilab(["cilium", "node", "list", "--node", "node9"]);
    expect([nowhere.status, nowhere.stderr]).toEqual([
      2,
      expect.stringMatching(/^cnilab: --node: there is no node "node9"; there are node1, .*\n$/),
    ]);
    const other = await cnilab(["cilium", "node", "list", "--node", "node1", "--cni", "flannel"]);
    expect(other.status).toBe(2);
    expect(other.stderr).toContain("node1: runs no cilium-agent; take a cluster with --cni cilium");
  });
});
