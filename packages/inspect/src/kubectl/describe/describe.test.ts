import { type Kind, type Kinds, type KubeObject, kindOf, objectKey } from "@cnilab/core";
import { expect, test } from "vitest";
import { kubectlDescribe } from "./describe.ts";
import { fieldTitle } from "./describe-generic.ts";

const NOW = Date.parse("2026-01-01T00:10:00Z");

/** The first object described, with the others beside it. */
function describeFirst(first: object, ...others: readonly object[]): string {
  const all = [first, ...others] as KubeObject[];
  const stored = {
    list: <K extends Kind>(kind: K) => all.filter((o) => kindOf(o) === kind) as Kinds[K][],
    get: <K extends Kind>(kind: K, key: string) =>
      all.find((o) => kindOf(o) === kind && objectKey(o) === key) as Kinds[K] | undefined,
  };
  return kubectlDescribe([first as KubeObject], stored, NOW);
}

const endpoints = (...addresses: readonly string[]) =>
  addresses.map((address) => ({
    addresses: [address.replace("!", "")],
    conditions: { ready: !address.endsWith("!") },
  }));
const sliceOf = (name: string, ...addresses: readonly string[]) => ({
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  metadata: { name, namespace: "foo", labels: { "kubernetes.io/service-name": "bar" } },
  addressType: "IPv4",
  ports: [{ name: "port-tcp", port: 9527, protocol: "TCP" }],
  endpoints: endpoints(...addresses),
});
const SERVICE = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "bar", namespace: "foo" },
  spec: {
    type: "LoadBalancer",
    ports: [{ name: "port-tcp", port: 8080, protocol: "TCP", targetPort: 9527, nodePort: 31111 }],
    selector: { blah: "heh" },
    clusterIP: "1.2.3.4",
    ipFamilies: ["IPv4"],
    loadBalancerIP: "5.6.7.8",
    sessionAffinity: "None",
    externalTrafficPolicy: "Local",
    internalTrafficPolicy: "Cluster",
    healthCheckNodePort: 32222,
  },
  status: { loadBalancer: { ingress: [{ ip: "5.6.7.8", ipMode: "VIP" }] } },
};

// What kubectl prints of these: its own tests (kubernetes/kubectl v1.36, pkg/describe/describe_test.go), down to the events.
test("a Service, with the first of its endpoints that are ready", () => {
  const slices = [
    sliceOf("bar-12345", "10.244.0.1", "10.244.0.2"),
    sliceOf("bar-54321", "10.244.0.3!", "10.244.0.4", "10.244.0.5"),
    { ...sliceOf("other", "10.244.0.9"), metadata: { name: "other", namespace: "foo" } },
  ];
  expect(describeFirst(SERVICE, ...slices)).toBe(`\
Name:                     bar
Namespace:                foo
Labels:                   <none>
Annotations:              <none>
Selector:                 blah=heh
Type:                     LoadBalancer
IP Families:              IPv4
IP:                       1.2.3.4
IPs:                      <none>
Desired LoadBalancer IP:  5.6.7.8
LoadBalancer Ingress:     5.6.7.8 (VIP)
Port:                     port-tcp  8080/TCP
TargetPort:               9527/TCP
NodePort:                 port-tcp  31111/TCP
Endpoints:                10.244.0.1:9527,10.244.0.2:9527,10.244.0.4:9527 + 1 more...
Session Affinity:         None
External Traffic Policy:  Local
Internal Traffic Policy:  Cluster
HealthCheck NodePort:     32222
Events:                   <none>
`);
});

test("an EndpointSlice", () => {
  const slice = {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "foo.123", namespace: "bar" },
    addressType: "IPv4",
    ports: [{ port: 80, protocol: "TCP" }],
    endpoints: [
      {
        addresses: ["1.2.3.4", "1.2.3.5"],
        conditions: { ready: true },
        targetRef: { kind: "Pod", name: "test-123" },
        zone: "us-central1-a",
        nodeName: "node-1",
      },
      {
        addresses: ["1.2.3.6"],
        targetRef: { kind: "Pod", name: "test-124" },
        nodeName: "node-2",
      },
    ],
  };
  expect(describeFirst(slice)).toBe(`\
Name:         foo.123
Namespace:    bar
Labels:       <none>
Annotations:  <none>
AddressType:  IPv4
Ports:
  Name     Port  Protocol
  ----     ----  --------
  <unset>  80    TCP
Endpoints:
  - Addresses:  1.2.3.4, 1.2.3.5
    Conditions:
      Ready:    true
    Hostname:   <unset>
    TargetRef:  Pod/test-123
    NodeName:   node-1
    Zone:       us-central1-a
  - Addresses:  1.2.3.6
    Conditions:
      Ready:    <unset>
    Hostname:   <unset>
    TargetRef:  Pod/test-124
    NodeName:   node-2
    Zone:       <unset>
Events:         <none>
`);
});

