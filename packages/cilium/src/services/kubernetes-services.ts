import {
  type Labels,
  type Origin,
  type Pod,
  type Protocol,
  parseLabelSelector,
  type Service,
  selects,
} from "@cnilab/core";
import {
  familyOf,
  IPV4_ANY,
  IPV6_ANY,
  type IpAddress,
  isLoopback,
  isUnspecified,
  type Prefix,
  tryParseIp,
  tryParsePrefix,
} from "@cnilab/net";
import type { Backend } from "./backend.ts";
import {
  type Frontend,
  type FrontendType,
  LB_LOOKUP_SCOPE_EXT,
  LB_LOOKUP_SCOPE_INT,
  type LbService,
  type LookupScope,
  type NodeExposure,
} from "./frontend.ts";
import type { LbConfig } from "./lb-config.ts";

// Annotations of Services (pkg/annotation/k8s.go).
const TYPE = "service.cilium.io/type";
const FORWARDING_MODE = "service.cilium.io/forwarding-mode";
const LB_ALGORITHM = "service.cilium.io/lb-algorithm";
const PROXY_DELEGATION = "service.cilium.io/proxy-delegation";
const NODE = "service.cilium.io/node";
const NODE_SELECTOR = "service.cilium.io/node-selector";
const SOURCE_RANGES_POLICY = "service.cilium.io/src-ranges-policy";

const HEADLESS_LABEL = "service.kubernetes.io/headless";
/** Three hours (core/v1 DefaultClientIPServiceAffinitySeconds). */
const DEFAULT_AFFINITY_TIMEOUT = 10_800;

/** A Service as the load balancer takes it (pkg/loadbalancer/reflectors convertService); frontends of the node's families. */
export function lbService(service: Service, config: LbConfig): LbService {
  const { metadata, spec } = service;
  const annotations = metadata.annotations ?? {};
  const extLocal = spec.externalTrafficPolicy === "Local";
  const intLocal = spec.internalTrafficPolicy === "Local";
  const mode = annotations[FORWARDING_MODE]?.toLowerCase();
  const algorithm = annotations[LB_ALGORITHM];
  return {
    name: `${metadata.namespace ?? "default"}/${metadata.name}`,
    extLocal,
    intLocal,
    affinityTimeout:
      spec.sessionAffinity === "ClientIP"
        ? spec.sessionAffinityConfig?.clientIP?.timeoutSeconds || DEFAULT_AFFINITY_TIMEOUT
        : undefined,
    sourceRanges: (spec.loadBalancerSourceRanges ?? []).flatMap((text): readonly Prefix[] => {
      const prefix = tryParsePrefix(text.trim());
      return prefix === undefined ? [] : [prefix];
    }),
    sourceRangesDeny: annotations[SOURCE_RANGES_POLICY] === "deny",
    forwardingMode:
      config.annotations.mode && (mode === "snat" || mode === "dsr") ? mode : undefined,
    algorithm:
      config.annotations.algorithm && (algorithm === "random" || algorithm === "maglev")
        ? algorithm
        : undefined,
    preferClose: !intLocal && isTopologyAware(service),
    loopbackHostPort: false,
    delegateIfLocal: annotations[PROXY_DELEGATION]?.toLowerCase() === "delegate-if-local",
    nodes: nodeExposure(annotations),
    origin: { kind: "Service", namespace: metadata.namespace ?? "default", name: metadata.name },
    frontends: frontendsOf(service, config, extLocal !== intLocal),
  };
}

/** Nodes that a Service is for (`CheckServiceNodeExposure`); a selector that cannot be read counts as none. */
function nodeExposure(annotations: Labels): NodeExposure | undefined {
  const selector = annotations[NODE_SELECTOR];
  if (selector !== undefined) {
    const parsed = parseLabelSelector(selector);
    return parsed && ((labels) => selects(parsed, labels));
  }
  const value = annotations[NODE];
  return value === undefined ? undefined : (labels) => labels[NODE] === value;
}

function isTopologyAware({ metadata, spec }: Service): boolean {
  const { annotations = {} } = metadata;
  const hints =
    annotations["service.kubernetes.io/topology-aware-hints"] ??
    annotations["service.kubernetes.io/topology-mode"] ??
    "";
  return !/^([dD]isabled)?$/.test(hints) || spec.trafficDistribution === "PreferClose";
}

