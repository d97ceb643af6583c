import type { ContainerState, KubeObject, Pod } from "@cnilab/core";
import { describe, expect, it, test } from "vitest";
import { podStatus } from "./pod-row.ts";
import { kubectlNames, kubectlTable } from "./tables.ts";

const CREATED = "2026-01-01T00:00:00Z";
const NOW = Date.parse("2026-01-01T00:05:00Z");

function object(kind: string, name: string, fields: object, apiVersion = "v1"): KubeObject {
  return {
    apiVersion,
    kind,
    metadata: { name, namespace: "default", creationTimestamp: CREATED },
    ...fields,
  };
}

const pod = object("Pod", "web-0", {
  spec: { nodeName: "node1", containers: [{ name: "nginx" }] },
  status: {
    phase: "Running",
    podIPs: [{ ip: "10.244.1.2" }],
    containerStatuses: [{ name: "nginx", ready: true, restartCount: 0, state: { running: {} } }],
  },
});
const lastState = { terminated: { exitCode: 1, finishedAt: "2026-01-01T00:04:00Z" } };
const crashing = object("Pod", "long-name-of-a-pod", {
  spec: { containers: [{ name: "a" }, { name: "b" }] },
  status: {
    phase: "Running",
    containerStatuses: [
      {
        name: "a",
        ready: false,
        restartCount: 3,
        state: { waiting: { reason: "CrashLoopBackOff" } },
        lastState,
      },
    ],
  },
});

