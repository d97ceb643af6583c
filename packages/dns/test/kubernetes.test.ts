// The statements of shared/specs/dns.md about the kubernetes plugin, one by one.
import { describe, expect, test } from "vitest";
import { TestServer } from "./ask.ts";

const MANY = Array.from(
  { length: 40 },
  (_, i) => `{addresses: [10.244.6.${i + 1}], hostname: m-${i}}`,
);
const CLUSTER = `
{kind: Namespace, apiVersion: v1, metadata: {name: shop, labels: {team: a}}}
---
{kind: Namespace, apiVersion: v1, metadata: {name: bare}}
---
{kind: Service, apiVersion: v1, metadata: {name: web, namespace: shop, labels: {public: "yes"}}, spec: {clusterIPs: [10.96.0.7], ports: [{name: http, port: 80}, {port: 81, protocol: UDP}]}}
---
{kind: EndpointSlice, apiVersion: discovery.k8s.io/v1, metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}, addressType: IPv4, endpoints: [{addresses: [10.244.0.5], targetRef: {kind: Pod, name: web-abc}}], ports: [{name: http, port: 8080, protocol: TCP}]}
---
{kind: Service, apiVersion: v1, metadata: {name: six, namespace: shop}, spec: {clusterIPs: ["fd00:10:96::7"], ports: [{name: http, port: 80}]}}
---
{kind: Service, apiVersion: v1, metadata: {name: db, namespace: shop}, spec: {clusterIP: None, clusterIPs: [None], ports: [{name: sql, port: 5432}]}}
---
{kind: EndpointSlice, apiVersion: discovery.k8s.io/v1, metadata: {name: db-1, namespace: shop, labels: {kubernetes.io/service-name: db}}, addressType: IPv4, endpoints: [{addresses: [10.244.0.8], hostname: db-0, zone: Z1}, {addresses: [10.244.0.9], hostname: db-0, conditions: {ready: true, terminating: true, serving: true}, zone: z2}, {addresses: [10.244.0.10], conditions: {ready: false, serving: true}}], ports: [{name: sql, port: 5432, protocol: TCP}]}
---
{kind: Service, apiVersion: v1, metadata: {name: noport, namespace: shop}, spec: {clusterIP: None}}
---
{kind: EndpointSlice, apiVersion: discovery.k8s.io/v1, metadata: {name: noport-1, namespace: shop, labels: {kubernetes.io/service-name: noport}}, addressType: IPv4, endpoints: [{addresses: [10.244.0.12]}], ports: []}
---
{kind: Service, apiVersion: v1, metadata: {name: many, namespace: shop}, spec: {clusterIP: None, ports: [{name: p, port: 1}]}}
---
{kind: EndpointSlice, apiVersion: discovery.k8s.io/v1, metadata: {name: many-1, namespace: shop, labels: {kubernetes.io/service-name: many}}, addressType: IPv4, endpoints: [${MANY.join(", ")}], ports: [{name: p, port: 1}]}
---
{kind: Service, apiVersion: v1, metadata: {name: none, namespace: shop}, spec: {clusterIP: None, ports: [{name: p, port: 1}]}}
---
{kind: Service, apiVersion: v1, metadata: {name: empty, namespace: shop}, spec: {clusterIP: 10.96.0.9, ports: [{name: p, port: 1}]}}
---
{kind: Service, apiVersion: v1, metadata: {name: ext, namespace: shop}, spec: {type: ExternalName, externalName: www.example.com}}
---
{kind: Service, apiVersion: v1, metadata: {name: self, namespace: shop}, spec: {type: ExternalName, externalName: self.shop.svc.cluster.local}}
---
{kind: Service, apiVersion: v1, metadata: {name: inner, namespace: shop}, spec: {type: ExternalName, externalName: web.shop.svc.cluster.local}}
---
{kind: Service, apiVersion: v1, metadata: {name: tick, namespace: shop}, spec: {type: ExternalName, externalName: tock.shop.svc.cluster.local}}
---
{kind: Service, apiVersion: v1, metadata: {name: tock, namespace: shop}, spec: {type: ExternalName, externalName: tick.shop.svc.cluster.local}}
---
{kind: Pod, apiVersion: v1, metadata: {name: web-abc, namespace: shop}, spec: {containers: []}, status: {phase: Running, podIP: 10.244.0.5, podIPs: [{ip: 10.244.0.5}, {ip: "fd00::5"}]}}
---
{kind: Pod, apiVersion: v1, metadata: {name: done, namespace: shop}, spec: {containers: []}, status: {phase: Succeeded, podIP: 10.244.0.6}}
---
{kind: Pod, apiVersion: v1, metadata: {name: host, namespace: shop}, spec: {hostNetwork: true, containers: []}, status: {phase: Running, podIP: 192.0.2.9}}
`;
const Z = "cluster.local.";
const SOA = `${Z} 5 SOA ns.dns.${Z} hostmaster.${Z} 1767225600 7200 1800 86400 5`;
const NODATA = `NOERROR |  | ${SOA}`;
const NXDOMAIN = `NXDOMAIN |  | ${SOA}`;

