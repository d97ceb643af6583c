import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cnilab } from "./cnilab.ts";

const INPUT = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: nginx, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: shop}
spec: {containers: [{name: c, image: busybox, ports: [{containerPort: 9000, hostPort: 9090}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  {type: NodePort, clusterIP: 10.96.7.7, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080, nodePort: 30080}]}
`;

let folder = "";
let file = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "cnilab-bpf-"));
  file = join(folder, "input.yaml");
  await writeFile(file, INPUT);
});
afterAll(() => rm(folder, { recursive: true }));

const KPR = ["--cni-set", "kubeProxyReplacement=true"];

async function show(words: string, ...args: readonly string[]): Promise<string[]> {
  const cluster = ["-f", file, "--nodes", "2", "--cni", "cilium", "--dns", "none"];
  const { status, stdout } = await cnilab([
    "show",
    "bpf",
    ...words.split(" ").filter(Boolean),
    ...cluster,
    "--node",
    "node2",
    ...args,
  ]);
  expect(status).toBe(0);
  return stdout.split("\n").filter((line) => line !== "");
}

/** Pods have other addresses in each version of the model: `POD`. */
function plain(line: string): string {
  return line
    .replace(/ {2,}/g, " ")
    .replace(/10\.244\.\d+\.\d+/g, "POD")
    .trimEnd();
}

describe("show bpf", () => {
  test("lists the maps of a node", async () => {
    const lines = await show("");
    expect(lines[0]).toBe("Name                         Num entries   Max entries   Type");
    expect(lines.map((line) => line.split(/ +/)[0])).toEqual(
      expect.arrayContaining(["cilium_ct4_global", "cilium_ipcache_v2", "cilium_lb4_services_v2"]),
    );
  });

  test("lists Services in place of kube-proxy's, at the node's own address too", async () => {
    const lines = (await show("lb list", ...KPR)).map(plain);
    expect(lines.filter((line) => line.includes("30080/TCP ("))).toEqual([
      expect.stringMatching(
        /^0\.0\.0\.0:30080\/TCP \(0\) 0\.0\.0\.0:0 \(\d+\) \(0\) \[NodePort, non-routable\]$/,
      ),
      expect.stringMatching(/^0\.0\.0\.0:30080\/TCP \(1\) POD:8080\/TCP \(\d+\) \(1\)$/),
      expect.stringMatching(/^0\.0\.0\.0:30080\/TCP \(2\) POD:8080\/TCP \(\d+\) \(2\)$/),
      expect.stringMatching(
        /^192\.168\.0\.12:30080\/TCP \(0\) 0\.0\.0\.0:0 \(\d+\) \(0\) \[NodePort\]$/,
      ),
      expect.stringMatching(/^192\.168\.0\.12:30080\/TCP \(1\) POD:8080\/TCP \(\d+\) \(1\)$/),
      expect.stringMatching(/^192\.168\.0\.12:30080\/TCP \(2\) POD:8080\/TCP \(\d+\) \(2\)$/),
    ]);
  });

  test("leaves NodePorts to kube-proxy where that is there", async () => {
    const lines = (await show("lb")).map(plain);
    expect(lines.filter((line) => line.includes("10.96.7.7:80"))).toHaveLength(3);
    expect(lines.filter((line) => line.includes("NodePort"))).toEqual([]);
  });

  test("has a pod's host port on its node alone", async () => {
    const at = async (node: string) => {
      const lines = (await show("lb list", ...KPR, "--node", node)).map(plain);
      return lines.flatMap((line) => /^\S+:9090\/TCP \(0\)/.exec(line)?.[0] ?? []);
    };
    const both = [await at("node1"), await at("node2")];
    const has = both.findIndex((lines) => lines.length > 0);
    expect(both[has]).toEqual(["0.0.0.0:9090/TCP (0)", `192.168.0.1${has + 1}:9090/TCP (0)`]);
    expect(both[1 - has]).toEqual([]);
  });

  test("is JSON as cilium-dbg's", async () => {
    const lines = await show("ipcache list", "-o", "json");
    const entries = JSON.parse(lines.join("\n")) as Record<string, string[]>;
    expect(entries["192.168.0.11/32"]).toEqual([
      expect.stringMatching(/^identity=[67] encryptkey=0 tunnelendpoint=0\.0\.0\.0 flags=<none>$/),
    ]);
  });

  test("finds a pod's policy by its name", async () => {
    const all = (await show("endpoint list")).map(plain);
    expect(all[0]).toBe("IP ADDRESS LOCAL ENDPOINT INFO");
    const [title] = await show("policy list");
    expect(title).toMatch(/^Endpoint ID: \d+$/);
  });

  test.each([
    [
      ["lb", "nothing"],
      /lists services, frontends, backends, revnat, source-ranges and maglev, not "nothing"/,
    ],
    [["nothing"], /node2 has no map of this name/],
    [["policy", "shop/none"], /node2 has no endpoint shop\/none with a policy map/],
  ])("refuses %j", async (words, message) => {
    const cluster = ["-f", file, "--nodes", "2", "--cni", "cilium", "--dns", "none"];
    const { status, stdout, stderr } = await cnilab([
      "show",
      "bpf",
      ...words,
      ...cluster,
      "--node",
      "node2",
    ]);
    expect([status, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(message);
  });

  test("refuses words behind what has none, and to be without a node", async () => {
    const routes = await cnilab(["show", "routes", "lb", "--node", "node1"]);
    expect([routes.status, routes.stderr]).toEqual([
      2,
      'cnilab: show routes: is printed whole: leave "lb" out\n',
    ]);
    const nowhere = await cnilab(["show", "bpf"]);
    expect([nowhere.status, nowhere.stderr]).toEqual([
      2,
      "cnilab: show bpf: name a node with --node: maps are its, and no pod's\n",
    ]);
  });

  test("of a node without maps is empty", async () => {
    const { status, stdout } = await cnilab([
      "show",
      "bpf",
      "-f",
      file,
      "--nodes",
      "1",
      "--node",
      "node1",
    ]);
    expect([status, stdout]).toEqual([0, "Name   Num entries   Max entries   Type\n"]);
  });
});

describe("maps that are full", () => {
  const RANGES = Array.from({ length: 400 }, (_, i) => `203.${i >> 8}.${i & 255}.0/24`);
  const POLICY = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: web}}
  ingress: [{fromCIDR: [${RANGES}]}, {fromEndpoints: [{matchLabels: {app: cart}}]}]
`;
  const pod = (name: string, node: number) => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: shop, labels: {app: ${name}}}
spec: {nodeName: node${node}, containers: [{name: c, ports: [{containerPort: 8080}]}]}
---`;

  /** What a command says of a cluster whose policy maps, or maps of Services, are that small. */
  async function ask(size: string, ...command: readonly string[]) {
    const path = join(folder, "full.yaml");
    await writeFile(path, `${pod("web", 2)}${pod("cart", 1)}${POLICY}`);
    const cluster = ["-f", path, "--nodes", "2", "--cni", "cilium", "--dns", "none"];
    const { status, stdout, stderr } = await cnilab([...command, ...cluster, "--cni-set", size]);
    expect(status).toBe(0);
    return { lines: stdout.split("\n").map(plain), stderr };
  }

  const FULL =
    /endpoint \d+ \(shop\/web\) on node2: \d+ entries do not fit its policy map: Failed to add PolicyMap key \{.*\}: no space left on device/;

  test.each([
    [256, "256 256 lpm_trie", true],
    [512, "403 512 lpm_trie", false],
  ])("a policy map of %i", async (size, listed, isFull) => {
    const option = `bpf.policyMapMax=${size}`;
    const maps = await ask(option, "show", "bpf", "--node", "node2");
    expect(maps.lines.map((line) => line.replace(/^cilium_policy_v2_\d+ /, ""))).toContain(listed);
    const policy = await ask(option, "show", "bpf", "policy", "shop/web", "--node", "node2");
    const cart = policy.lines.filter((line) => line.includes("k8s:app=cart"));
    expect(cart).toHaveLength(isFull ? 0 : 1);
    const types = ["--type", "policy-verdict", "--type", "drop", "--first", "2"];
    const flows = await ask(option, "observe", "shop/cart", "shop/web:8080", ...types);
    const said = flows.lines.join("\n");
    if (isFull) {
      for (const { stderr } of [maps, policy, flows]) expect(stderr).toMatch(FULL);
      expect(said).toMatch(/ policy-verdict:none INGRESS DENIED .*\n.* Policy denied DROPPED /);
    } else {
      for (const { stderr } of [maps, policy, flows]) expect(stderr).not.toMatch(/no space left/);
      expect(said).toMatch(/ policy-verdict:L3-Only INGRESS ALLOWED /);
    }
  });

  test("a Service that finds no room for its backends goes on without", async () => {
    const args = [...KPR, "--cni-set", "bpf.lbMapMax=5", "--node", "node2"];
    const cluster = ["-f", file, "--nodes", "2", "--cni", "cilium", "--dns", "none"];
    const { status, stdout, stderr } = await cnilab(["show", "bpf", "lb", ...cluster, ...args]);
    expect(status).toBe(0);
    expect(
      stdout.split("\n").filter((line) => /^10\.96\.7\.7:80\/TCP \([12]\)/.test(line)),
    ).toEqual([]);
    expect(stderr).toMatch(
      /Service shop\/web is not served at 10\.96\.7\.7:80\/TCP: Updating frontend failed: .*--bpf-lb-map-max/,
    );
    const maps = (await show("", ...args)).map(plain);
    expect(maps).toContain("cilium_lb4_services_v2 5 5 hash");
  });
});
