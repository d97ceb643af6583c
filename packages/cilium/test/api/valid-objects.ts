const RULE = {
  endpointSelector: { matchLabels: { "k8s:app": "web" } },
  ingress: [
    {
      fromEndpoints: [
        { matchExpressions: [{ key: "tier", operator: "In", values: ["front", "back"] }] },
      ],
      toPorts: [
        {
          ports: [{ port: "80", endPort: 90, protocol: "TCP" }],
          rules: { http: [{ method: "GET", path: "/a.*", headers: ["X-Token: 1"] }] },
        },
      ],
      authentication: { mode: "disabled" },
    },
    { fromEntities: ["world", "host"], icmps: [{ fields: [{ family: "IPv4", type: 8 }] }] },
  ],
  ingressDeny: [{ fromCIDRSet: [{ cidr: "10.0.0.0/8", except: ["10.1.0.0/16"] }] }],
  egress: [
    {
      toEndpoints: [{ matchLabels: { "k8s-app": "kube-dns" } }],
      toPorts: [
        {
          ports: [{ port: "53", protocol: "ANY" }],
          rules: { dns: [{ matchPattern: "*.example.com" }] },
        },
      ],
    },
    { toFQDNs: [{ matchName: "www.example.com" }, { matchPattern: "*" }] },
    { toServices: [{ k8sService: { serviceName: "db", namespace: "shop" } }] },
    {
      toPorts: [
        {
          ports: [{ port: "https" }],
          serverNames: ["*.example.com"],
          listener: { envoyConfig: { name: "proxy" }, name: "in", priority: 7 },
        },
      ],
    },
  ],
  egressDeny: [
    {
      toCIDRSet: [{ cidrGroupRef: "bad" }],
      toPorts: [{ ports: [{ port: "25", protocol: "TCP" }] }],
    },
  ],
  labels: [{ key: "a", value: "b", source: "k8s" }],
  enableDefaultDeny: { ingress: true, egress: false },
  description: "why",
  log: { value: "note" },
};

/** One object of each kind with most of its fields, without metadata. */
export const VALID_OBJECTS: Readonly<Record<string, object>> = {
  CiliumNetworkPolicy: { spec: RULE },
  CiliumClusterwideNetworkPolicy: {
    specs: [{ nodeSelector: {}, ingress: [{ fromNodes: [{}] }] }],
    status: { conditions: [{ type: "Valid", status: "True" }] },
  },
  CiliumCIDRGroup: { spec: { externalCIDRs: ["192.0.2.0/24", "2001:db8::/32"] } },
  CiliumIdentity: { "security-labels": { "k8s:app": "web", "reserved:host": "" } },
  CiliumEndpoint: {
    status: {
      id: 12,
      "external-identifiers": { "container-id": "abc" },
      identity: { id: 30001, labels: ["k8s:app=web"] },
      networking: { addressing: [{ ipv4: "10.0.0.7" }], node: "192.168.0.11" },
      encryption: {},
      policy: { ingress: { enforcing: false, state: "enforcing" } },
      state: "ready",
      "named-ports": [{ name: "http", port: 80, protocol: "TCP" }],
    },
  },
  CiliumNode: {
    spec: {
      addresses: [{ type: "InternalIP", ip: "192.168.0.11" }],
      health: { ipv4: "10.0.0.2" },
      ingress: {},
      encryption: { key: 0 },
      ipam: {
        podCIDRs: ["10.0.0.0/24"],
        pools: {
          requested: [{ pool: "default", needed: { "ipv4-addrs": 8 } }],
          allocated: [{ pool: "default", cidrs: ["10.0.0.0/24"] }],
        },
        "pre-allocate": 8,
      },
    },
    status: {},
  },
  CiliumPodIPPool: {
    spec: {
      ipv4: { cidrs: ["10.10.0.0/16"], maskSize: 24 },
      ipv6: { cidrs: ["fd00:100::/80"], maskSize: 96 },
    },
  },
};

/** Names where any name will not do. */
export const NAMES: Readonly<Record<string, string>> = { CiliumIdentity: "30001" };
