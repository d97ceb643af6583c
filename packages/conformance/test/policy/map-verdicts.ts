import {
  cidrGroupLabel,
  cidrLabels,
  ciliumPolicyRules,
  DEFAULT_POLICY_SETTINGS,
  EndpointPolicy,
  formatLabel,
  IpCache,
  identityKey,
  kubernetesPolicyRule,
  LabelFilter,
  type LabelSet,
  label,
  labelSet,
  PolicyConflictError,
  type PolicyOwner,
  PolicyRepository,
  type PolicyRule,
  type PolicyService,
  type PolicySettings,
  PrefixMetadata,
  parseLabels,
  podLabels,
  protocolNumber,
  RESERVED_IDENTITY,
  RESERVED_LABELS,
  resolveServices,
  SelectorCache,
  type TrafficDirection,
  type v2,
  worldLabel,
} from "@cnilab/cilium";
import type {
  EndpointSlice,
  KubeObject,
  Labels,
  NetworkPolicy,
  Node,
  Pod,
  Service,
} from "@cnilab/core";
import { FieldError } from "@cnilab/core/validation";
import {
  familyOf,
  type IpAddress,
  type IpFamily,
  Prefix,
  parseIp,
  parsePrefix,
  tryParseInterfaceAddress,
} from "@cnilab/net";
import { API_SERVERS } from "./arbitrary-cilium.ts";

export interface MapSettings {
  readonly policy: PolicySettings;
  readonly cidrMatchesNodes: boolean;
}

/** Of the chart's values. */
export function mapSettings(
  options: Readonly<Record<string, unknown>>,
  dualStack: boolean,
): MapSettings {
  const enforcement = (options["policyEnforcementMode"] ??
    "default") as PolicySettings["enforcement"];
  return {
    policy: {
      ...DEFAULT_POLICY_SETTINGS,
      enforcement,
      dualStack,
      hostFirewall: options["hostFirewall.enabled"] === true,
      defaultLocalCluster: options["clustermesh.policyDefaultLocalCluster"] === true,
    },
    cidrMatchesNodes: options["policyCIDRMatchMode"] === "nodes",
  };
}

/** Says what an endpoint's policy map has for a packet: `conflict` where the endpoint has no map. */
export type MapVerdict = "allow" | "redirect" | "deny" | "conflict";

type EndName = string;
type ProtocolName = "TCP" | "UDP" | "SCTP" | "ICMP" | "ICMPv6";

/**
 * The way of agents: rules in a repository, identities of pods and of addresses as each node knows them, each endpoint's policy map,
 * and a look-up in it. Ends are `namespace/pod`, `node/NAME` or an address.
 */
export class MapVerdicts {
  readonly #settings: MapSettings;
  readonly #repository: PolicyRepository;
  readonly #rules: PolicyRule[] = [];
  readonly #pods = new Map<EndName, { pod: Pod; labels: LabelSet; identity: number }>();
  readonly #nodes = new Map<EndName, Node>();
  readonly #groups: readonly v2.CiliumCIDRGroup[];
  readonly #tables = new Map<string, NodeTables>();
  readonly #maps = new Map<EndName, EndpointPolicy | undefined>();
  readonly #filter = new LabelFilter();

