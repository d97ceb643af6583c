import type { Pod, ProxyMode } from "@cnilab/core";
import { type Kernel, Trace } from "@cnilab/linux";
import { formatIp, type IpFamily } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { type DnsClusterOptions, dnsCluster, lookUp } from "./dns-cluster.ts";

const MODES: readonly ProxyMode[] = ["iptables", "nftables", "ipvs"];
const DENY_EGRESS = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: only-web}
spec: {podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: web}}}]}]}
`;

describe.each(MODES)("with kube-proxy in mode %s", (proxyMode) => {
  test.each<[string, readonly IpFamily[], boolean]>([
    ["CoreDNS, IPv4", [4], false],
    ["CoreDNS, IPv6", [6], false],
    ["CoreDNS, dual-stack", [4, 6], false],
    ["NodeLocal DNSCache, IPv4", [4], true],
    ["NodeLocal DNSCache, IPv6", [6], true],
  ])("%s answers the pod, and the connection follows", (_, ipFamilies, nodeLocal) => {
    const cluster = dnsCluster({ proxyMode, ipFamilies, nodeLocal });
    const service = cluster.api.get("Service", "default/web");
    const found = lookUp(cluster, "client", "web");
    expect(found.addresses.map(formatIp)).toEqual(service?.spec.clusterIPs);
    expect(found.steps.map((s) => `${s.type} ${s.name} ${s.outcome}`)).toEqual([
      "A web.default.svc.cluster.local. NOERROR",
      "AAAA web.default.svc.cluster.local. NOERROR",
    ]);
    cluster.forgetConnections();
    const request = { from: cluster.endpoint("client"), to: cluster.endpoint("web.default:http") };
    expect(cluster.connect(request)).toMatchObject({ verdict: "allowed", port: 80 });
    // What the world knows comes through the node's own name server.
    const world = lookUp(cluster, "client", "www.example.com");
    expect(world.problem).toBeUndefined();
    expect(world.steps).toHaveLength(8);
    expect(world.steps.at(-1)?.name).toBe("www.example.com.");
  });

  test("a policy that forgets port 53 is named in one line", () => {
    const cluster = dnsCluster({ proxyMode, policies: true, objects: DENY_EGRESS });
    const request = { from: cluster.endpoint("client"), to: cluster.endpoint("web:80") };
    const { verdict, reason } = cluster.connect(request);
    expect(verdict).toBe("unresolved");
    expect(reason).toMatch(
      /^web: timed out, no answer from 10\.96\.0\.10:53\/UDP \(Service kube-system\/kube-dns\); the question was dropped at node1\/.* of NetworkPolicy default\/only-web \(egress.*\): drop$/,
    );
    expect(reason).not.toContain("\n");
    // Who is not selected is not held.
    const other = lookUp(cluster, "deploy/web", "web");
    expect(other.problem).toBeUndefined();
  });

  test.each([
    ["curl", (server: string) => `web: ${server} refuses questions; `],
    ["curl:alpine", (server: string) => `web: timed out, no answer from ${server}; `],
  ])("a Service without an endpoint is named, in image %s", (clientImage, told) => {
    const cluster = dnsCluster({ proxyMode, clientImage });
    cluster.scale("Deployment", "kube-system/coredns", 0);
    cluster.settle();
    const { problem, error } = lookUp(cluster, "client", "web");
    expect(error).toBe("EAI_AGAIN");
    const server = "10.96.0.10:53/UDP (Service kube-system/kube-dns, which has no ready endpoint)";
    expect(problem?.startsWith(told(server))).toBe(true);
  });
});

test("a trace shows the questions before the connection, as packets", () => {
  const cluster = dnsCluster();
  const trace = new Trace();
  cluster.connect({ from: cluster.endpoint("client"), to: cluster.endpoint("web:80"), trace });
  const sent = trace.steps.flatMap((s) => (s.kind === "send" ? [s.text] : []));
  expect(sent.slice(0, 5)).toEqual([...new Array(4).fill("UDP datagram"), "SYN"]);
  const dnat = trace.steps.find((s) => s.kind === "nat");
  expect(dnat).toMatchObject({ from: "10.96.0.10:53" });
});

test("a pod's own name is no question to follow: the trace begins with the connection", () => {
  const objects =
    "{apiVersion: v1, kind: Pod, metadata: {name: server}, spec: {containers: [{name: c, ports: [{containerPort: 80}]}]}}";
  const cluster = dnsCluster({ objects });
  const trace = new Trace();
  const to = cluster.endpoint("server:80");
  expect(cluster.connect({ from: cluster.endpoint("client"), to, trace }).verdict).toBe("allowed");
  expect(trace.steps.find((s) => s.kind === "send")).toMatchObject({ text: "SYN", packet: 0 });
});

describe("a pod's files", () => {
  const fileOf = (options: DnsClusterOptions, path: string) => {
    const cluster = dnsCluster(options);
    const { metadata, spec } = cluster.api.get("Pod", "default/client") as Pod;
    return cluster.nodes.get(spec.nodeName as string)?.kubelet.fileOf(metadata.uid as string, path);
  };

  test.each([
    [
      "ClusterFirst",
      "",
      "search default.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n",
    ],
    ["Default", "dnsPolicy: Default", "nameserver 203.0.113.53\n"],
    ["ClusterFirst in the host's network", "hostNetwork: true", "nameserver 203.0.113.53\n"],
    [
      "ClusterFirstWithHostNet",
      "hostNetwork: true, dnsPolicy: ClusterFirstWithHostNet",
      "search default.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n",
    ],
    [
      "None",
      "dnsPolicy: None, dnsConfig: {nameservers: [192.0.2.1], searches: [a.example]}",
      "search a.example\nnameserver 192.0.2.1\n",
    ],
  ])("resolv.conf with %s", (_, clientSpec, expected) => {
    expect(fileOf({ clientSpec }, "/etc/resolv.conf")).toBe(expected);
  });

  test("hosts has the pod itself and its hostAliases", () => {
    const clientSpec =
      "hostname: cat, subdomain: pets, hostAliases: [{ip: 10.1.2.3, hostnames: [foo.local, bar]}]";
    const text = fileOf({ clientSpec }, "/etc/hosts") ?? "";
    expect(text.split("\n")[0]).toBe("# Kubernetes-managed hosts file.");
    expect(text).toMatch(/\n10\.244\.0\.\d+\tcat\.pets\.default\.svc\.cluster\.local\tcat\n/);
    expect(text).toMatch(/\n# Entries added by HostAliases\.\n10\.1\.2\.3\tfoo\.local\tbar\n$/);
  });

  test("a name in hosts asks nobody", () => {
    const cluster = dnsCluster({
      clientSpec: "hostAliases: [{ip: 10.1.2.3, hostnames: [foo.local]}]",
    });
    const found = lookUp(cluster, "client", "foo.local");
    expect(found).toMatchObject({ steps: [], problem: undefined });
    expect(found.addresses.map(formatIp)).toEqual(["10.1.2.3"]);
  });
});

describe("CoreDNS comes along", () => {
  test("as kubeadm sets it up, and ready", () => {
    const cluster = dnsCluster();
    const pods = cluster.api.list("Pod", "kube-system");
    expect(pods.map((p) => p.status?.conditions?.find((c) => c.type === "Ready")?.status)).toEqual([
      "True",
      "True",
    ]);
    expect(new Set(pods.map((p) => p.spec.nodeName)).size).toBe(2);
    expect(cluster.api.get("Service", "kube-system/kube-dns")?.spec.clusterIP).toBe("10.96.0.10");
  });

  test("but with the input's own Corefile, and it is read again when it changes", () => {
    const corefile = (address: string) =>
      `{apiVersion: v1, kind: ConfigMap, metadata: {name: coredns, namespace: kube-system}, data: {Corefile: ".:53 {\\n ready\\n reload\\n hosts {\\n  ${address} own.example\\n }\\n}\\n"}}`;
    const cluster = dnsCluster({ objects: corefile("192.0.2.7") });
    const ask = () => lookUp(cluster, "client", "own.example.").addresses.map(formatIp);
    expect(ask()).toEqual(["192.0.2.7"]);
    cluster.api.update("ConfigMap", "kube-system/coredns", (map) => ({
      ...map,
      data: { Corefile: (map.data?.["Corefile"] ?? "").replace("192.0.2.7", "192.0.2.8") },
    }));
    expect(ask()).toEqual(["192.0.2.7"]);
    cluster.clock.advance(60_000);
    expect(ask()).toEqual(["192.0.2.8"]);
  });

  test("and crashes over a Corefile that is wrong, saying where", () => {
    const cluster = dnsCluster({
      objects:
        '{apiVersion: v1, kind: ConfigMap, metadata: {name: coredns, namespace: kube-system}, data: {Corefile: ".:53 {\\n nonsense\\n}\\n"}}',
    });
    const [pod] = cluster.api.list("Pod", "kube-system");
    expect(pod?.status?.containerStatuses?.[0]).toMatchObject({
      ready: false,
      state: { waiting: { reason: "CrashLoopBackOff" } },
    });
    const events = cluster.api.list("Event").map(({ message }) => message);
    expect(events.join("\n")).toMatch(/coredns.*Corefile:2.*nonsense/);
    const line =
      /^ConfigMap kube-system\/coredns stops container coredns of 2 pods: \/etc\/coredns\/Corefile:2: .*nonsense/;
    expect(cluster.warnings).toEqual([expect.stringMatching(line)]);
    // Whoever mends it is not warned any more.
    cluster.api.update("ConfigMap", "kube-system/coredns", (map) => ({
      ...map,
      data: { Corefile: ".:53 {\n ready\n kubernetes cluster.local\n}\n" },
    }));
    cluster.clock.advance(60_000);
    expect(cluster.warnings).toEqual([]);
    expect(lookUp(cluster, "client", "web").problem).toBeUndefined();
  });

  test("takes another address where the input has the tenth", () => {
    const cluster = dnsCluster({
      objects:
        "{apiVersion: v1, kind: Service, metadata: {name: mine}, spec: {clusterIP: 10.96.0.10, selector: {app: x}, ports: [{port: 1}]}}",
    });
    const ip = cluster.api.get("Service", "kube-system/kube-dns")?.spec.clusterIP;
    expect(ip).not.toBe("10.96.0.10");
    expect(lookUp(cluster, "client", "web").problem).toBeUndefined();
  });
});

describe("NodeLocal DNSCache", () => {
  const nodeOf = (cluster: ReturnType<typeof dnsCluster>): Kernel =>
    (cluster.nodes.get("node1") as NonNullable<ReturnType<typeof cluster.nodes.get>>).machine;

  test("has a device of its own and keeps its packets from being tracked", () => {
    const cluster = dnsCluster({ nodeLocal: true });
    const { initNs } = nodeOf(cluster);
    const addresses = initNs
      .device("nodelocaldns")
      .addressesOf(4)
      .map((a) => formatIp(a.address));
    expect(addresses).toEqual(["169.254.20.10", "10.96.0.10"]);
    expect(initNs.iptables(4).save("raw")).toContain(
      '-A PREROUTING -d 10.96.0.10/32 -p udp -m udp --dport 53 -m comment --comment "NodeLocal DNS Cache: skip conntrack" -j NOTRACK',
    );
  });

  test("answers the second question of a name without CoreDNS", () => {
    const cluster = dnsCluster({ nodeLocal: true });
    expect(lookUp(cluster, "client", "web").problem).toBeUndefined();
    cluster.scale("Deployment", "kube-system/coredns", 0);
    cluster.settle();
    expect(lookUp(cluster, "client", "web").problem).toBeUndefined();
    expect(lookUp(cluster, "client", "kubernetes").problem).toBeDefined();
  });
});

describe("answers of many records", () => {
  const addresses = Array.from({ length: 40 }, (_, i) => `10.99.0.${i + 1}`);
  const objects = `
{apiVersion: v1, kind: Service, metadata: {name: many}, spec: {clusterIP: None, ports: [{port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: many-1, labels: {kubernetes.io/service-name: many}}, addressType: IPv4, ports: [{name: "", port: 80}], endpoints: [${addresses
    .map((a) => `{addresses: [${a}]}`)
    .join(", ")}]}
`;
  test("are cut at 512 bytes, and come whole over TCP", () => {
    const found = lookUp(dnsCluster({ objects }), "client", "many");
    expect(found.addresses.map(formatIp).sort()).toEqual([...addresses].sort());
    expect(found.steps.map((s) => `${s.type} ${s.protocol}`)).toContain("A tcp");
  });

  test("come whole in one datagram to who says that it takes longer ones", () => {
    const clientSpec = "dnsConfig: {options: [{name: edns0}]}";
    const found = lookUp(dnsCluster({ objects, clientSpec }), "client", "many");
    expect(found.addresses).toHaveLength(40);
    expect(new Set(found.steps.map((s) => s.protocol))).toEqual(new Set(["udp"]));
  });
});

test("an image on Alpine resolves as musl does: a name of ndots dots is asked for as it is, and no other way", () => {
  const objects =
    "{apiVersion: v1, kind: Pod, metadata: {name: small}, spec: {containers: [{name: c, image: 'node:24-alpine'}]}}";
  const cluster = dnsCluster({ objects });
  const asked = (pod: string) => lookUp(cluster, pod, "a.b.c.d.e.f").steps.length;
  expect([asked("small"), asked("client")]).toEqual([2, 8]);
});

test("two runs of one seed ask alike", () => {
  const asked = () => {
    const cluster = dnsCluster({ seed: 7 });
    const trace = new Trace();
    cluster.connect({ from: cluster.endpoint("client"), to: cluster.endpoint("web:80"), trace });
    return trace.steps.map((s) => `${s.kind} ${s.netns} ${"text" in s ? s.text : ""}`);
  };
  expect(asked()).toEqual(asked());
});
