// Clusters on Cilium as a user asks about them: the chart's values, the shop in each way to set it up.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cnilab } from "./cnilab.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cnilab-cilium-cluster-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const DIRECT = ["--cni-set", "routingMode=native", "--cni-set", "autoDirectNodeRoutes=true"];
const NO_KUBE_PROXY = ["--cni-set", "kubeProxyReplacement=true"];
const WIREGUARD = ["--cni-set", "encryption.enabled", "--cni-set", "encryption.type=wireguard"];

describe("the shop", () => {
  test.each<[string, readonly string[], RegExp]>([
    ["by VXLAN", [], /Services by kube-proxy/],
    ["by Geneve", ["--cni-set", "tunnelProtocol=geneve"], /cilium_geneve wraps it/],
    ["by the nodes", DIRECT, /route 10\.244\.\d\.0\/24 via 192\.168\.0\.\d+ dev eth0/],
    ["with endpoint routes", ["--cni-set", "endpointRoutes.enabled"], /dev lxc[0-9a-f]{12}/],
    ["without kube-proxy", NO_KUBE_PROXY, /Services by\s+cilium, without kube-proxy/],
    ["by Geneve without kube-proxy", [...NO_KUBE_PROXY, "--cni-set", "tunnelProtocol=geneve"], /./],
    [
      "by eBPF alone",
      [...NO_KUBE_PROXY, ...DIRECT, "--cni-set", "bpf.masquerade"],
      /Services by\s+cilium/,
    ],
    ["encrypted", WIREGUARD, /cilium_wg0 unwraps it/],
    ["with pools", ["--cni-set", "ipam.mode=multi-pool"], /./],
    ["of both families", ["--ip-families", "ipv4,ipv6"], /./],
  ])("answers %s", async (_, options, expected) => {
    const { stdout, stderr, status } = await cnilab(["run", "--cni", "cilium", ...options]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toMatch(/12 of 12 answer/);
    expect(stdout).toMatch(expected);
  });
});

describe("--cni-values", () => {
  const values = `
routingMode: native
autoDirectNodeRoutes: true
kubeProxyReplacement: true
ipam:
  mode: cluster-pool
  operator:
    clusterPoolIPv4PodCIDRList: ["10.42.0.0/16"]
    clusterPoolIPv4MaskSize: 25
operator:
  replicas: 1
image:
  tag: v1.18.8
hubble:
  relay: {enabled: true}
`;

  test("sets what is modelled, and says what is not", async () => {
    const path = file("values.yaml", values);
    const run = await cnilab(["run", "--cni", "cilium", "--cni-values", path]);
    expect(run.stdout).toMatch(/pods in 10\.42\.0\.0\/25/);
    expect(run.stdout).toMatch(/without kube-proxy/);
    const ends = ["shop/deploy/checkout", "payment.shop:50051"];
    const probe = await cnilab(["probe", ...ends, "--cni", "cilium", "--cni-values", path]);
    expect(probe.stderr).toBe(
      `cnilab: warning: ${path}: not modelled: operator.replicas, image.tag, hubble.relay.enabled\n`,
    );
    expect({ status: probe.status, run: run.status }).toEqual({ status: 0, run: 0 });
  });

  test("stands below --cni-set", async () => {
    const { stdout, status } = await cnilab([
      ...["run", "--cni", "cilium", "--cni-values", file("values.yaml", values)],
      ...["--cni-set", "ipam.operator.clusterPoolIPv4MaskSize=26"],
    ]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/pods in 10\.42\.0\.64\/26/);
  });

  test.each<[string, string, string]>([
    ["cilium", "routngMode: native", 'cilium\'s chart has no value "routngMode"'],
    ["cilium", "routingMode: bridge", 'routingMode must be one of tunnel, native, not "bridge"'],
    ["cilium", "[1]", "holds no values; write them as in the chart's values.yaml"],
    ["cilium", "routingMode: native\na: [", "bad.yaml:2: is no YAML"],
    ["cilium", "routingMode: {{ .x }}", "routingMode must be one of tunnel, native"],
    ["calico", "ipam: {}", "--cni-values: calico takes no file of Helm values; use --cni-set"],
  ])("of %s refuses %j", async (cni, text, message) => {
    const path = file("bad.yaml", text);
    const { stdout, stderr, status } = await cnilab(["run", "--cni", cni, "--cni-values", path]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toContain(message);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  });
});

describe("--cni-set", () => {
  test.each<[string, string]>([
    ["tunnel=vxlan", 'cilium has no option "tunnel"; do you mean'],
    ["operator.replicas=1", '"operator.replicas" is not modelled for cilium'],
    ["autoDirectNodeRoutes=true", "autoDirectNodeRoutes: cannot be used with tunneling"],
    ["bpf.masquerade=true", "bpf.masquerade: requires NodePort by eBPF"],
    ["encryption.type=gre", "encryption.type must be one of wireguard, ipsec"],
  ])("refuses %s", async (setting, message) => {
    const { stdout, stderr, status } = await cnilab([
      "run",
      "--cni",
      "cilium",
      "--cni-set",
      setting,
    ]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toContain(message);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  });
});

test("objects of the agents are there as kubectl shows them", async () => {
  const args = ["get", "ciliumnodes,ciliumendpoints", "-A", "--cni", "cilium"];
  const { stdout, status } = await cnilab(args);
  expect(status).toBe(0);
  expect(stdout).toMatch(/^ciliumnode\.cilium\.io\/node1 +10\.244\.0\.\d+ +192\.168\.0\.11/m);
  expect(stdout).toMatch(/^shop +ciliumendpoint\.cilium\.io\/cart-\S+ +\d+ +ready +10\.244\./m);
});

describe("render cilium", () => {
  const nodes = ["a", "b"].map(
    (name, i) => `
apiVersion: v1
kind: Node
metadata: {name: ${name}}
status: {addresses: [{type: InternalIP, address: 172.18.0.${i + 2}}]}
---
apiVersion: cilium.io/v2
kind: CiliumNode
metadata: {name: ${name}}
spec:
  addresses: [{type: CiliumInternalIP, ip: 10.0.${i + 1}.55}]
  ipam: {podCIDRs: [10.0.${i + 1}.0/24]}
`,
  );
  const pool = 'ipam: {operator: {clusterPoolIPv4PodCIDRList: ["10.0.0.0/8"]}}\n';

  test.each([
    [
      pool,
      "10.0.2.0/24 via 10.0.1.55 dev cilium_host proto kernel src 10.0.1.55 mtu 1450",
      "routes",
    ],
    [
      `${pool}routingMode: native\nautoDirectNodeRoutes: true\n`,
      "10.0.2.0/24 via 172.18.0.3 dev eth0 proto kernel",
      "routes",
    ],
    [
      pool,
      '-A CILIUM_POST_nat -s 10.0.1.0/24 ! -d 10.0.1.0/24 ! -o cilium_+ -m comment --comment "cilium masquerade non-cluster" -j MASQUERADE',
      "iptables",
    ],
  ])("with %j writes %s", async (values, line, output) => {
    const { stdout, stderr, status } = await cnilab([
      ...["render", "cilium", "--node", "a", "-f", file("nodes.yaml", nodes.join("---"))],
      ...["--config", file("config.yaml", values), "-o", output],
    ]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout.split("\n").map((l) => l.trim())).toContain(line);
  });

  test.each([
    [["-o", "ipvs"], 'cilium has no output "ipvs"; it has iptables'],
    [["--node", "z"], 'there is no node "z" in the input; there are a, b'],
  ])("refuses %j", async (args, message) => {
    const { stdout, stderr, status } = await cnilab([
      ...["render", "cilium", "--node", "a", "-f", file("nodes.yaml", nodes.join("---")), ...args],
    ]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toContain(message);
  });
});
