// The commands as a user calls them, on the shop example.

import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import { cnilab, hasVectors, ROOT, VECTORS } from "./cnilab.ts";

/** Every command on the shop, which has a policy that Flannel does not enforce. */
const WARNING =
  "cnilab: warning: NetworkPolicy shop-data/cache-for-cart-only is not enforced: this CNI has no engine for it\n";
const ROUTED = join(ROOT, "apps/examples/custom-cni/routed.ts");
const hasTshark = spawnSync("tshark", ["--version"]).status === 0;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cnilab-commands-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("run", () => {
  test("tells on one screen what came of the shop", async () => {
    const { status, stdout, stderr } = await cnilab(["run"]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const lines = stdout.trimEnd().split("\n");
    expect(lines.length).toBeLessThanOrEqual(25);
    expect(lines.filter((line) => line.length > 100)).toEqual([]);
    for (const part of [
      /^18 pods on 3 nodes, joined by flannel v0\.28\.9 \(the CNI\)/,
      /^ {2}node2 {2}192\.168\.0\.12 {2}pods in 10\.244\.1\.0\/24 {2}6 pods$/,
      /^Services .*: 12 of 12 answer shop-data\/cache-/,
      /^ {2}shop-data: cache 10\.\d+\.\d+\.\d+, orders 10\./,
      /^Programmed on node1: bridge cni0 .*, vxlan tunnel flannel\.1/,
      /^ {2}2 node2: bridge cni0 finds its own MAC on the frame/,
      /flannel\.1 wraps it: VXLAN VNI 1, 192\.168\.0\.12 -> 192\.168\.0\.11:8472$/,
      /^ {2}3 node1: flannel\.1 unwraps it; route 10\.244\.0\.0\/24 dev cni0; cni0 forwards it to veth/,
      /^ {2}4 pod: received$/,
      /^Warning: NetworkPolicy shop-data\/cache-for-cart-only is not enforced/,
      /^ {2}cnilab trace shop-data\/deploy\/cache orders\.shop-data:5432$/,
    ]) {
      expect(lines).toContainEqual(expect.stringMatching(part));
    }
  });

  test.each([
    ["flannel with IPv6", "--ip-families ipv6", "fd00:10:244::/64"],
    ["flannel with both families", "--ip-families ipv4,ipv6", "10.244.0.0/24, fd00:10:244::/64"],
    ["flannel with direct routing", "--cni-set directRouting --seed 7", "10.244.0.0/24"],
    ["flannel with nftables", "--cni-set nftables=true", "10.244.0.0/24"],
    ["flannel by host-gw", "--cni-set backend=host-gw", "10.244.0.0/24"],
    ["flannel by ipip", "--cni-set backend=ipip", "10.244.0.0/24"],
    ["flannel by udp", "--cni-set backend=udp", "10.244.0.0/24"],
    ["flannel by wireguard", "--cni-set backend=wireguard", "10.244.0.0/24"],
    ["kube-proxy by nftables", "--proxy-mode nftables --policy none", "10.244.0.0/24"],
    ["kube-proxy by IPVS", "--proxy-mode ipvs --ipvs-scheduler lc", "10.244.0.0/24"],
    ["kube-proxy by IPVS, IPv6", "--proxy-mode ipvs --ip-families ipv6", "fd00:10:244::/64"],
    ["20 nodes", "--nodes 20 --listen all", "10.244.0.0/24"],
    [
      "ranges of one's own",
      "--cluster-cidr 192.168.0.0/16 --node-cidr-mask-size 26",
      "192.168.0.0/26",
    ],
    ["a model of one's own", `--cni ${ROUTED}`, "10.244.0.0/24"],
  ])("%s: every Service answers", async (_, flags, range) => {
    const { status, stdout, stderr } = await cnilab(["run", ...flags.split(" ")]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toContain("12 of 12 answer");
    expect(stdout).toContain(`pods in ${range}`);
    expect(stdout.trimEnd().split("\n").length).toBeLessThanOrEqual(25);
  });

  test("as JSON: every pod runs, and every Service answers", async () => {
    const { status, stdout } = await cnilab(["run", "-o", "json"]);
    const { nodes, pods, services, warnings } = JSON.parse(stdout);
    expect(status).toBe(0);
    const range = ["10.244.2.0/24"];
    expect(nodes[2]).toEqual({ name: "node3", ready: true, podCIDRs: range, podRanges: range });
    expect(pods.filter((pod: { phase: string }) => pod.phase !== "Running")).toEqual([]);
    expect(services).toHaveLength(12);
    expect(services.filter((service: { answers: boolean }) => !service.answers)).toEqual([]);
    expect(warnings).toEqual([expect.stringContaining("is not enforced")]);
  });

  test("without a network: nodes are NotReady, pods wait, those in the node's network run", async () => {
    const { status, stdout } = await cnilab(["run", "--cni", "none", "-f", "-"], {
      input:
        "apiVersion: v1\nkind: Pod\nmetadata: {name: host}\nspec: {hostNetwork: true, nodeName: node1, containers: [{name: c}]}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: own}\nspec: {nodeName: node2, containers: [{name: c}]}\n",
    });
    expect(status).toBe(0);
    expect(stdout).toContain("1 of 2 pods run on 3 nodes, with no network plugin (CNI)");
    expect(stdout).toContain("pods in 10.244.1.0/24  1 pod, NotReady");
    expect(stdout).toContain(
      "Waiting: 1 pod, as default/own: ContainerCreating, network is not ready",
    );
  });

  test("a model out of a package of the folder that the user is in", async () => {
    const root = join(folder, "project/node_modules/@x/net");
    mkdirSync(root, { recursive: true });
    const manifest = { type: "module", exports: { ".": { import: "./net.mjs" } } };
    writeFileSync(join(root, "package.json"), JSON.stringify(manifest));
    const model = `{ name: "x", release: "v9", description: "", options: [], register() {} }`;
    writeFileSync(join(root, "net.mjs"), `export const x = ${model};`);
    const { stdout } = await cnilab(["run", "--cni", "@x/net"], { cwd: join(folder, "project") });
    expect(stdout).toMatch(/^0 of 17 pods run on 3 nodes, joined by x v9 \(the CNI\)/);
  });

  test("a Service with endpoints that do not answer is exit code 1", async () => {
    const manifest = ["web", "idle"].map(
      (name) =>
        `{apiVersion: v1, kind: Pod, metadata: {name: ${name}, labels: {app: ${name}}}, spec: {containers: [{name: c, ports: [{containerPort: 80}]}]}}\n---\n{apiVersion: v1, kind: Service, metadata: {name: ${name}}, spec: {selector: {app: ${name}}, ports: [{port: 80, targetPort: ${name === "web" ? 80 : 81}}]}}\n---\n`,
    );
    const { status, stdout } = await cnilab(["run", "-f", "-"], { input: manifest.join("") });
    expect(status).toBe(1);
    expect(stdout).toContain("2 of 3 answer");
    expect(stdout).toMatch(/^ {2}default\/idle:80\/TCP does not: RST from 10\./m);
  });

  test("what a dump says of addresses and nodes is kept, and unknown kinds cost one line", async () => {
    const dumped = (name: string, node: string, ip: string) =>
      `{apiVersion: v1, kind: Pod, metadata: {name: ${name}}, spec: {nodeName: ${node}, containers: [{name: c, ports: [{containerPort: 80}]}]}, status: {podIP: ${ip}}}\n---\n`;
    const input = `${dumped("a", "worker-a", "10.244.7.9")}${dumped("b", "worker-b", "172.30.5.5")}{apiVersion: x.io/v1, kind: Gizmo, metadata: {name: y}}\n`;
    const [pods, probe] = await Promise.all([
      cnilab(["get", "pods", "-o", "wide", "--no-headers", "-f", "-"], { input }),
      cnilab(["probe", "a", "b:80", "-f", "-"], { input }),
    ]);
    expect(pods.stdout).toMatch(/^a .* 10\.244\.7\.9 +worker-a /m);
    expect(pods.stdout).toMatch(/^b .* 172\.30\.5\.5 +worker-b /m);
    expect(probe.status).toBe(0);
    const lines = probe.stderr.trimEnd().split("\n");
    expect(lines[0]).toBe("cnilab: warning: not simulated, and left out: Gizmo");
    expect(lines.slice(1)).toEqual([
      "cnilab: warning: pod address 10.244.7.9 and 1 more outside of the node's range: kept, and routed to the node",
    ]);
  });
});

describe("trace", () => {
  test("within a node: the bridge looks the MAC up", async () => {
    const { status, stdout } = await cnilab(["trace", "shop/deploy/cart", "shop-data/orders-0"]);
    expect(status).toBe(0);
    expect(stdout).toMatch(
      /bridge +cni0 knows [\da-f:]{17} behind veth[\da-f]+ and sends it there/,
    );
    expect(stdout).not.toMatch(/VXLAN|bridge miss/);
  });

  test("between nodes, there and back", async () => {
    const { status, stdout, stderr } = await cnilab([
      "trace",
      "shop-data/orders-0",
      "shop-data/orders-1:5432",
    ]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: WARNING });
    const at = (text: string, from: number) => stdout.indexOf(text, from);
    let position = 0;
    for (const step of [
      "node1/shop-data/orders-0",
      "10.244.0.0/16 via 10.244.0.1 dev eth0", // the pod's own route
      "the frame is for cni0's own MAC",
      'guides call this a "bridge miss"',
      "10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink", // the node's route to the other node's range
      "VXLAN VNI 1: UDP 192.168.0.11:",
      "> 192.168.0.13:8472",
      "node3/host",
      "flannel.1 takes it out of VXLAN VNI 1 from 192.168.0.11",
      "10.244.2.0/24 dev cni0",
      "node3/shop-data/orders-1",
      "receives SYN",
      "SYN-ACK", // and the answer's way back
      "10.244.0.0/24 via 10.244.0.0 dev flannel.1 onlink",
      "VXLAN VNI 1: UDP 192.168.0.13:",
      "flannel.1 takes it out of VXLAN VNI 1 from 192.168.0.13",
      "receives SYN-ACK",
    ]) {
      const found = at(step, position);
      expect(found, `${step} behind ${position}`).toBeGreaterThanOrEqual(position);
      position = found;
    }
    expect(stdout).toMatch(/\nallowed: shop-data\/orders-1 answered at 10\.244\.2\.\d+:5432\n$/);
    expect(stdout, "no colour but on a terminal").not.toContain("\u001b");
  });

  test("as JSON: the source address stays the same from end to end", async () => {
    const { status, stdout } = await cnilab([
      ..."trace shop-data/orders-0 shop-data/orders-1:5432 -o json".split(" "),
    ]);
    const trace = JSON.parse(stdout);
    expect(status).toBe(0);
    expect(trace).toMatchObject({ verdict: "allowed", backend: "shop-data/orders-1" });
    const there = trace.packets.filter((p: { direction: string }) => p.direction === "there");
    expect(there.map((p: { src: string }) => p.src)).toEqual(there.map(() => trace.seenAs));
    expect(trace.hops[0].steps[0]).toMatchObject({ kind: "send" });
  });

  test("a name that nobody has is exit code 1", async () => {
    const { status, stdout } = await cnilab(["trace", "shop/deploy/cart", "nobody:80"]);
    expect(status).toBe(1);
    expect(stdout).toMatch(/^-> #0 .* A\? nobody\.shop\.svc\.cluster\.local\., /);
    expect(stdout).toMatch(
      /\nunresolved: nobody: NXDOMAIN \(no such name\) for nobody\.shop\.svc\.cluster\.local, .*, nobody\n$/,
    );
  });

  it.skipIf(!hasTshark)(
    "as pcapng, which tshark reads without a complaint (needs tshark)",
    async () => {
      const file = join(folder, "trace.pcapng");
      const { status, bytes } = await cnilab([
        ..."trace shop/deploy/cart cache.shop-data:6379 -o pcapng".split(" "),
      ]);
      expect(status).toBe(0);
      writeFileSync(file, bytes);
      const tshark = (...args: string[]) =>
        execFileSync("tshark", ["-r", file, "-d", "udp.port==8472,vxlan", ...args], {
          encoding: "utf8",
          stdio: ["ignore", "pipe", "ignore"],
        });
      const checks = ["ip", "tcp", "udp"].flatMap((p) => ["-o", `${p}.check_checksum:TRUE`]);
      expect(tshark(...checks, "-Y", '_ws.malformed or _ws.expert.group == "Checksum"')).toBe("");
      expect(
        tshark("-Y", "vxlan.vni == 1 and tcp.dstport == 6379").split("\n").length,
      ).toBeGreaterThan(4);
      const devices = new Set(
        tshark("-T", "fields", "-e", "frame.interface_name").trim().split("\n"),
      );
      expect([...devices]).toContain("node1/host/flannel.1");
      expect([...devices]).toContain("node2/host/cni0");
    },
  );
});

describe("probe", () => {
  test("tells a verdict, its reason, and whom the server saw", async () => {
    const { status, stdout } = await cnilab(["probe", "shop/deploy/cart", "cache.shop-data:redis"]);
    expect(status).toBe(0);
    expect(stdout).toMatch(
      /^allowed: shop-data\/cache-\S+ answered at .*\nanswered by shop-data\/cache-\S+, which saw 10\.244\.0\.3\n$/,
    );
  });

  test.each([
    ["shop/deploy/cart cache.shop-data:6380", 1, "unreachable", false],
    ["shop/deploy/cart shop-data/orders-0:1", 1, "refused", false],
    ["shop/deploy/cart nobody.shop:80", 1, "unresolved", false],
    ["shop/deploy/cart internet:443", 0, "allowed", true],
    ["internet shop-data/orders-0:5432", 1, "unreachable", false],
    ["shop/deploy/cart svc/metrics:statsd --protocol udp -n shop", 0, "allowed", true],
    ["node/node1 shop-data/orders-1 --protocol icmp", 0, "allowed", true],
    ["shop/deploy/cart shop-data/orders-0:1 --listen all", 0, "allowed", true],
  ])("%s", async (args, code, verdict, seen) => {
    const { status, stdout } = await cnilab(["probe", ...args.split(" "), "-o", "json"]);
    const answer = JSON.parse(stdout);
    expect({ status, verdict: answer.verdict }).toEqual({ status: code, verdict });
    expect(answer).toMatchObject({ egress: true, ingress: true, reason: expect.any(String) });
    expect("backend" in answer).toBe(seen);
  });

  test("many at once: in order, with what the user wrote, each on fresh connections", async () => {
    const lines = [
      '{"id":7,"src":"shop/deploy/cart","dst":"cache.shop-data","port":6379,"note":{"a":[1]}}',
      "",
      '{"src":"shop/deploy/cart","dst":"cache.shop-data","port":"redis","protocol":"TCP"}',
      '{"id":"x","src":"shop/deploy/cart","dst":"shop-data/orders-0","port":1,"protocol":"tcp"}',
      '{"src":"shop/deploy/cart","dst":"metrics.shop","port":8125,"protocol":"UDP"}',
      '{"id":7,"src":"shop/deploy/cart","dst":"cache.shop-data","port":6379,"note":{"a":[1]}}',
    ];
    const { status, stdout, stderr } = await cnilab(["probe", "--probes", "-"], {
      input: lines.join("\n"),
    });
    expect({ status, stderr }).toEqual({ status: 1, stderr: WARNING });
    const answers = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(answers).toMatchObject([
      { id: 7, note: { a: [1] }, port: 6379, verdict: "allowed", seenAs: "10.244.0.3" },
      { port: "redis", protocol: "TCP", verdict: "allowed" },
      { id: "x", protocol: "tcp", verdict: "refused" },
      { protocol: "UDP", verdict: "allowed", backend: expect.stringMatching(/^shop\/metrics-/) },
      { id: 7, verdict: "allowed", backend: answers[0].backend },
    ]);
    expect(Object.keys(answers[0]).slice(0, 5)).toEqual(["id", "src", "dst", "port", "note"]);
  });
});

describe("describe", () => {
  test.each([
    [
      "svc/frontend -n shop",
      /^Name: +frontend\n(?:.+\n)*Endpoints: +10\.244\.\d\.\d+:8080,10\.244\.\d\.\d+:8080,10\.[\d.]+:8080\n/,
    ],
    [
      "pod cart- -n shop",
      /^Name: +cart-(?:.*\n)*?Controlled By: +ReplicaSet\/cart-(?:.*\n)*\n\nName: +cart-/,
    ],
    ["no node1", /^Name: +node1\n(?:.*\n)*Non-terminated Pods: +\(\d+ in total\)\n/],
    ["deploy/cart -n shop", /\nNewReplicaSet: +cart-\S+ \(2\/2 replicas created\)\n/],
    ["netpol -A", /^Name: +cache-for-cart-only\n(?:.*\n)* {2}Policy Types: Ingress\n$/],
    ["ns -l team=web", /^Name: +shop\n(?:.*\n)*No LimitRange resource\.\n$/],
    [
      "ippools --cni calico",
      /^Name: +default-ipv4-ippool\n(?:.*\n)* {2}Cidr: +10\.244\.0\.0\/16\n/,
    ],
  ])("%s", async (args, expected) => {
    const { status, stdout } = await cnilab(["describe", ...args.split(" ")]);
    expect(status).toBe(0);
    expect(stdout).toMatch(expected);
  });

  test("says so where there is nothing", async () => {
    const { status, stdout, stderr } = await cnilab(["describe", "ingress", "-A"]);
    expect({ status, stdout }).toEqual({ status: 0, stdout: "" });
    expect(stderr).toContain("No resources found\n");
  });
});

describe("get", () => {
  test.each([
    ["pods -n shop-data", /^NAME +READY +STATUS +RESTARTS +AGE\ncache-\S+ +1\/1 +Running/],
    [
      "po -A -o wide",
      /^NAMESPACE +NAME .* IP +NODE .*\nkube-system +coredns-(?:.|\n)*\nshop-data +cache-.* 10\.244\.\d\.\d+ +node\d/,
    ],
    ["pod -A -l app=cart,env!=x --no-headers", /^shop +cart-\S+ [^\n]*\nshop +cart-\S+ [^\n]*\n$/],
    ["deployments.apps -n shop -o name", /^deployment\.apps\/cart\ndeployment\.apps\/catalog\n/],
    [
      "svc/cart -n shop",
      /^NAME +TYPE +CLUSTER-IP .*\ncart +ClusterIP +10\.[\d.]+ +<none> +7070\/TCP/,
    ],
    ["deploy,sts -A", /shop +deployment\.apps\/cart(?:.|\n)*shop-data +statefulset\.apps\/orders/],
    ["no node2 node1", /^NAME +STATUS .*\nnode1 +Ready .*\nnode2 +Ready .*\n$/],
    [
      "all -n shop-data",
      /pod\/cache-(?:.|\n)*service\/cache(?:.|\n)*deployment\.apps\/cache(?:.|\n)*replicaset\.apps\/cache-(?:.|\n)*statefulset\.apps\/orders/,
    ],
    [
      "netpol -A --show-labels",
      /^NAMESPACE +NAME +POD-SELECTOR +AGE +LABELS\nshop-data +cache-for-cart-only +app=cache/,
    ],
    [
      "ns shop -o yaml",
      /^apiVersion: v1\nkind: Namespace\nmetadata:\n {2}creationTimestamp: "20\d\d-/,
    ],
  ])("%s", async (args, text) => {
    const { status, stdout, stderr } = await cnilab(["get", ...args.split(" ")]);
    expect({ status, stderr: stderr.replace(WARNING, "") }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toMatch(text);
  });

  test("as JSON, which goes back in as it came out", async () => {
    const list = await cnilab(["get", "deploy,svc,sts,ns,pods", "-A", "-o", "json"]);
    const { kind, items } = JSON.parse(list.stdout);
    expect({ status: list.status, kind }).toEqual({ status: 0, kind: "List" });
    expect(items.length).toBeGreaterThan(30);
    const again = await cnilab(["get", "svc", "-A", "-f", "-"], { input: list.stdout });
    const first = await cnilab(["get", "svc", "-A"]);
    // With CoreDNS among the input nothing comes after it, so that all are younger.
    const ageless = (text: string) => text.replaceAll(/ +\d+s$/gm, "");
    expect(ageless(again.stdout)).toBe(ageless(first.stdout));
  });

  test("nothing found is no mistake, and is told as kubectl does", async () => {
    const { status, stdout, stderr } = await cnilab(["get", "pods"]);
    expect({ status, stdout, stderr }).toEqual({
      status: 0,
      stdout: "",
      stderr: "No resources found in default namespace.\n",
    });
  });
});

describe("show", () => {
  test.each([
    ["links", /\d+: flannel\.1: <.*> mtu 1450 .*\n.*\n +vxlan id 1 /, "ifname"],
    ["addrs", /inet 10\.244\.0\.1\/24 brd 10\.244\.0\.255 scope global cni0/, "addr_info"],
    ["routes", /^10\.244\.1\.0\/24 via 10\.244\.1\.0 dev flannel\.1 onlink/m, "dst"],
    ["rules", /^32766:\tfrom all lookup main/m, "priority"],
    ["neigh", /^10\.244\.1\.0 dev flannel\.1 lladdr [\da-f:]+ PERMANENT/m, "lladdr"],
    ["fdb", /^[\da-f:]+ dev flannel\.1 dst 192\.168\.0\.12 self permanent/m, "mac"],
    ["tc", /^qdisc \w+ 0: dev eth0 root/m, "kind"],
    ["conntrack", /^tcp +6 \d+ TIME_WAIT src=10\.244\.0\.1 /m, undefined],
    ["sockets", /LISTEN .*:10250 .*kubelet/, undefined],
    ["sysctl", /^net\.ipv4\.ip_forward = 1$/m, undefined],
  ])("%s, as text and as JSON", async (view, text, field) => {
    const [plain, json] = await Promise.all([
      cnilab(["show", view, "--node", "node1"]),
      cnilab(["show", view, "--node", "node1", "-o", "json"]),
    ]);
    expect([plain.status, json.status]).toEqual([0, 0]);
    expect(plain.stdout).toMatch(text);
    const value = JSON.parse(json.stdout);
    if (field !== undefined) expect(value.some((row: object) => field in row)).toBe(true);
  });

  test.each([
    [
      "iptables --node node1",
      /^-A KUBE-SERVICES -d 10\.[\d.]+\/32 .*"shop\/cart:grpc cluster IP"/m,
    ],
    ["ip6tables --node node1", /^-A POSTROUTING .*-j KUBE-POSTROUTING$/m],
    ["nft --node node1 --cni-set nftables", /^table ip flannel-ipv4 \{/m],
    ["ipset --node node1", /^$/],
    ["routes --node node1 --table local", /^local 192\.168\.0\.11 dev eth0 /m],
    [
      "routes --pod shop/deploy/cart",
      /^default via 10\.244\.0\.1 dev eth0 \n10\.244\.0\.0\/16 via 10\.244\.0\.1 dev eth0 \n/,
    ],
    ["addrs --pod orders-0 -n shop-data --node node1", /inet 10\.244\.0\.2\/24 /],
    ["routes --node node2 --ip-families ipv4,ipv6", /^fd00:10:244::\/64 via /m],
  ])("%s", async (args, text) => {
    const { status, stdout } = await cnilab(["show", ...args.split(" ")]);
    expect(status).toBe(0);
    expect(stdout).toMatch(text);
  });
});

describe("a Windows node", () => {
  const flags = ["-f", `${ROOT}/apps/examples/windows/mixed.yaml`, "--cni-set", "backend=host-gw"];

  test.each([
    ["hns-networks", /Type {13}: L2Bridge\n {4}Subnet Address {3}: 10\.244\.1\.0\/24/],
    ["hns-endpoints", /IP Address {7}: 10\.244\.1\.3\n.*\n {4}Remote {11}: False/],
    ["hns-loadbalancers", /Ports {12}: 80 to 8080, protocol 6\n(?:.*\n){2}.*Service default\/back/],
    ["vfp", /Friendly name : LB_DSR_\w{5}_192\.168\.0\.12_10\.[\d.]+_80_8080_6/],
    ["vfp-flows", /Port Friendly name {3}: Container NIC /],
    ["routes", /^10\.244\.0\.0\/24 via 192\.168\.0\.11 dev vEthernet/m],
  ])("shows %s", async (view, text) => {
    const { status, stdout } = await cnilab(["show", view, "--node", "win1", ...flags]);
    expect(status).toBe(0);
    expect(stdout).toMatch(text);
  });

  test("has no iptables", async () => {
    const { status, stderr } = await cnilab(["show", "iptables", "--node", "win1", ...flags]);
    expect(status).toBe(2);
    expect(stderr).toContain("win1 runs Windows, which has no iptables-save; take hns-networks");
  });

  test("is in a trace with its VFP rules", async () => {
    const { status, stdout } = await cnilab(["trace", "deploy/back", "svc/front", ...flags]);
    expect(status).toBe(0);
    expect(stdout).toMatch(
      /rule +VFP layer LB_DSR, group LB_DSR_IPv4_OUT: to 10\.244\.0\.\d:80, one of 2 endpoints, by the hash of the five-tuple \(port Container NIC \w+\)\n(?:.*\n)+? +from Service default\/front\n/,
    );
  });
});

describe("explain", () => {
  test("has three lines and an example out of the running cluster", async () => {
    const { status, stdout } = await cnilab(["explain", "vtep"]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^VTEP\n(?: {2}\S.*\n){3}On node1:\n(?: {2}.*\n)+/);
  });

  test("lists what it knows", async () => {
    const { stdout } = await cnilab(["explain"]);
    expect(stdout.split("\n")).toEqual(expect.arrayContaining(["veth", "FDB", "KUBE-SVC", "DNAT"]));
  });
});

describe("render", () => {
  const leases = `{
    "netConf": {"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan"}},
    "nodes": {"n1": "192.168.50.11", "n2": "192.168.50.12"},
    "leases": {
      "/coreos.com/network/subnets/10.244.1.0-24": {"PublicIP": "192.168.50.11", "PublicIPv6": null, "BackendType": "vxlan", "BackendData": {"VNI": 1, "VtepMAC": "02:00:00:00:00:01"}},
      "/coreos.com/network/subnets/10.244.2.0-24": {"PublicIP": "192.168.50.12", "PublicIPv6": null, "BackendType": "vxlan", "BackendData": {"VNI": 1, "VtepMAC": "02:00:00:00:00:02"}}
    }}`;

  test.each([
    ["routes", "10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink"],
    ["fdb", "02:00:00:00:00:02 dev flannel.1 dst 192.168.50.12 self permanent"],
    ["neigh", "10.244.2.0 dev flannel.1 lladdr 02:00:00:00:00:02 PERMANENT"],
    ["addrs", "inet 10.244.1.0/32 scope global flannel.1"],
    ["links", "vxlan id 1 local 192.168.50.11 dev eth0"],
    [
      "iptables",
      '-A FLANNEL-FWD -s 10.244.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT',
    ],
  ])("flannel's %s from leases", async (output, text) => {
    const file = join(folder, `leases-${output}.json`);
    writeFileSync(file, leases);
    const args = ["render", "flannel", "--node", "n1", "-f", file, "-o", output];
    const { status, stdout, stderr } = await cnilab(args);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toContain(text);
  });

  test("flannel's routes from a running cluster's Nodes, as the cluster has them", async () => {
    const nodes = await cnilab(["get", "nodes", "-o", "yaml", "--cni-set", "backend=host-gw"]);
    const conf = join(folder, "net-conf.json");
    writeFileSync(conf, '{"Network": "10.244.0.0/16", "Backend": {"Type": "host-gw"}}');
    const args = ["render", "flannel", "--node", "node1", "-f", "-", "--config", conf];
    const { status, stdout } = await cnilab([...args, "-o", "routes"], { input: nodes.stdout });
    expect(status).toBe(0);
    expect(stdout).toContain("10.244.2.0/24 via 192.168.0.13 dev eth0");
  });

  test("kube-proxy, alone", async () => {
    const input = `
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: default}, spec: {clusterIP: 10.96.0.10, clusterIPs: [10.96.0.10], ports: [{port: 80, protocol: TCP}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web-1, namespace: default, labels: {kubernetes.io/service-name: web}}, addressType: IPv4, ports: [{port: 8080, protocol: TCP}], endpoints: [{addresses: [10.244.1.5], conditions: {ready: true}}]}
`;
    const { status, stdout } = await cnilab(["render", "kube-proxy", "--node", "n1", "-f", "-"], {
      input,
    });
    expect(status).toBe(0);
    expect(stdout).toMatch(
      /^-A KUBE-SEP-\w+ -p tcp .* -j DNAT --to-destination 10\.244\.1\.5:8080$/m,
    );
  });

  it.skipIf(!hasVectors)("kube-proxy's golden vectors as they are (needs ../shared)", async () => {
    const example = join(VECTORS, "kube-proxy/clusterip-single");
    const args = ["-f", join(example, "input.yaml"), "--config", join(example, "config.json")];
    const { status, stdout } = await cnilab(["render", "kube-proxy", "--node", "node1", ...args]);
    expect(status).toBe(0);
    expect(stdout).toBe(readFileSync(join(example, "iptables.txt"), "utf8"));
  });
});

describe("the command itself", () => {
  test("lists models and their options", async () => {
    const { status, stdout } = await cnilab(["cni", "list"]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^flannel v\S+: /);
    expect(stdout).toContain("--cni-set backend=vxlan|host-gw|udp|ipip|wireguard|alloc (vxlan)");
  });

  test.each([
    ["--version", /^\d+\.\d+\.\d+\n$/],
    ["--help", /^Usage: cnilab (?:.|\n)*cnilab explain VTEP\n$/],
    ["help trace", /^Usage: cnilab trace \[options\] <src> <dst\[:port\]>\n/],
    ["", /^Usage: cnilab /],
    ["--nodes 1 -o json", /^\{\n {2}"nodes": \[/],
  ])("%s", async (args, text) => {
    const { status, stdout, stderr } = await cnilab(args.split(" ").filter(Boolean));
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toMatch(text);
  });

  test("completes commands, choices and flags in bash", async () => {
    const script = join(folder, "completion.bash");
    writeFileSync(script, (await cnilab(["completion", "bash"])).stdout);
    const complete = (...words: string[]) =>
      execFileSync(
        "bash",
        [
          "-c",
          `source ${script}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _cnilab; echo "\${COMPREPLY[@]}"`,
          "bash",
          "cnilab",
          ...words,
        ],
        { encoding: "utf8" },
      ).trim();
    expect(complete("ex")).toBe("explain");
    expect(complete("show", "ip")).toBe("iptables ip6tables ipset ipvs");
    expect(complete("run", "--listen", "")).toBe("declared all");
    expect(complete("get", "--no-h")).toBe("--no-headers");
    expect(complete("run", "-f", "")).toBe("");
  });

  it.each(
    ["zsh", "fish"].map((shell) => [shell, spawnSync(shell, ["--version"]).status === 0] as const),
  )(
    "writes a completion script for %s, which reads it where it is installed",
    async (shell, installed) => {
      const { status, stdout } = await cnilab(["completion", shell]);
      expect(status).toBe(0);
      expect(stdout).toContain(shell === "zsh" ? "bashcompinit" : "-a 'declared all'");
      if (installed) execFileSync(shell, ["-n"], { input: stdout });
    },
  );
});