test("a NetworkPolicy", () => {
  const policy = {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: {
      name: "network-policy-1",
      namespace: "default",
      creationTimestamp: "2017-06-05T04:45:56Z",
    },
    spec: {
      podSelector: {
        matchLabels: { id1: "app1", id2: "app2" },
        matchExpressions: [
          { key: "foo", operator: "In", values: ["bar1", "bar2"] },
          { key: "foo2", operator: "NotIn", values: ["bar1", "bar2"] },
        ],
      },
      policyTypes: ["Ingress", "Egress"],
      ingress: [
        {
          ports: [{ port: 80 }, { port: 82, protocol: "TCP" }],
          from: [
            {
              podSelector: { matchLabels: { id: "pod1", id2: "pod2" } },
              namespaceSelector: { matchLabels: { id: "ns1", id2: "ns2" } },
            },
            { podSelector: { matchLabels: { id: "app2", id2: "app3" } } },
            {
              ipBlock: { cidr: "192.168.0.0/16", except: ["192.168.3.0/24", "192.168.4.0/24"] },
            },
          ],
        },
        {},
      ],
      egress: [{ ports: [{ port: 80, endPort: 82 }] }],
    },
  };
  expect(describeFirst(policy)).toBe(`\
Name:         network-policy-1
Namespace:    default
Created on:   2017-06-05 04:45:56 +0000 UTC
Labels:       <none>
Annotations:  <none>
Spec:
  PodSelector:     foo in (bar1,bar2),foo2 notin (bar1,bar2),id1=app1,id2=app2
  Allowing ingress traffic:
    To Port: 80/TCP
    To Port: 82/TCP
    From:
      NamespaceSelector: id=ns1,id2=ns2
      PodSelector: id=pod1,id2=pod2
    From:
      PodSelector: id=app2,id2=app3
    From:
      IPBlock:
        CIDR: 192.168.0.0/16
        Except: 192.168.3.0/24, 192.168.4.0/24
    ----------
    To Port: <any> (traffic allowed to all ports)
    From: <any> (traffic not restricted by source)
  Allowing egress traffic:
    To Port Range: 80-82/TCP
    To: <any> (traffic not restricted by destination)
  Policy Types: Ingress, Egress
`);
});

test("an Ingress, with the endpoints behind its backends", () => {
  const ingress = {
    apiVersion: "networking.k8s.io/v1",
    kind: "Ingress",
    metadata: { name: "web", namespace: "foo", annotations: { "a.example/b": "c" } },
    spec: {
      ingressClassName: "nginx",
      tls: [{ hosts: ["foo.bar.com"], secretName: "tls" }],
      rules: [
        {
          host: "foo.bar.com",
          http: {
            paths: [
              { path: "/foo", backend: { service: { name: "bar", port: { number: 8080 } } } },
              { path: "/x", backend: { service: { name: "gone", port: { name: "http" } } } },
            ],
          },
        },
      ],
    },
  };
  const text = describeFirst(ingress, SERVICE, sliceOf("bar-1", "10.244.0.1"));
  expect(text.replace(/ +$/gm, "")).toBe(`\
Name:             web
Labels:           <none>
Namespace:        foo
Address:
Ingress Class:    nginx
Default backend:  <default>
TLS:
  tls terminates foo.bar.com
Rules:
  Host         Path  Backends
  ----         ----  --------
  foo.bar.com
               /foo   bar:8080 (10.244.0.1:9527)
               /x     gone:http (<error: services "gone" not found>)
Annotations:   a.example/b: c
Events:        <none>
`);
});

