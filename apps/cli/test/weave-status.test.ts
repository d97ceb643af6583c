import { expect, test } from "vitest";
import { cnilab } from "./cnilab.ts";

const POD = `
apiVersion: v1
kind: Pod
metadata: { name: web }
spec: { nodeName: node1, containers: [{ name: c, image: i }] }
`;

function weave(...args: readonly string[]) {
  return cnilab(["weave", ...args, "--nodes", "3", "-f", "-"], { input: POD });
}

const MAC = "([0-9a-f]{2}:){5}[0-9a-f]{2}";

test.each([
  [
    "connections",
    new RegExp(
      `^-> 192\\.168\\.0\\.12:6783     established fastdp ${MAC}\\(node2\\) mtu=1376$`,
      "m",
    ),
  ],
  ["peers", new RegExp(`^   <- 192\\.168\\.0\\.11:\\d+ +${MAC}\\(node1\\) +established$`, "m")],
  [
    "ipam",
    new RegExp(`^${MAC}\\(node1\\) +\\d+ IPs \\(\\d\\d\\.\\d% of total\\) \\(\\d active\\)$`, "m"),
  ],
  ["targets", /^192\.168\.0\.12$/m],
])("status %s, as weave prints it", async (part, expected) => {
  const { status, stdout } = await weave("status", part, "--node", "node1");
  expect(status).toBe(0);
  expect(stdout).toMatch(expected);
});

test("status says how all is", async () => {
  const { stdout } = await weave("status", "--node", "node1");
  expect(stdout).toContain(
    "    Connections: 2 (2 established)\n          Peers: 3 (with 6 established connections)\n",
  );
  expect(stdout).toContain("         Status: ready\n          Range: 10.32.0.0/12\n");
});

test("a password shows in each connection, and sleeve alone where fastdp is off", async () => {
  const set = ["--cni-set", "encryption=secret", "--cni-set", "fastdp=false"];
  const { stdout } = await weave("status", "connections", "--node", "node1", ...set);
  expect(stdout).toMatch(
    /^-> 192\.168\.0\.12:6783 {5}established encrypted {3}sleeve \S+ encrypted=truemtu=\d+$/m,
  );
});

test("the report has it all as JSON, and each part has its own", async () => {
  const report = JSON.parse((await weave("report", "--node", "node2")).stdout);
  expect(report.Router.NickName).toBe("node2");
  expect(report.IPAM.Entries.length).toBeGreaterThan(1);
  const ipam = await weave("status", "ipam", "--node", "node2", "-o", "json");
  expect(JSON.parse(ipam.stdout)).toEqual(report.IPAM);
});

test.each([
  [["--node", "node9"], 'there is no node "node9"; there are node1, node2, node3'],
  [
    ["--node", "node1", "--cni", "flannel"],
    "node1: runs no weaver; take a cluster with --cni weave",
  ],
])("refuses %j", async (args, message) => {
  const { status, stdout, stderr } = await weave("status", ...args);
  expect([status, stdout]).toEqual([2, ""]);
  expect(stderr).toContain(message);
});