describe("kubectl get", () => {
  it.each([
    {
      what: "ingresses",
      objects: [
        object("Ingress", "shop", {
          spec: {
            ingressClassName: "nginx",
            tls: [{ hosts: ["a.example"] }],
            rules: ["a", "b", "c", "d"].map((name) => ({ host: `${name}.example` })),
          },
          status: { loadBalancer: { ingress: [{ ip: "172.18.0.100" }] } },
        }),
        object("Ingress", "all", { spec: { defaultBackend: { service: { name: "web" } } } }),
      ],
      options: {},
      text: `NAME   CLASS    HOSTS                                       ADDRESS        PORTS     AGE
shop   nginx    a.example,b.example,c.example + 1 more...   172.18.0.100   80, 443   5m
all    <none>   *                                                          80        5m
`,
    },
    {
      what: "gateways",
      objects: [
        object("Gateway", "web", {
          spec: { gatewayClassName: "cnilab", listeners: [] },
          status: {
            addresses: [{ value: "172.18.0.101" }],
            conditions: [{ type: "Programmed", status: "True" }],
          },
        }),
      ],
      options: {},
      text: `NAME   CLASS    ADDRESS        PROGRAMMED   AGE
web    cnilab   172.18.0.101   True         5m
`,
    },
    {
      what: "httproutes",
      objects: [
        object("HTTPRoute", "web", { spec: { hostnames: ["a.example", "b.example"] } }),
        object("HTTPRoute", "any", { spec: {} }),
      ],
      options: {},
      text: `NAME   HOSTNAMES                   AGE
web    ["a.example","b.example"]   5m
any                                5m
`,
    },
    {
      what: "gatewayclasses",
      objects: [
        object("GatewayClass", "cnilab", {
          spec: { controllerName: "cnilab.dev/gateway" },
          status: { conditions: [{ type: "Accepted", status: "True" }] },
        }),
      ],
      options: {},
      text: `NAME     CONTROLLER           ACCEPTED   AGE
cnilab   cnilab.dev/gateway   True       5m
`,
    },
    {
      what: "pods",
      objects: [pod, crashing],
      options: {},
      text: `NAME                 READY   STATUS             RESTARTS      AGE
web-0                1/1     Running            0             5m
long-name-of-a-pod   0/2     CrashLoopBackOff   3 (60s ago)   5m
`,
    },
    {
      what: "pods -A -o wide --show-labels",
      objects: [pod],
      options: { wide: true, allNamespaces: true, showLabels: true },
      text: `NAMESPACE   NAME    READY   STATUS    RESTARTS   AGE   IP           NODE    NOMINATED NODE   READINESS GATES   LABELS
default     web-0   1/1     Running   0          5m    10.244.1.2   node1   <none>           <none>            <none>
`,
    },
    {
      what: "pods --no-headers",
      objects: [pod],
      options: { noHeaders: true },
      text: "web-0   1/1   Running   0     5m\n",
    },
    {
      what: "services",
      objects: [
        object("Service", "web", {
          spec: {
            type: "NodePort",
            clusterIPs: ["10.96.0.7"],
            ports: [
              { port: 80, nodePort: 30080, protocol: "TCP" },
              { port: 53, protocol: "UDP" },
            ],
          },
        }),
        object("Service", "lb", {
          spec: { type: "LoadBalancer", clusterIPs: ["10.96.0.8"], ports: [{ port: 80 }] },
          status: { loadBalancer: { ingress: [{ hostname: "a-very-long-name.example" }] } },
        }),
        object("Service", "pending", {
          spec: { type: "LoadBalancer", clusterIPs: ["None"] },
        }),
        object("Service", "far", { spec: { type: "ExternalName", externalName: "a.example" } }),
      ],
      options: { withKind: true },
      text: `NAME              TYPE           CLUSTER-IP   EXTERNAL-IP        PORT(S)               AGE
service/web       NodePort       10.96.0.7    <none>             80:30080/TCP,53/UDP   5m
service/lb        LoadBalancer   10.96.0.8    a-very-long-n...   80/TCP                5m
service/pending   LoadBalancer   None         <pending>          <none>                5m
service/far       ExternalName   <none>       a.example          <none>                5m
`,
    },
    {
      what: "endpointslices",
      objects: [
        object("EndpointSlice", "web-x", {
          addressType: "IPv4",
          ports: [{ port: 80 }, {}],
          endpoints: [
            { addresses: ["10.0.0.1"] },
            { addresses: ["10.0.0.2"] },
            { addresses: ["10.0.0.3"] },
            { addresses: ["10.0.0.4"] },
          ],
        }),
        object("EndpointSlice", "none-x", { addressType: "IPv6", endpoints: [] }),
      ],
      options: {},
      text: `NAME     ADDRESSTYPE   PORTS     ENDPOINTS                                AGE
web-x    IPv4          80,*      10.0.0.1,10.0.0.2,10.0.0.3 + 1 more...   5m
none-x   IPv6          <unset>   <unset>                                  5m
`,
    },
    {
      what: "nodes -o wide",
      objects: [
        object("Node", "node1", {
          metadata: {
            name: "node1",
            creationTimestamp: CREATED,
            labels: { "node-role.kubernetes.io/control-plane": "" },
          },
          spec: { unschedulable: true },
          status: {
            addresses: [{ type: "InternalIP", address: "192.168.0.11" }],
            conditions: [{ type: "Ready", status: "False" }],
            nodeInfo: { kubeletVersion: "v1.35.4" },
          },
        }),
      ],
      options: { wide: true },
      text: `NAME    STATUS                        ROLES           AGE   VERSION   INTERNAL-IP    EXTERNAL-IP   OS-IMAGE    KERNEL-VERSION   CONTAINER-RUNTIME
node1   NotReady,SchedulingDisabled   control-plane   5m    v1.35.4   192.168.0.11   <none>        <unknown>   <unknown>        <unknown>
`,
    },
    {
      what: "deployments -o wide",
      objects: [
        object("Deployment", "web", {
          spec: {
            replicas: 3,
            selector: {
              matchLabels: { app: "web" },
              matchExpressions: [{ key: "tier", operator: "NotIn", values: ["b", "a"] }],
            },
            template: {
              spec: {
                containers: [
                  { name: "a", image: "x" },
                  { name: "b", image: "y" },
                ],
              },
            },
          },
          status: { readyReplicas: 1, updatedReplicas: 3, availableReplicas: 1 },
        }),
      ],
      options: { wide: true },
      text: `NAME   READY   UP-TO-DATE   AVAILABLE   AGE   CONTAINERS   IMAGES   SELECTOR
web    1/3     3            1           5m    a,b          x,y      app=web,tier notin (a,b)
`,
    },
    {
      what: "jobs",
      objects: [
        object("Job", "once", {
          spec: { template: { spec: { containers: [] } } },
          status: {
            succeeded: 1,
            startTime: CREATED,
            completionTime: "2026-01-01T00:00:09Z",
            conditions: [{ type: "Complete", status: "True" }],
          },
        }),
      ],
      options: {},
      text: `NAME   STATUS     COMPLETIONS   DURATION   AGE
once   Complete   1/1           9s         5m
`,
    },
    {
      what: "events",
      objects: [
        object("Event", "web.1", {
          type: "Warning",
          reason: "Failed",
          message: " no subnet.env ",
          involvedObject: { kind: "Pod", name: "web-0" },
          lastTimestamp: "2026-01-01T00:04:55Z",
        }),
      ],
      options: {},
      text: `LAST SEEN   TYPE      REASON   OBJECT      MESSAGE
5s          Warning   Failed   pod/web-0   no subnet.env
`,
    },
    {
      what: "a kind with no columns of its own",
      objects: [object("IPPool", "pool", {}, "crd.projectcalico.org/v1")],
      options: { withKind: true },
      text: `NAME                                AGE
ippool.crd.projectcalico.org/pool   5m
`,
    },
    { what: "nothing", objects: [], options: {}, text: "" },
  ])("$what", ({ objects, options, text }) => {
    expect(kubectlTable(objects, { now: NOW, ...options })).toBe(text);
  });

  it("-o name", () => {
    const deployment = object("Deployment", "web", {}, "apps/v1");
    expect(kubectlNames([pod, deployment])).toBe("pod/web-0\ndeployment.apps/web\n");
  });
});