const OWNER = [{ kind: "ReplicaSet", name: "web-1", uid: "u1", controller: true }];
const POD = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web-1-a", namespace: "foo", labels: { app: "web" }, ownerReferences: OWNER },
  spec: {
    nodeName: "node1",
    nodeSelector: { disk: "ssd" },
    tolerations: [
      { key: "b", operator: "Exists", effect: "NoExecute", tolerationSeconds: 300 },
      { operator: "Exists" },
    ],
    volumes: [{ name: "tmp", emptyDir: {} }, { name: "odd" }],
    containers: [
      {
        name: "web",
        image: "web:1",
        args: ["-v"],
        ports: [{ containerPort: 80 }, { containerPort: 53, protocol: "UDP", hostPort: 5353 }],
        resources: { requests: { cpu: "10m" } },
        env: [
          { name: "A", value: "1" },
          { name: "IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
          { name: "APP", valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } },
          { name: "KEY", valueFrom: { secretKeyRef: { name: "s", key: "k" } } },
        ],
        volumeMounts: [{ name: "tmp", mountPath: "/tmp", readOnly: true }],
        livenessProbe: { httpGet: { port: 80, path: "/live" } },
      },
    ],
  },
  status: {
    phase: "Running",
    hostIP: "192.0.2.1",
    podIP: "10.0.0.1",
    podIPs: [{ ip: "10.0.0.1" }, { ip: "fd00::1" }],
    conditions: [{ type: "Ready", status: "False" }],
    containerStatuses: [
      {
        name: "web",
        ready: false,
        restartCount: 2,
        state: { waiting: { reason: "CrashLoopBackOff" } },
        lastState: { terminated: { reason: "Error", exitCode: 1 } },
      },
    ],
  },
};
const event = (name: string, count: number, lastTimestamp: string, reason: string) => ({
  apiVersion: "v1",
  kind: "Event",
  metadata: { name, namespace: "foo" },
  type: "Warning",
  reason,
  message: "Back-off restarting",
  involvedObject: { kind: "Pod", namespace: "foo", name: "web-1-a" },
  source: { component: "kubelet" },
  count,
  firstTimestamp: "2026-01-01T00:00:00Z",
  lastTimestamp,
});

test("a pod, with its events in the order in which they happened", () => {
  const events = [
    event("y", 5, "2026-01-01T00:09:00Z", "BackOff"),
    event("x", 1, "2026-01-01T00:00:00Z", "Pulled"),
  ];
  const other = {
    ...event("z", 1, "2026-01-01T00:00:00Z", "Other"),
    involvedObject: { kind: "Node", name: "web-1-a" },
  };
  const text = describeFirst(POD, ...events, other);
  expect(text.replace(/ +$/gm, "")).toBe(`\
Name:         web-1-a
Namespace:    foo
Node:         node1/192.0.2.1
Labels:       app=web
Annotations:  <none>
Status:       Running
IP:           10.0.0.1
IPs:
  IP:           10.0.0.1
  IP:           fd00::1
Controlled By:  ReplicaSet/web-1
Containers:
  web:
    Container ID:
    Image:         web:1
    Image ID:
    Ports:         80/TCP, 53/UDP
    Host Ports:    0/TCP, 5353/UDP
    Args:
      -v
    State:          Waiting
      Reason:       CrashLoopBackOff
    Last State:     Terminated
      Reason:       Error
      Exit Code:    1
      Started:      Mon, 01 Jan 0001 00:00:00 +0000
      Finished:     Mon, 01 Jan 0001 00:00:00 +0000
    Ready:          False
    Restart Count:  2
    Requests:
      cpu:     10m
    Liveness:  http-get http://:80/live delay=0s timeout=1s period=10s successThreshold=1 failureThreshold=3
    Environment:
      A:    1
      IP:   10.0.0.1 (v1:status.podIP)
      APP:  web (v1:metadata.labels['app'])
      KEY:  <set to the key 'k' in secret 's'>  Optional: false
    Mounts:
      /tmp from tmp (ro)
Conditions:
  Type    Status
  Ready   False
Volumes:
  tmp:
    Type:       EmptyDir (a temporary directory that shares a pod's lifetime)
    Medium:
    SizeLimit:  <unset>
  odd:
  <unknown>
QoS Class:       Burstable
Node-Selectors:  disk=ssd
Tolerations:     op=Exists
                 b:NoExecute op=Exists for 300s
Events:
  Type     Reason   Age                From     Message
  ----     ------   ----               ----     -------
  Warning  Pulled   10m                kubelet  Back-off restarting
  Warning  BackOff  60s (x5 over 10m)  kubelet  Back-off restarting
`);
});