/** Answers with the plugin's own defaults and these lines. */
function line(
  properties: string,
  name: string,
  type: string,
  more = "",
  zones = "cluster.local",
): string {
  const corefile = `.:53 {\nkubernetes ${zones} {\n${properties}\n}\n${more}\n}`;
  return new TestServer(corefile, CLUSTER).line(name, type);
}

describe("kubernetes", () => {
  test.each([
    ["a cluster IP", "web.shop.svc", "A", `NOERROR | web.shop.svc.${Z} 5 A 10.96.0.7`],
    ["the family it lacks", "web.shop.svc", "AAAA", NODATA],
    ["no endpoints at all", "empty.shop.svc", "A", `NOERROR | empty.shop.svc.${Z} 5 A 10.96.0.9`],
    ["MX", "web.shop.svc", "MX", NODATA],
    ["TXT", "web.shop.svc", "TXT", NODATA],
    ["NS", "web.shop.svc", "NS", NODATA],
    ["SOA", "web.shop.svc", "SOA", NODATA],
    ["CNAME", "web.shop.svc", "CNAME", NODATA],
    ["HTTPS", "web.shop.svc", "HTTPS", NODATA],
    ["ANY", "web.shop.svc", "ANY", NODATA],
    ["a type without a name", "web.shop.svc", "TYPE65280", NODATA],
    ["PTR of no address", "web.shop.svc", "PTR", NODATA],
    ["a zone transfer", "cluster.local.", "AXFR", "REFUSED no-aa"],
    [
      "SRV of all ports, unnamed too",
      "web.shop.svc",
      "SRV",
      `NOERROR | web.shop.svc.${Z} 5 SRV 0 50 80 web.shop.svc.${Z}, web.shop.svc.${Z} 5 SRV 0 50 81 web.shop.svc.${Z} |  | web.shop.svc.${Z} 5 A 10.96.0.7`,
    ],
    [
      "SRV of a port",
      "_http._tcp.web.shop.svc",
      "SRV",
      `NOERROR | _http._tcp.web.shop.svc.${Z} 5 SRV 0 100 80 web.shop.svc.${Z} |  | web.shop.svc.${Z} 5 A 10.96.0.7`,
    ],
    [
      "SRV without underscores",
      "http.tcp.web.shop.svc",
      "SRV",
      `NOERROR | http.tcp.web.shop.svc.${Z} 5 SRV 0 100 80 web.shop.svc.${Z} |  | web.shop.svc.${Z} 5 A 10.96.0.7`,
    ],
    [
      "SRV in other case",
      "_HTTP._TCP.Web.shop.svc",
      "SRV",
      `NOERROR | _HTTP._TCP.Web.shop.svc.${Z} 5 SRV 0 100 80 web.shop.svc.${Z} |  | web.shop.svc.${Z} 5 A 10.96.0.7`,
    ],
    ["a wrong port", "_nope._tcp.web.shop.svc", "SRV", NXDOMAIN],
    ["a wrong protocol", "_http._udp.web.shop.svc", "SRV", NXDOMAIN],
    [
      "A of a port",
      "_http._tcp.web.shop.svc",
      "A",
      `NOERROR | _http._tcp.web.shop.svc.${Z} 5 A 10.96.0.7`,
    ],
    ["A of a wrong port", "_nope._tcp.web.shop.svc", "A", NXDOMAIN],
    [
      "an endpoint of a cluster IP",
      "10-244-0-5.web.shop.svc",
      "A",
      `NOERROR | 10-244-0-5.web.shop.svc.${Z} 5 A 10.244.0.5`,
    ],
    [
      "an endpoint's SRV",
      "10-244-0-5.web.shop.svc",
      "SRV",
      `NOERROR | 10-244-0-5.web.shop.svc.${Z} 5 SRV 0 100 8080 10-244-0-5.web.shop.svc.${Z} |  | 10-244-0-5.web.shop.svc.${Z} 5 A 10.244.0.5`,
    ],
    ["a pod's name", "web-abc.web.shop.svc", "A", NXDOMAIN],
    [
      "headless, terminating or not, but ready",
      "db.shop.svc",
      "A",
      `NOERROR | db.shop.svc.${Z} 5 A 10.244.0.8, db.shop.svc.${Z} 5 A 10.244.0.9`,
    ],
    [
      "one hostname, two records",
      "db-0.db.shop.svc",
      "A",
      `NOERROR | db-0.db.shop.svc.${Z} 5 A 10.244.0.8, db-0.db.shop.svc.${Z} 5 A 10.244.0.9`,
    ],
    [
      "one hostname, one SRV",
      "_sql._tcp.db.shop.svc",
      "SRV",
      `NOERROR | _sql._tcp.db.shop.svc.${Z} 5 SRV 0 50 5432 db-0.db.shop.svc.${Z} |  | db-0.db.shop.svc.${Z} 5 A 10.244.0.8, db-0.db.shop.svc.${Z} 5 A 10.244.0.9`,
    ],
    ["dashes where there is a hostname", "10-244-0-8.db.shop.svc", "A", NXDOMAIN],
    ["headless with the other family only", "db.shop.svc", "AAAA", NODATA],
    ["headless without ready endpoints", "none.shop.svc", "A", NXDOMAIN],
    ["... of either family", "none.shop.svc", "AAAA", NXDOMAIN],
    [
      "headless without ports",
      "noport.shop.svc",
      "A",
      `NOERROR | noport.shop.svc.${Z} 5 A 10.244.0.12`,
    ],
    ["... its SRV", "noport.shop.svc", "SRV", NODATA],
    [
      "ExternalName without a forwarder",
      "ext.shop.svc",
      "A",
      `NOERROR | ext.shop.svc.${Z} 5 CNAME www.example.com.`,
    ],
    [
      "ExternalName's CNAME",
      "ext.shop.svc",
      "CNAME",
      `NOERROR | ext.shop.svc.${Z} 5 CNAME www.example.com.`,
    ],
    ["ExternalName's other types", "ext.shop.svc", "MX", NODATA],
    ["ExternalName's SRV", "ext.shop.svc", "SRV", NODATA],
    ["a port of an ExternalName", "_http._tcp.ext.shop.svc", "SRV", NXDOMAIN],
    [
      "an ExternalName in the cluster",
      "inner.shop.svc",
      "A",
      `NOERROR | inner.shop.svc.${Z} 5 CNAME web.shop.svc.${Z}, web.shop.svc.${Z} 5 A 10.96.0.7`,
    ],
    ["... in the missing family", "inner.shop.svc", "AAAA", NODATA],
    ["a name that is its own target", "self.shop.svc", "A", NODATA],
    ["names that are each other's", "tick.shop.svc", "A", NODATA],
    ["a namespace", "shop.svc", "A", NODATA],
    ["a namespace without Services", "bare.svc", "A", NODATA],
    ["no namespace", "nope.svc", "A", NXDOMAIN],
    ["svc", "svc", "A", NODATA],
    ["pod", "pod", "A", NODATA],
    ["a namespace's pods, with pods disabled", "shop.pod", "A", NXDOMAIN],
    ["something else", "foo", "A", NXDOMAIN],
    ["a wildcard", "*.shop.svc", "A", NXDOMAIN],
    ["any", "any.shop.svc", "A", NXDOMAIN],
    ["too many labels", "a.b.c.web.shop.svc", "A", NXDOMAIN],
    ["the version", "dns-version", "TXT", `NOERROR | dns-version.${Z} 28800 TXT "1.1.0"`],
    ["the version's address", "dns-version", "A", NXDOMAIN],
    ["a pod, disabled", "10-244-0-5.shop.pod", "A", NXDOMAIN],
    ["zonal names, not asked for", "z1.pin._zone.db.shop.svc", "A", NXDOMAIN],
  ])("%s: %s %s", (_, name, type, expected) => {
    expect(line("", name.endsWith(".") ? name : `${name}.${Z}`, type)).toBe(expected);
  });

  test.each([
    ["the zone", Z, "A", NODATA],
    ["the zone's SOA", Z, "SOA", `NOERROR | ${SOA}`],
    [
      "the zone's SOA in other case",
      "Cluster.LOCAL.",
      "SOA",
      `NOERROR | Cluster.LOCAL. 5 SOA ns.dns.Cluster.LOCAL. hostmaster.Cluster.LOCAL. 1767225600 7200 1800 86400 5`,
    ],
    [
      "what is not there, in other case",
      "nope.Cluster.LOCAL.",
      "A",
      `NXDOMAIN |  | Cluster.LOCAL. 5 SOA ns.dns.Cluster.LOCAL. hostmaster.Cluster.LOCAL. 1767225600 7200 1800 86400 5`,
    ],
    ["the zone's NS, without addresses of its own", Z, "NS", NODATA],
    ["another zone, with nothing behind", "example.com.", "A", "SERVFAIL no-aa"],
  ])("%s", (_, name, type, expected) => {
    expect(line("", name, type)).toBe(expected);
  });

  test.each([
    ["pods insecure", "1-2-3-4.bare.pod", "A", `NOERROR | 1-2-3-4.bare.pod.${Z} 5 A 1.2.3.4`],
    ["pods insecure", "fd00--5.shop.pod", "AAAA", `NOERROR | fd00--5.shop.pod.${Z} 5 AAAA fd00::5`],
    ["pods insecure", "fd00--5.shop.pod", "A", NODATA],
    ["pods insecure", "1-2-3-4.nope.pod", "A", NXDOMAIN],
    ["pods insecure", "1-2-3.shop.pod", "A", NXDOMAIN],
    ["pods insecure", "web-abc.shop.pod", "A", NXDOMAIN],
    [
      "pods verified",
      "10-244-0-5.shop.pod",
      "A",
      `NOERROR | 10-244-0-5.shop.pod.${Z} 5 A 10.244.0.5`,
    ],
    ["pods verified", "fd00--5.shop.pod", "AAAA", `NOERROR | fd00--5.shop.pod.${Z} 5 AAAA fd00::5`],
    ["pods verified", "10-244-0-5.bare.pod", "A", NXDOMAIN],
    ["pods verified", "10-244-0-6.shop.pod", "A", NXDOMAIN],
    ["pods verified", "192-0-2-9.shop.pod", "A", `NOERROR | 192-0-2-9.shop.pod.${Z} 5 A 192.0.2.9`],
    [
      "endpoint_pod_names",
      "web-abc.web.shop.svc",
      "A",
      `NOERROR | web-abc.web.shop.svc.${Z} 5 A 10.244.0.5`,
    ],
    ["endpoint_pod_names", "10-244-0-5.web.shop.svc", "A", NXDOMAIN],
    ["noendpoints", "db.shop.svc", "A", NXDOMAIN],
    ["noendpoints", "web.shop.svc", "A", `NOERROR | web.shop.svc.${Z} 5 A 10.96.0.7`],
    ["ignore empty_service", "empty.shop.svc", "MX", NXDOMAIN],
    ["ignore empty_service", "web.shop.svc", "A", `NOERROR | web.shop.svc.${Z} 5 A 10.96.0.7`],
    ["namespaces bare", "web.shop.svc", "A", NXDOMAIN],
    ["namespaces bare shop", "web.shop.svc", "A", `NOERROR | web.shop.svc.${Z} 5 A 10.96.0.7`],
    ["namespace_labels team=a", "web.shop.svc", "A", `NOERROR | web.shop.svc.${Z} 5 A 10.96.0.7`],
    ["namespace_labels team!=a", "web.shop.svc", "A", NXDOMAIN],
    ["labels public", "web.shop.svc", "A", `NOERROR | web.shop.svc.${Z} 5 A 10.96.0.7`],
    ["labels !public", "web.shop.svc", "A", NXDOMAIN],
    [
      "zonal",
      "z1.pin._zone.db.shop.svc",
      "A",
      `NOERROR | z1.pin._zone.db.shop.svc.${Z} 5 A 10.244.0.8`,
    ],
    ["zonal", "z9.pin._zone.db.shop.svc", "A", NODATA],
    [
      "zonal",
      "z9.prefer._zone.db.shop.svc",
      "A",
      `NOERROR | z9.prefer._zone.db.shop.svc.${Z} 5 A 10.244.0.8, z9.prefer._zone.db.shop.svc.${Z} 5 A 10.244.0.9`,
    ],
    ["zonal", "z1.pin._zone.web.shop.svc", "A", NXDOMAIN],
    ["zonal", "z1.other._zone.db.shop.svc", "A", NXDOMAIN],
    ["ttl 0", "web.shop.svc", "A", `NOERROR | web.shop.svc.${Z} 0 A 10.96.0.7`],
    [
      "ttl 3600",
      "web.shop.svc",
      "MX",
      `NOERROR |  | ${Z} 300 SOA ns.dns.${Z} hostmaster.${Z} 1767225600 7200 1800 86400 3600`,
    ],
  ])("%s: %s %s", (properties, name, type, expected) => {
    expect(line(properties, `${name}.${Z}`, type)).toBe(expected);
  });

  const REVERSE = "cluster.local 10.96.0.0/16 in-addr.arpa ip6.arpa";
  test.each([
    [
      "cluster.local in-addr.arpa",
      "7.0.96.10.in-addr.arpa.",
      `NOERROR | 7.0.96.10.in-addr.arpa. 5 PTR web.shop.svc.${Z}`,
    ],
    [
      "cluster.local in-addr.arpa",
      "5.0.244.10.in-addr.arpa.",
      `NOERROR | 5.0.244.10.in-addr.arpa. 5 PTR 10-244-0-5.web.shop.svc.${Z}`,
    ],
    [
      "cluster.local in-addr.arpa",
      "9.2.0.192.in-addr.arpa.",
      "NXDOMAIN |  | in-addr.arpa. 5 SOA ns.dns.in-addr.arpa. hostmaster.in-addr.arpa. 1767225600 7200 1800 86400 5",
    ],
    [
      REVERSE,
      "9.9.96.10.in-addr.arpa.",
      "NXDOMAIN |  | 96.10.in-addr.arpa. 5 SOA ns.dns.96.10.in-addr.arpa. hostmaster.96.10.in-addr.arpa. 1767225600 7200 1800 86400 5",
    ],
    ["cluster.local 10.96.0.0/16", "5.0.244.10.in-addr.arpa.", "SERVFAIL no-aa"],
    [
      "cluster.local 10.96.0.0/12",
      "1.2.97.10.in-addr.arpa.",
      "NXDOMAIN |  | 97.10.in-addr.arpa. 5 SOA ns.dns.97.10.in-addr.arpa. hostmaster.97.10.in-addr.arpa. 1767225600 7200 1800 86400 5",
    ],
    [
      REVERSE,
      "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.1.0.0.0.0.d.f.ip6.arpa.",
      `NOERROR | 7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.1.0.0.0.0.d.f.ip6.arpa. 5 PTR six.shop.svc.${Z}`,
    ],
  ])("serves the reverse zones of %s: %s", (zones, name, expected) => {
    expect(line("", name, "PTR", "", zones)).toBe(expected);
  });

  const EXAMPLE = 'template ANY ANY example.com {\nanswer "{{ .Name }} 600 IN A 192.0.2.1"\n}';
  const HOSTS = `hosts {\n192.0.2.9 rescue.${Z}\nfallthrough\n}`;
  test.each([
    [
      "an ExternalName's target by the whole server",
      "",
      EXAMPLE,
      "ext.shop.svc",
      "A",
      `NOERROR | ext.shop.svc.${Z} 5 CNAME www.example.com., www.example.com. 600 A 192.0.2.1`,
    ],
    [
      "fallthrough of what is not there",
      "fallthrough",
      EXAMPLE,
      "nope.shop.svc",
      "A",
      "SERVFAIL no-aa",
    ],
    ["but never of NODATA", "fallthrough", EXAMPLE, "web.shop.svc", "AAAA", NODATA],
    [
      "and only of the zones named",
      "fallthrough in-addr.arpa",
      EXAMPLE,
      "nope.shop.svc",
      "A",
      NXDOMAIN,
    ],
    // hosts stands before kubernetes, whatever the Corefile's order.
    ["hosts before kubernetes", "", HOSTS, "rescue", "A", `NOERROR | rescue.${Z} 3600 A 192.0.2.9`],
  ])("%s", (_, properties, more, name, type, expected) => {
    expect(line(properties, `${name}.${Z}`, type, more)).toBe(expected);
  });

  test("512 bytes hold 29 of 40 addresses; TCP and EDNS hold all", () => {
    const server = new TestServer(".:53 {\nkubernetes cluster.local\n}", CLUSTER);
    const counts = [{}, { protocol: "tcp" }, { edns: 4096 }, { edns: 100 }].map((asked) => {
      const answer = server.ask(`many.shop.svc.${Z}`, "A", asked as object);
      return [answer?.answer.length, answer?.flags.tc, answer?.edns?.udpSize];
    });
    expect(counts).toEqual([
      [29, true, undefined],
      [40, false, undefined],
      [40, false, 4096],
      [28, true, 100],
    ]);
  });

  test("it follows the objects, and its serial number the changes", () => {
    const server = new TestServer(".:53 {\nkubernetes cluster.local\n}", CLUSTER);
    const service = {
      kind: "Service",
      apiVersion: "v1",
      metadata: { name: "late", namespace: "shop" },
      spec: { clusterIP: "10.96.0.50", ports: [{ port: 80 }] },
    };
    server.clock.advance(60_000);
    expect(server.line(`late.shop.svc.${Z}`)).toBe(NXDOMAIN);
    server.api.put(service);
    expect(server.line(`late.shop.svc.${Z}`)).toBe(`NOERROR | late.shop.svc.${Z} 5 A 10.96.0.50`);
    expect(server.line(`late.shop.svc.${Z}`, "AAAA")).toContain(" 1767225660 ");
    server.clock.advance(60_000);
    server.api.put({ ...service, metadata: { ...service.metadata, labels: { a: "b" } } } as never);
    expect(server.line(`late.shop.svc.${Z}`, "AAAA")).toContain(" 1767225660 ");
    server.api.delete("Service", "shop/late");
    expect(server.line(`late.shop.svc.${Z}`)).toContain("NXDOMAIN");
    expect(server.line(`late.shop.svc.${Z}`)).toContain(" 1767225720 ");
  });

  test("it names the Service that it is an endpoint of as the zone's name server", () => {
    const dns = `${CLUSTER}
---
{kind: Service, apiVersion: v1, metadata: {name: kube-dns, namespace: shop}, spec: {clusterIP: 10.96.0.10, ports: [{port: 53}]}}
---
{kind: EndpointSlice, apiVersion: discovery.k8s.io/v1, metadata: {name: dns-1, namespace: shop, labels: {kubernetes.io/service-name: kube-dns}}, addressType: IPv4, endpoints: [{addresses: [10.244.0.53]}], ports: [{port: 53}]}`;
    const own = { localAddresses: () => [0x0af40035] };
    const server = new TestServer(".:53 {\nkubernetes cluster.local\n}", dns, own);
    expect(server.line(Z, "NS")).toBe(
      `NOERROR | ${Z} 5 NS kube-dns.shop.svc.${Z} |  | kube-dns.shop.svc.${Z} 5 A 10.96.0.10`,
    );
    expect(server.line(`ns.dns.${Z}`, "A")).toBe(`NOERROR | ns.dns.${Z} 5 A 10.96.0.10`);
    // Bound to an address it does not look at its interfaces.
    const bound = new TestServer(".:53 {\nbind 10.244.0.53\nkubernetes cluster.local\n}", dns, own);
    expect(bound.line(Z, "NS")).toBe(`NOERROR |  | ${SOA}`);
  });
});