  constructor(objects: readonly KubeObject[], settings: MapSettings) {
    this.#settings = settings;
    this.#repository = new PolicyRepository(settings.policy);
    const namespaces = new Map<string, Labels>();
    for (const { kind, metadata } of objects) {
      if (kind === "Namespace") namespaces.set(metadata.name, metadata.labels ?? {});
    }
    const numbers = new Map<string, number>();
    for (const object of objects) {
      if (object.kind === "Node") this.#nodes.set(`node/${object.metadata.name}`, object as Node);
      if (object.kind !== "Pod") continue;
      const pod = object as Pod;
      const { name, namespace = "default", labels = {} } = pod.metadata;
      const all = podLabels({
        namespace,
        labels,
        namespaceLabels: namespaces.get(namespace) ?? {},
        serviceAccount: pod.spec.serviceAccountName ?? "default",
        cluster: settings.policy.clusterName,
      });
      const own = this.#filter.filter(all).identity;
      const key = identityKey(own);
      const identity = numbers.get(key) ?? 30_001 + numbers.size;
      numbers.set(key, identity);
      this.#pods.set(`${namespace}/${name}`, { pod, labels: own, identity });
    }
    this.#groups = objects.filter(
      (object): object is v2.CiliumCIDRGroup => object.kind === "CiliumCIDRGroup",
    );
    const services = servicesOf(objects);
    for (const object of objects) {
      const rules = rulesOf(object, settings.policy).map((rule) =>
        resolveServices(rule, services, settings.policy),
      );
      this.#repository.replace(`${object.kind}/${object.metadata.name}`, rules);
      this.#rules.push(...rules);
    }
  }

  /** @param port of ICMP the type */
  verdict(
    direction: TrafficDirection,
    source: EndName,
    destination: EndName,
    protocol: ProtocolName,
    port: number,
    family: IpFamily = 4,
  ): MapVerdict {
    const [own, peer] = direction === "egress" ? [source, destination] : [destination, source];
    if (!this.#pods.has(own) && !this.#nodes.has(own)) return "allow";
    const map = this.#mapOf(own);
    if (map === undefined) return "conflict";
    const identity = this.#identityOf(this.#nodeOf(own), peer, family);
    const entry = map.mapState.lookup({
      direction,
      identity,
      protocol: protocolNumber(protocol),
      port,
      portPrefixLength: 16,
    });
    if (entry === undefined || entry.deny) return "deny";
    return entry.proxyPort === 0 ? "allow" : "redirect";
  }

  #nodeOf(name: EndName): string {
    return this.#pods.get(name)?.pod.spec.nodeName ?? name.slice("node/".length);
  }

  #identityOf(node: string, name: EndName, family: IpFamily): number {
    const pod = this.#pods.get(name);
    if (pod !== undefined) return pod.identity;
    const ofNode = this.#nodes.get(name)?.status?.addresses?.map(({ address }) => parseIp(address));
    const address = ofNode?.find((each) => familyOf(each) === family) ?? parseIp(name);
    return this.#tablesOf(node).identityOf(address);
  }

  #mapOf(name: EndName): EndpointPolicy | undefined {
    if (this.#maps.has(name)) return this.#maps.get(name);
    const pod = this.#pods.get(name);
    const node = this.#nodes.get(name);
    const identity = pod?.identity ?? RESERVED_IDENTITY.host;
    const labels = pod?.labels ?? this.#hostLabels(node?.metadata.labels ?? {});
    const owner: PolicyOwner = {
      endpointId: 1,
      isHost: pod === undefined,
      namedPort: (direction, portName, protocol) =>
        direction === "ingress"
          ? (portsOf(pod?.pod).find((each) => each.name === portName && each.protocol === protocol)
              ?.port ?? 0)
          : this.#portOfAll(portName, protocol),
      proxyPort: () => 15_001,
    };
    let map: EndpointPolicy | undefined;
    try {
      const resolved = this.#repository.resolve({ identity, labels });
      const { cache } = this.#tablesOf(this.#nodeOf(name));
      map = new EndpointPolicy(resolved, owner, cache, { allowLocalhost: true });
    } catch (error) {
      if (!(error instanceof PolicyConflictError)) throw error;
    }
    this.#maps.set(name, map);
    return map;
  }

  #hostLabels(labels: Labels): LabelSet {
    const own = Object.entries(labels).map(([key, value]) => label("k8s", key, value));
    return labelSet([...this.#filter.filter(own).identity, label("reserved", "host")]);
  }

  #portOfAll(name: string, protocol: string): number {
    const all = [...this.#pods.values()].flatMap(({ pod }) => portsOf(pod));
    const numbers = all.filter((each) => each.name === name && each.protocol === protocol);
    const found = new Set(numbers.map(({ port }) => port));
    return found.size === 1 ? ([...found][0] as number) : 0;
  }

  #tablesOf(node: string): NodeTables {
    let tables = this.#tables.get(node);
    if (tables === undefined) {
      tables = new NodeTables(this.#settings);
      for (const [name, { status }] of this.#nodes) {
        for (const { address } of status?.addresses ?? []) {
          tables.say(String(Prefix.host(parseIp(address))), "node", [
            name === `node/${node}` ? "reserved:host" : "reserved:remote-node",
          ]);
        }
      }
      for (const address of API_SERVERS) {
        tables.say(`${address}/32`, "endpoints", ["reserved:kube-apiserver"]);
      }
      for (const prefix of this.#rules.flatMap(prefixesOf)) tables.sayRange(prefix);
      for (const { metadata, spec } of this.#groups) {
        for (const range of spec.externalCIDRs) {
          const labels = Object.entries(metadata.labels ?? {}).map(
            ([k, v]) => `cidrgroup:${k}=${v}`,
          );
          const { key } = cidrGroupLabel(metadata.name);
          tables.say(range, `group ${metadata.name}`, [
            ...labels,
            `cidrgroup:${key}`,
            formatLabel(worldLabel(parsePrefix(range).family, this.#settings.policy.dualStack)),
          ]);
        }
      }
      tables.finish([...this.#pods.values()].map(({ identity, labels }) => [identity, labels]));
      this.#tables.set(node, tables);
    }
    return tables;
  }
}

/** What one node knows of addresses and identities. */
class NodeTables {
  readonly cache = new SelectorCache();
  readonly #ipCache = new IpCache();
  readonly #metadata: PrefixMetadata;
  readonly #dualStack: boolean;

  constructor({ policy: { dualStack }, cidrMatchesNodes }: MapSettings) {
    this.#dualStack = dualStack;
    // The cache knows nobody by the number that stands for anybody.
    const reserved = [...RESERVED_LABELS].filter(([id]) => id !== RESERVED_IDENTITY.unknown);
    this.cache.updateIdentities(new Map(reserved), []);
    this.#metadata = new PrefixMetadata(
      this.#ipCache,
      { dualStack, cidrMatchesNodes, nodeLabels: false },
      (added, deleted) => this.cache.updateIdentities(added, deleted),
    );
  }

  say(range: string, who: string, labels: readonly string[]): void {
    const source =
      who === "node" ? "custom-resource" : who === "endpoints" ? "kube-apiserver" : "generated";
    this.#metadata.upsert(parsePrefix(range), who, { source, labels: parseLabels(labels) });
  }

  sayRange(prefix: Prefix): void {
    const labels = cidrLabels(prefix, this.#dualStack);
    this.#metadata.upsert(prefix, "policy", { source: "generated", labels });
  }

  finish(pods: readonly (readonly [number, LabelSet])[]): void {
    this.#metadata.inject();
    this.cache.updateIdentities(new Map(pods), []);
  }

  identityOf(address: IpAddress): number {
    const whole = Prefix.host(address);
    for (let length = whole.length; length >= 0; length--) {
      const entry = this.#ipCache.get(new Prefix(address, length));
      if (entry !== undefined) return entry.identity;
    }
    if (!this.#dualStack) return RESERVED_IDENTITY.world;
    return whole.family === 4 ? RESERVED_IDENTITY.worldIpv4 : RESERVED_IDENTITY.worldIpv6;
  }
}

function rulesOf(object: KubeObject, settings: PolicySettings): readonly PolicyRule[] {
  switch (object.kind) {
    case "NetworkPolicy":
      return [kubernetesPolicyRule(object as NetworkPolicy, settings)];
    case "CiliumNetworkPolicy":
    case "CiliumClusterwideNetworkPolicy":
      try {
        return ciliumPolicyRules(
          object as v2.CiliumNetworkPolicy | v2.CiliumClusterwideNetworkPolicy,
          settings,
        );
      } catch (error) {
        if (error instanceof FieldError) return [];
        throw error;
      }
    default:
      return [];
  }
}

function prefixesOf({ ingress, ingressDeny, egress, egressDeny }: PolicyRule): readonly Prefix[] {
  const texts = [ingress, ingressDeny, egress, egressDeny]
    .flat()
    .flatMap(({ cidrs = [], cidrRules = [] }) => [
      ...cidrs,
      ...cidrRules.flatMap(({ cidr, except = [] }) => [...(cidr ? [cidr] : []), ...except]),
    ]);
  return texts.map((text) => {
    const { address, length } = tryParseInterfaceAddress(text) ?? parsePrefix(text);
    return new Prefix(address, length);
  });
}

function servicesOf(objects: readonly KubeObject[]): readonly PolicyService[] {
  return objects
    .filter((object): object is Service => object.kind === "Service")
    .map(({ metadata: { name, namespace = "default", labels = {} }, spec }) => ({
      name,
      namespace,
      labels,
      selector: spec.selector ?? {},
      backends: objects
        .filter((object): object is EndpointSlice => object.kind === "EndpointSlice")
        .filter(
          ({ metadata }) =>
            metadata.namespace === namespace &&
            metadata.labels?.["kubernetes.io/service-name"] === name,
        )
        .flatMap(({ endpoints }) => endpoints.flatMap(({ addresses }) => addresses.map(parseIp))),
    }));
}

function portsOf(pod: Pod | undefined) {
  return (pod?.spec.containers ?? []).flatMap(({ ports = [] }) =>
    ports.map(({ name, containerPort, protocol = "TCP" }) => ({
      name,
      port: containerPort,
      protocol,
    })),
  );
}