test("a Deployment tells its ReplicaSet from older ones", () => {
  const template = { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "c" }] } };
  const set = (name: string, uid: string, image: string | undefined, replicas: number) => ({
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    metadata: { name, namespace: "foo", uid, ownerReferences: [{ uid: "d", controller: true }] },
    spec: {
      replicas,
      selector: {},
      template: {
        metadata: { labels: { app: "web", "pod-template-hash": name } },
        spec: { containers: [{ name: "c", ...(image && { image }) }] },
      },
    },
    status: { replicas },
  });
  const deployment = {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "web", namespace: "foo", uid: "d" },
    spec: { selector: { matchLabels: { app: "web" } }, template },
    status: { replicas: 3, updatedReplicas: 2 },
  };
  const lines = describeFirst(
    deployment,
    set("web-1", "u1", "old", 1),
    set("web-2", "u2", undefined, 2),
  ).split("\n");
  expect(lines).toContain(
    "Replicas:               1 desired | 2 updated | 3 total | 0 available | 0 unavailable",
  );
  expect(lines).toContain("OldReplicaSets:    web-1 (1/1 replicas created)");
  expect(lines).toContain("NewReplicaSet:     web-2 (2/2 replicas created)");
  const own = describeFirst(set("web-1", "u1", "old", 1), POD).split("\n");
  expect(own).toContain("Pods Status:    1 Running / 0 Waiting / 0 Succeeded / 0 Failed");
});

test("a node, with what runs on it", () => {
  const node = {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: "node1", labels: { "node-role.kubernetes.io/worker": "" } },
    spec: { podCIDR: "10.0.0.0/24", taints: [{ key: "k", value: "v", effect: "NoSchedule" }] },
    status: {
      addresses: [{ type: "InternalIP", address: "192.0.2.1" }],
      allocatable: { pods: 110 },
    },
  };
  const done = { ...POD, metadata: { name: "done" }, status: { phase: "Succeeded" } };
  const text = describeFirst(node, POD, done);
  for (const line of [
    "Roles:              worker",
    "Taints:             k=v:NoSchedule",
    "  InternalIP:  192.0.2.1",
    "Allocatable:",
    "Non-terminated Pods:          (1 in total)",
    "  foo                         web-1-a    <unknown>",
  ]) {
    expect(text.split("\n")).toContain(line);
  }
});

test("a kind that kubectl does not know, by its fields", () => {
  const object = {
    apiVersion: "projectcalico.org/v3",
    kind: "BGPPeer",
    metadata: { name: "rack", uid: "u" },
    spec: { peerIP: "192.0.2.1", filters: ["a", "b"], on: null, list: [{ asNumber: 1 }] },
  };
  expect(describeFirst(object)).toBe(`\
Name:         rack
Namespace:    
Labels:       <none>
Annotations:  <none>
API Version:  projectcalico.org/v3
Kind:         BGPPeer
Metadata:
  UID:  u
Spec:
  Filters:
    a
    b
  List:
    As Number:  1
  On:           <nil>
  Peer IP:      192.0.2.1
Events:         <none>
`);
});

test.each([
  ["podSelector", "Pod Selector"],
  ["apiVersion", "API Version"],
  ["selfURL", "Self URL"],
  ["HTTPRoute", "HTTP Route"],
  ["clusterIPs", "Cluster I Ps"],
  ["a.b/c", "a.b/c"],
])("the field %s is called %s", (name, title) => {
  expect(fieldTitle(name)).toBe(title);
});

test("long annotations have lines of their own", () => {
  const long = "x".repeat(150);
  const annotations = {
    a: long,
    b: "1\n2\n",
    "kubectl.kubernetes.io/last-applied-configuration": "{}",
  };
  const namespace = { apiVersion: "v1", kind: "Namespace", metadata: { name: "n", annotations } };
  expect(describeFirst(namespace)).toBe(`\
Name:         n
Labels:       <none>
Annotations:  a:
                ${"x".repeat(138)}...
              b:
                1
                2
Status:       Active

No resource quota.

No LimitRange resource.
`);
});
