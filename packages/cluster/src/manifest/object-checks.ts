import { type KubeObject, kindOf, type LabelSelector, type Labels, selects } from "@cnilab/core";
import type { FieldPath } from "@cnilab/core/validation";
import {
  boolean,
  type Check,
  cidr,
  countOrPercent,
  describe,
  dnsLabel,
  dnsSubdomain,
  fail,
  integer,
  ip,
  labels,
  list,
  map,
  object,
  oneOf,
  port,
  portName,
  portOrName,
  selector,
  serviceName,
  string,
  unread,
} from "@cnilab/core/validation";
import { CustomResources } from "../api/custom-resources.ts";
import { dnsConfig } from "./dns-config-check.ts";
import { GATEWAY_CHECKS } from "./gateway-checks.ts";
import { INGRESS_CHECKS } from "./ingress-checks.ts";
import { type KindChecks, kind } from "./kind-checks.ts";
import { POLICY_CHECKS } from "./policy-checks.ts";
import { SECRET_CHECKS } from "./secret-checks.ts";

// What is read of each kind, and how the API server (v1.35) wants it. Fields that nothing here reads
// are not looked at.

const protocol = oneOf("TCP", "UDP", "SCTP");
const strings = list(string);
const count = integer(0);

const probe = object({
  httpGet: object({ port: portOrName }, ["port"]),
  tcpSocket: object({ port: portOrName }, ["port"]),
  grpc: object({ port }, ["port"]),
  initialDelaySeconds: count,
  periodSeconds: integer(1),
  timeoutSeconds: integer(1),
  successThreshold: integer(1),
  failureThreshold: integer(1),
});

const containerPort = object(
  {
    name: portName,
    containerPort: port,
    hostPort: integer(0, 65_535),
    hostIP: string,
    protocol,
  },
  ["containerPort"],
);

const container = object(
  {
    name: dnsLabel,
    image: string,
    command: strings,
    args: strings,
    env: list(object({ name: string, value: string }, ["name"])),
    ports: list(containerPort),
    volumeMounts: list(
      object({ name: string, mountPath: string, subPath: string }, ["name", "mountPath"]),
    ),
    readinessProbe: probe,
    livenessProbe: probe,
    startupProbe: probe,
    restartPolicy: string,
  },
  ["name"],
);

const toleration = object({
  key: string,
  operator: oneOf("Exists", "Equal", ""),
  value: string,
  effect: oneOf("NoSchedule", "PreferNoSchedule", "NoExecute", ""),
  tolerationSeconds: integer(Number.MIN_SAFE_INTEGER),
});

const nodeRequirement = object(
  {
    key: string,
    operator: oneOf("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"),
    values: strings,
  },
  ["key", "operator"],
);

const affinity = object({
  nodeAffinity: object({
    requiredDuringSchedulingIgnoredDuringExecution: object(
      {
        nodeSelectorTerms: list(
          object({ matchExpressions: list(nodeRequirement), matchFields: list(nodeRequirement) }),
        ),
      },
      ["nodeSelectorTerms"],
    ),
  }),
});

const volume = object(
  {
    name: dnsLabel,
    configMap: object({
      name: string,
      items: list(object({ key: string, path: string }, ["key", "path"])),
      optional: boolean,
    }),
    hostPath: object({ path: string }, ["path"]),
  },
  ["name"],
);