interface StatusRow {
  readonly status: string;
  readonly phase: NonNullable<Pod["status"]>["phase"];
  readonly init?: readonly ContainerState[];
  readonly states?: readonly ContainerState[];
  readonly deleted?: boolean;
  readonly reason?: string;
}

test.each<StatusRow>([
  { status: "Pending", phase: "Pending" },
  { status: "Running", phase: "Running", states: [{ running: {} }] },
  { status: "Terminating", phase: "Running", states: [{ running: {} }], deleted: true },
  { status: "Evicted", phase: "Failed", reason: "Evicted", deleted: true },
  {
    status: "ContainerCreating",
    phase: "Pending",
    states: [{ waiting: { reason: "ContainerCreating" } }],
  },
  { status: "Init:0/1", phase: "Pending", init: [{ running: {} }] },
  {
    status: "Init:Error",
    phase: "Pending",
    init: [{ terminated: { exitCode: 1, reason: "Error" } }],
  },
  { status: "Init:ExitCode:2", phase: "Pending", init: [{ terminated: { exitCode: 2 } }] },
  {
    status: "Completed",
    phase: "Succeeded",
    states: [{ terminated: { exitCode: 0, reason: "Completed" } }],
  },
  {
    status: "NotReady",
    phase: "Running",
    states: [{ terminated: { exitCode: 0, reason: "Completed" } }, { running: {} }],
  },
  {
    status: "Error",
    phase: "Failed",
    states: [
      { terminated: { exitCode: 0, reason: "Completed" } },
      { terminated: { exitCode: 1, reason: "Error" } },
    ],
  },
])("a pod's status is $status", ({ status, phase, init = [], states = [], deleted, reason }) => {
  const statusOf = (state: ContainerState, i: number) => ({
    name: `c${i}`,
    ready: state.running !== undefined,
    restartCount: 0,
    state,
  });
  const made: Pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", ...(deleted ? { deletionTimestamp: CREATED } : {}) },
    spec: {
      containers: states.map((_, i) => ({ name: `c${i}` })),
      initContainers: init.map((_, i) => ({ name: `c${i}` })),
    },
    status: {
      phase,
      ...(reason === undefined ? {} : { reason }),
      initContainerStatuses: init.map(statusOf),
      containerStatuses: states.map(statusOf),
    },
  };
  expect(podStatus(made)).toBe(status);
});
