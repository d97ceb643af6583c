import { describe, expect, test } from "vitest";
import { type DnsClusterOptions, dnsCluster, lookUp } from "./dns-cluster.ts";

/** CoreDNS forwards `own.test` to a Service of a DNS server in the cluster. */
function ownServer(replicas: number): string {
  return `
{apiVersion: v1, kind: ConfigMap, metadata: {name: coredns, namespace: kube-system}, data: {Corefile: ".:53 {\\n ready\\n kubernetes cluster.local\\n forward own.test 10.99.0.53\\n}\\n"}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: own}, data: {Corefile: "own.test:53 {\\n hosts {\\n  10.5.5.5 a.own.test\\n }\\n}\\n"}}
---
{apiVersion: v1, kind: Service, metadata: {name: own}, spec: {clusterIP: 10.99.0.53, selector: {app: own}, ports: [{port: 53, protocol: UDP}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: own}
spec:
  replicas: ${replicas}
  selector: {matchLabels: {app: own}}
  template:
    metadata: {labels: {app: own}}
    spec:
      containers: [{name: dns, image: coredns, args: [-conf, /etc/own/Corefile], ports: [{containerPort: 53, protocol: UDP}], volumeMounts: [{name: c, mountPath: /etc/own}]}]
      volumes: [{name: c, configMap: {name: own}}]
`;
}

function policy(name: string, namespace: string, labels: string, way: string): string {
  return `---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: ${name}, namespace: ${namespace}}, spec: {podSelector: {matchLabels: {${labels}}}, policyTypes: [${way}]}}\n`;
}

const SERVFAIL =
  "SERVFAIL from 10\\.96\\.0\\.10:53/UDP \\(Service kube-system/kube-dns\\) for a\\.own\\.test; the question of pod kube-system/coredns-[-a-z0-9]+ to";

describe("what a server could not ask on a resolver's behalf is told", () => {
  test.each<[string, string, string]>([
    [
      "a policy on the server behind CoreDNS",
      ownServer(1) + policy("lock", "default", "app: own", "Ingress"),
      `${SERVFAIL} 10\\.244\\.\\d\\.\\d+:53/UDP \\(pod default/own-[-a-z0-9]+\\) was dropped at .* of NetworkPolicy default/lock \\(ingress.*\\): drop`,
    ],
    [
      "a policy on CoreDNS itself",
      ownServer(1) + policy("mute", "kube-system", "k8s-app: kube-dns", "Egress"),
      `${SERVFAIL} .* was dropped at .* of NetworkPolicy kube-system/mute \\(egress.*\\): drop`,
    ],
    [
      "a server behind CoreDNS without endpoints",
      ownServer(0),
      `${SERVFAIL} 10\\.99\\.0\\.53:53/UDP \\(Service default/own, which has no ready endpoint\\) was dropped at .* of Service default/own: .*REJECT.*`,
    ],
  ])("%s", (_, objects, told) => {
    const cluster = dnsCluster({ objects, policies: true });
    cluster.forgetConnections();
    expect(lookUp(cluster, "client", "a.own.test.").problem).toMatch(
      new RegExp(`^a\\.own\\.test\\.: ${told}$`),
    );
    const to = cluster.endpoint("a.own.test:80");
    const { verdict, reason } = cluster.connect({ from: cluster.endpoint("client"), to });
    expect(verdict).toBe("unresolved");
    expect(reason).toMatch(new RegExp(`^a\\.own\\.test: ${told}$`));
  });
});

test.each<[string, string, { egress: boolean; ingress: boolean }]>([
  [
    "the source's own",
    policy("closed", "default", "app: client", "Egress"),
    { egress: false, ingress: true },
  ],
  [
    "the name server's, inwards",
    policy("closed", "kube-system", "k8s-app: kube-dns", "Ingress"),
    { egress: true, ingress: false },
  ],
  [
    "the name server's, outwards: the question itself was let through",
    policy("closed", "kube-system", "k8s-app: kube-dns", "Egress"),
    { egress: true, ingress: true },
  ],
])(
  "a policy that keeps a name from being resolved says so of its side: %s",
  (_, objects, sides) => {
    const cluster = dnsCluster({ objects, policies: true });
    cluster.forgetConnections();
    const to = cluster.endpoint("a.example.:80");
    const connection = cluster.connect({ from: cluster.endpoint("client"), to });
    expect(connection).toMatchObject({ verdict: "unresolved", ...sides });
    expect(connection.reason).toMatch(/ of NetworkPolicy [-a-z]+\/closed /);
  },
);

const servers = (...nameservers: string[]) =>
  `dnsPolicy: None, dnsConfig: {nameservers: [${nameservers.join(", ")}], searches: [default.svc.cluster.local]}`;
const NXDOMAIN = "nope: NXDOMAIN (no such name) for nope.default.svc.cluster.local, nope";

describe("a name that one of several servers knows not to be there is not there", () => {
  test.each<[string, DnsClusterOptions, string]>([
    [
      "the first is dead",
      { clientSpec: servers("192.0.2.1", "10.96.0.10") },
      `${NXDOMAIN}; 192.0.2.1:53/UDP does not answer`,
    ],
    ["both live", { clientSpec: servers("10.96.0.10", "203.0.113.53") }, NXDOMAIN],
    [
      "both live, and musl asks them at once",
      { clientSpec: servers("10.96.0.10", "203.0.113.53"), clientImage: "node:24-alpine" },
      NXDOMAIN,
    ],
  ])("%s", (_, options, problem) => {
    expect(lookUp(dnsCluster(options), "client", "nope").problem).toBe(problem);
  });
});