function frontendsOf(service: Service, config: LbConfig, twoScopes: boolean): Frontend[] {
  const { metadata, spec, status } = service;
  if (spec.clusterIP?.toLowerCase() === "none" || metadata.labels?.[HEADLESS_LABEL] !== undefined) {
    return [];
  }
  const only = metadata.annotations?.[TYPE];
  const exposes = (type: string) =>
    only === undefined ||
    !["ClusterIP", "NodePort", "LoadBalancer"].includes(only) ||
    only === type;
  const { ports = [], type, externalIPs = [] } = spec;
  const frontends: Frontend[] = [];
  const add = (
    of: FrontendType,
    addresses: readonly IpAddress[],
    scopes: readonly LookupScope[] = [LB_LOOKUP_SCOPE_EXT],
  ) => {
    for (const address of addresses) {
      if (!config.families.includes(familyOf(address))) continue;
      for (const scope of scopes) {
        for (const { name = "", protocol = "TCP", port, nodePort = 0 } of ports) {
          const asked = of === "NodePort" ? nodePort : port;
          if (asked === 0) continue;
          frontends.push({ type: of, address, port: asked, protocol, scope, portName: name });
        }
      }
    }
  };
  const clusterIps = spec.clusterIPs ?? (spec.clusterIP === undefined ? [] : [spec.clusterIP]);
  if (exposes("ClusterIP")) add("ClusterIP", parsed([...clusterIps].sort()));
  if (!config.nodePort) return frontends;
  const scopes = twoScopes ? ([LB_LOOKUP_SCOPE_EXT, LB_LOOKUP_SCOPE_INT] as const) : undefined;
  if ((type === "NodePort" || type === "LoadBalancer") && exposes("NodePort")) {
    const families =
      spec.ipFamilies ?? (clusterIps.some((ip) => ip.includes(":")) ? ["IPv6"] : ["IPv4"]);
    add(
      "NodePort",
      families.map((family) => (family === "IPv6" ? IPV6_ANY : IPV4_ANY)),
      scopes,
    );
  }
  if (type === "LoadBalancer" && exposes("LoadBalancer")) {
    const virtual = (status?.loadBalancer?.ingress ?? []).filter(
      ({ ip, ipMode = "VIP" }) => ip !== undefined && ipMode === "VIP",
    );
    add("LoadBalancer", parsed(virtual.map(({ ip = "" }) => ip)), scopes);
  }
  add("ExternalIPs", parsed(externalIPs));
  return frontends;
}

function parsed(texts: readonly string[]): IpAddress[] {
  return texts.flatMap((text) => {
    const address = tryParseIp(text);
    return address === undefined ? [] : [address];
  });
}

/** Host ports of a pod: each is a Service of its own with the pod behind it (pkg/loadbalancer/reflectors upsertHostPort). */
export function hostPortServices(
  pod: Pod,
  config: LbConfig,
): readonly { readonly service: LbService; readonly backends: readonly Backend[] }[] {
  if (!config.hostPorts || pod.spec.hostNetwork === true) return [];
  const { namespace = "default", name, uid = "" } = pod.metadata;
  const ips = parsed((pod.status?.podIPs ?? []).map(({ ip }) => ip)).filter((ip) =>
    config.families.includes(familyOf(ip)),
  );
  if (ips.length === 0) return [];
  const made = new Map<string, { service: LbService; backends: Backend[] }>();
  const containers = [...(pod.spec.initContainers ?? []), ...(pod.spec.containers ?? [])];
  for (const { ports = [] } of containers) {
    for (const { hostPort = 0, hostIP = "", containerPort, protocol = "TCP" } of ports) {
      const { first, last } = config.nodePortRange;
      if (hostPort <= 0 || (hostPort >= first && hostPort <= last)) continue;
      const serviceName = `${namespace}/${name}:host-port:${hostPort}:${uid}`;
      const known = made.get(serviceName) ?? {
        service: hostPortService(serviceName, { kind: "Pod", namespace, name }),
        backends: [],
      };
      const asked = tryParseIp(hostIP);
      const loopback = asked !== undefined && isLoopback(asked);
      // One on the loopback address and one elsewhere cannot share a port.
      if (asked !== undefined && !loopback && known.service.loopbackHostPort) continue;
      const backends = ips.map((address) => podBackend(address, containerPort, protocol));
      const frontends = hostAddresses(asked, ips).map(
        (address): Frontend => ({
          type: "HostPort",
          address,
          port: hostPort,
          protocol,
          scope: LB_LOOKUP_SCOPE_EXT,
          portName: "",
        }),
      );
      made.set(serviceName, {
        service: {
          ...known.service,
          loopbackHostPort: known.service.loopbackHostPort || loopback,
          frontends: [...known.service.frontends, ...frontends],
        },
        backends: [...known.backends, ...backends],
      });
    }
  }
  return [...made.values()];
}

function hostPortService(name: string, origin: Origin): LbService {
  return {
    name,
    extLocal: false,
    intLocal: false,
    affinityTimeout: undefined,
    sourceRanges: [],
    sourceRangesDeny: false,
    forwardingMode: undefined,
    algorithm: undefined,
    preferClose: false,
    loopbackHostPort: false,
    delegateIfLocal: false,
    nodes: undefined,
    origin,
    frontends: [],
  };
}

function podBackend(address: IpAddress, port: number, protocol: Protocol): Backend {
  return { address, port, protocol, node: "", portNames: [], forZones: [], state: "active" };
}

/** Every address of the node where none is asked for, and where it is that for all: that one is not exposed at all. */
function hostAddresses(asked: IpAddress | undefined, ips: readonly IpAddress[]): IpAddress[] {
  if (asked === undefined) {
    return [...new Set(ips.map(familyOf))].map((family) => (family === 4 ? IPV4_ANY : IPV6_ANY));
  }
  if (isLoopback(asked)) return [familyOf(asked) === 4 ? IPV4_ANY : IPV6_ANY];
  return isUnspecified(asked) ? [] : [asked];
}