const podSpecFields: Check = object(
  {
    nodeName: dnsSubdomain,
    nodeSelector: labels,
    hostNetwork: boolean,
    hostname: dnsLabel,
    subdomain: dnsLabel,
    dnsPolicy: oneOf("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
    dnsConfig,
    restartPolicy: oneOf("Always", "OnFailure", "Never"),
    serviceAccountName: string,
    tolerations: list(toleration),
    affinity,
    terminationGracePeriodSeconds: count,
    hostAliases: list(object({ ip, hostnames: strings }, ["ip"])),
    setHostnameAsFQDN: boolean,
    volumes: list(volume),
    initContainers: list(container),
    containers: list(container, 1),
  },
  ["containers"],
);

interface NamedContainer {
  readonly name: string;
  readonly ports?: readonly {
    readonly name?: string;
    readonly hostPort?: number;
    readonly containerPort: number;
  }[];
}

const podSpec: Check = (value, path) => {
  podSpecFields(value, path);
  const {
    containers,
    initContainers = [],
    hostNetwork,
    dnsPolicy,
    dnsConfig: dns,
  } = value as {
    readonly dnsPolicy?: string;
    readonly dnsConfig?: { readonly nameservers?: readonly string[] };
    readonly containers: readonly NamedContainer[];
    readonly initContainers?: readonly NamedContainer[];
    readonly hostNetwork?: boolean;
  };
  if (dnsPolicy === "None" && (dns?.nameservers ?? []).length === 0) {
    fail(
      [...path, "dnsConfig", "nameservers"],
      "must have at least one address where dnsPolicy is None",
    );
  }
  const seen = new Set<string>();
  for (const [field, all] of [
    ["initContainers", initContainers],
    ["containers", containers],
  ] as const) {
    all.forEach(({ name, ports = [] }, i) => {
      if (seen.has(name)) fail([...path, field, i, "name"], `is ${describe(name)} a second time`);
      seen.add(name);
      const names = ports.length > 1 ? new Set<string>() : undefined;
      ports.forEach((p, k) => {
        const at = (end: string) => [...path, field, i, "ports", k, end];
        if (p.name !== undefined && names?.has(p.name)) {
          fail(at("name"), `is ${describe(p.name)} a second time`);
        }
        if (p.name !== undefined) names?.add(p.name);
        const other = p.hostPort ?? 0;
        if (hostNetwork === true && other !== 0 && other !== p.containerPort) {
          fail(at("hostPort"), `must be containerPort ${p.containerPort} with hostNetwork`);
        }
      });
    });
  }
};

const template: Check = object(
  { metadata: object({ labels, annotations: map(() => undefined, string) }), spec: podSpec },
  ["spec"],
);

/** A workload whose selector must admit the labels of its own template. */
function workload(fields: Readonly<Record<string, Check>>): Check {
  const check = object({ ...fields, selector, template }, ["selector", "template"]);
  return (value, path) => {
    check(value, path);
    const spec = value as {
      readonly selector: LabelSelector;
      readonly template: { readonly metadata?: { readonly labels?: Labels } };
    };
    const { matchLabels = {}, matchExpressions = [] } = spec.selector;
    if (Object.keys(matchLabels).length === 0 && matchExpressions.length === 0) {
      fail([...path, "selector"], "must not be empty");
    }
    templateMatches(spec.selector, spec.template.metadata?.labels, path);
  };
}

function templateMatches(of: LabelSelector, has: Labels | undefined, path: FieldPath): void {
  if (selects(of, has)) return;
  const wanted = Object.entries(of.matchLabels ?? {}).find(([k, v]) => has?.[k] !== v);
  const what = wanted === undefined ? "the selector" : `selector ${wanted[0]}=${wanted[1]}`;
  fail([...path, "template", "metadata", "labels"], `do not match ${what}; make them equal`);
}

const replicationSpec: Check = (value, path) => {
  object({ replicas: count, selector: labels, template }, ["template"])(value, path);
  const spec = value as {
    readonly selector?: Labels;
    readonly template: { readonly metadata?: { readonly labels?: Labels } };
  };
  if (spec.selector === undefined) return;
  templateMatches({ matchLabels: spec.selector }, spec.template.metadata?.labels, path);
};

const servicePort = object(
  {
    name: dnsLabel,
    protocol,
    port,
    targetPort: portOrName,
    nodePort: integer(0, 65_535),
    appProtocol: string,
  },
  ["port"],
);

const clusterIP: Check = (value, path) => {
  if (value !== "None" && value !== "") ip(value, path);
};
const families = list(oneOf("IPv4", "IPv6"));

const serviceFields = object({
  type: oneOf("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"),
  selector: labels,
  ports: list(servicePort),
  clusterIP,
  clusterIPs: list(clusterIP),
  ipFamilies: families,
  ipFamilyPolicy: oneOf("SingleStack", "PreferDualStack", "RequireDualStack"),
  externalName: string,
  externalIPs: list(ip),
  loadBalancerIP: string,
  loadBalancerClass: string,
  loadBalancerSourceRanges: list(cidr),
  allocateLoadBalancerNodePorts: boolean,
  externalTrafficPolicy: oneOf("Cluster", "Local"),
  internalTrafficPolicy: oneOf("Cluster", "Local"),
  healthCheckNodePort: integer(0, 65_535),
  trafficDistribution: string,
  publishNotReadyAddresses: boolean,
  sessionAffinity: oneOf("None", "ClientIP"),
  sessionAffinityConfig: object({ clientIP: object({ timeoutSeconds: integer(1, 86_400) }) }),
});

const serviceSpec: Check = (value, path) => {
  serviceFields(value, path);
  const spec = value as {
    readonly type?: string;
    readonly clusterIP?: string;
    readonly externalName?: string;
    readonly ports?: readonly {
      readonly name?: string;
      readonly port: number;
      readonly protocol?: string;
    }[];
  };
  if (spec.type === "ExternalName") {
    const at = [...path, "externalName"];
    // A dot at the end says that the name is whole.
    const target = spec.externalName?.replace(/\.$/, "") ?? "";
    if (target === "") fail(at, "is required for type ExternalName and missing");
    dnsSubdomain(target, at);
    return;
  }
  const ports = spec.ports ?? [];
  if (ports.length === 0 && spec.clusterIP !== "None") {
    fail([...path, "ports"], "must have at least one port");
  }
  const names = new Set<string>();
  const numbers = new Set<string>();
  ports.forEach((p, i) => {
    const name = p.name ?? "";
    if (name === "" && ports.length > 1) {
      fail([...path, "ports", i, "name"], "is required where there are several ports");
    }
    if (names.has(name)) fail([...path, "ports", i, "name"], `is ${describe(name)} a second time`);
    names.add(name);
    const number = `${p.protocol ?? "TCP"} ${p.port}`;
    if (numbers.has(number)) fail([...path, "ports", i, "port"], `is ${number} a second time`);
    numbers.add(number);
  });
};

const endpointPort = object({ name: string, protocol, port, appProtocol: string });
const targetRef = object({ kind: string, name: string, namespace: string, uid: string });
const endpointsAddress = object({ ip, hostname: dnsLabel, nodeName: string, targetRef }, ["ip"]);

const nodeSpec = object({
  podCIDR: cidr,
  podCIDRs: list(cidr),
  taints: list(
    object(
      {
        key: string,
        value: string,
        effect: oneOf("NoSchedule", "PreferNoSchedule", "NoExecute"),
      },
      ["key", "effect"],
    ),
  ),
  unschedulable: boolean,
});

const nodeStatus = object({
  addresses: list(object({ type: string, address: string }, ["type", "address"])),
});

const podStatus = object({
  phase: oneOf("Pending", "Running", "Succeeded", "Failed", "Unknown"),
  podIP: ip,
  podIPs: list(object({ ip }, ["ip"])),
  hostIP: ip,
});

export const KIND_CHECKS: Readonly<Record<string, KindChecks>> = {
  Namespace: kind("", {}, [], dnsLabel),
  Node: kind("", { spec: nodeSpec, status: nodeStatus }, []),
  Pod: kind("", { spec: podSpec, status: podStatus }),
  ConfigMap: kind("", { data: map(() => undefined, string) }, []),
  Service: kind("", { spec: serviceSpec }, ["spec"], serviceName),
  Endpoints: kind(
    "",
    {
      subsets: list(
        object({
          addresses: list(endpointsAddress),
          notReadyAddresses: list(endpointsAddress),
          ports: list(endpointPort),
        }),
      ),
    },
    [],
  ),
  ReplicationController: kind("", { spec: replicationSpec }),
  EndpointSlice: kind(
    "discovery.k8s.io",
    {
      addressType: oneOf("IPv4", "IPv6", "FQDN"),
      ports: list(endpointPort),
      endpoints: list(
        object(
          {
            addresses: list(string, 1),
            conditions: object({ ready: boolean, serving: boolean, terminating: boolean }),
            hostname: dnsLabel,
            nodeName: string,
            zone: string,
            targetRef,
            hints: unread,
          },
          ["addresses"],
        ),
      ),
    },
    ["addressType"],
  ),
  Deployment: kind("apps", {
    spec: workload({
      replicas: count,
      paused: boolean,
      minReadySeconds: count,
      revisionHistoryLimit: count,
      strategy: object({
        type: oneOf("RollingUpdate", "Recreate"),
        rollingUpdate: object({ maxSurge: countOrPercent, maxUnavailable: countOrPercent }),
      }),
    }),
  }),
  ReplicaSet: kind("apps", { spec: workload({ replicas: count, minReadySeconds: count }) }),
  StatefulSet: kind("apps", {
    spec: workload({
      replicas: count,
      serviceName: string,
      podManagementPolicy: oneOf("OrderedReady", "Parallel"),
      ordinals: object({ start: count }),
      updateStrategy: object({
        type: oneOf("RollingUpdate", "OnDelete"),
        rollingUpdate: object({ partition: count }),
      }),
    }),
  }),
  DaemonSet: kind("apps", {
    spec: workload({
      updateStrategy: object({
        type: oneOf("RollingUpdate", "OnDelete"),
        rollingUpdate: object({ maxSurge: countOrPercent, maxUnavailable: countOrPercent }),
      }),
    }),
  }),
  Job: kind("batch", {
    spec: object(
      {
        completions: count,
        parallelism: count,
        completionMode: oneOf("NonIndexed", "Indexed"),
        suspend: boolean,
        backoffLimit: count,
        template,
      },
      ["template"],
    ),
  }),
  Secret: SECRET_CHECKS,
  ServiceAccount: kind("", { secrets: list(object({ name: string })) }, []),
  ...POLICY_CHECKS,
  ...INGRESS_CHECKS,
  ...GATEWAY_CHECKS,
};

/** Looks at a whole object of a known kind. @throws FieldError */
export function checkObject(
  found: KubeObject,
  resources: CustomResources = CustomResources.NONE,
): void {
  const kind = kindOf(found);
  const custom = resources.get(kind);
  const checks = KIND_CHECKS[kind];
  checkMetadata(found, custom?.name ?? checks?.name ?? dnsSubdomain);
  custom?.check(found, []);
  if (checks === undefined) return;
  object(checks.fields, checks.required)(found, []);
  checks.whole?.(found, []);
}

/** Checks of the metadata, by the check of its name. */
const metadataChecks = new Map<Check, Check>();

function checkMetadata(found: KubeObject, name: Check): void {
  let check = metadataChecks.get(name);
  if (check === undefined) {
    check = metadata(name);
    metadataChecks.set(name, check);
  }
  check(found, []);
}

function metadata(name: Check): Check {
  return object(
    {
      metadata: object(
        {
          name,
          namespace: dnsLabel,
          labels,
          annotations: map(() => undefined, string),
          uid: string,
          ownerReferences: list(
            object({ apiVersion: string, kind: string, name: string, uid: string }, [
              "kind",
              "name",
              "uid",
            ]),
          ),
        },
        ["name"],
      ),
    },
    ["metadata"],
  );
}
