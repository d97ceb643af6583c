import { describe, expect, test } from "vitest";
import { cnilab } from "./cnilab.ts";

const NODES = ["node1", "node2"].map(
  (name) => `apiVersion: v1
kind: Node
metadata:
  name: ${name}
`,
);

function pod(name: string, node: string, ip?: string): string {
  return `apiVersion: v1
kind: Pod
metadata:
  name: ${name}
spec:
  nodeName: ${node}
  containers:
    - name: app
      image: app
${ip === undefined ? "" : `status:\n  podIP: ${ip}\n  podIPs:\n    - ip: ${ip}\n`}`;
}

function ipam(args: readonly string[], input: readonly string[]) {
  const all = [
    "calico",
    "ipam",
    ...args,
    "-f",
    "-",
    "--dns",
    "none",
    "--cni-set",
    "encapsulation=None",
  ];
  return cnilab(all, { input: input.join("---\n") });
}

const TWO_PODS = [...NODES, pod("a", "node1"), pod("b", "node2")];

describe("cnilab calico ipam show", () => {
  test("tells of pools, and of blocks if asked", async () => {
    const { stdout, status } = await ipam(["show", "--show-blocks"], TWO_PODS);
    expect(status).toBe(0);
    expect(
      stdout,
    ).toBe(`+----------+-------------------+-----------+------------+--------------+--------------+
| GROUPING | CIDR              | IPS TOTAL | IPS IN USE | IPS RESERVED | IPS FREE     |
+----------+-------------------+-----------+------------+--------------+--------------+
| IP Pool  | 10.244.0.0/16     |     65536 |     2 (0%) |       0 (0%) | 65534 (100%) |
| Block    | 10.244.104.0/26   |        64 |     1 (2%) |       0 (0%) |     63 (98%) |
| Block    | 10.244.166.128/26 |        64 |     1 (2%) |       0 (0%) |     63 (98%) |
+----------+-------------------+-----------+------------+--------------+--------------+
`);
  });

  test("tells who has an address", async () => {
    const { stdout } = await ipam(["show", "--ip", "10.244.104.0"], TWO_PODS);
    expect(stdout).toMatch(
      /^IP 10\.244\.104\.0 is in use\nHandle ID: k8s-pod-network\.[0-9a-f]{64}\nActive Owner Attributes:\n {2}namespace: default\n {2}node: node2\n {2}pod: b\n {2}timestamp: /,
    );
    const nobody = await ipam(["show", "--ip", "10.244.0.9"], TWO_PODS);
    expect(nobody.stdout).toBe("10.244.0.9 is not assigned\n");
    const outside = await ipam(["show", "--ip", "192.0.2.1"], TWO_PODS);
    expect(outside.stdout).toBe("192.0.2.1 is not assigned\n");
  });

  test("tells of borrowed addresses: of three nodes and two blocks one has none", async () => {
    const third = NODES[0]?.replace("node1", "node3") as string;
    const pods = ["node1", "node2", "node3"].map((node) => pod(`on-${node}`, node));
    const range = ["--cluster-cidr", "10.244.0.0/28", "--node-cidr-mask-size", "30"];
    const { stdout } = await ipam(
      ["show", "--show-borrowed", ...range, "--cni-set", "ipam.blockSize=29"],
      [...NODES, third, ...pods],
    );
    expect(stdout.split("\n").slice(3, -2)).toEqual([
      expect.stringMatching(
        /^\| 10\.244\.0\.\d+ +\| node3 +\| 10\.244\.0\.\d+\/29 +\| node[12] +\| pod +\| default\/on-node3 +\|$/,
      ),
    ]);
  });

  test("refuses what is no address", async () => {
    const { status, stderr, stdout } = await ipam(["show", "--ip", "10.0.0.300"], TWO_PODS);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toContain("invalid IP address specified: 10.0.0.300");
  });
});

describe("cnilab calico ipam check", () => {
  test("finds nothing wrong", async () => {
    const { stdout, status } = await ipam(["check", "--show-all-ips"], TWO_PODS);
    expect(status).toBe(0);
    expect(stdout).toContain(
      " IPAM block 10.244.104.0/26 affinity=host:node2:\n  10.244.104.0 allocated; attrs Main:k8s-pod-network.",
    );
    expect(stdout).toContain("  10.244.104.0 belongs to Workload(default/node2-k8s-b-eth0)\n");
    expect(stdout).toMatch(/Check complete; found 0 problems\.\n$/);
  });

  test("finds an address in use that no pool has", async () => {
    const stray = [...TWO_PODS, pod("c", "node1", "172.30.0.7")];
    const { stdout, status } = await ipam(["check", "--show-problem-ips"], stray);
    expect(status).toBe(1);
    expect(stdout).toContain(
      "  172.30.0.7 in use by Workload(default/node1-k8s-c-eth0) is not in any active IP pool.\n",
    );
    expect(stdout).toContain("Found 1 in-use IPs that are not in active IP pools.\n");
  });

  test("hands out its report", async () => {
    const { stdout } = await ipam(["check", "-o", "json"], TWO_PODS);
    const { allocations } = JSON.parse(stdout) as {
      readonly allocations: Readonly<Record<string, readonly object[]>>;
    };
    expect(allocations["10.244.104.0"]).toMatchObject([
      { ip: "10.244.104.0", node: "node2", pod: "b", inUse: true },
    ]);
  });
});
