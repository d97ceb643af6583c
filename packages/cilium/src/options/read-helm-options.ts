import { type ClusterConfig, type CniOptionValues, InputError } from "@cnilab/core";
import { type IpFamily, type Prefix, tryParseIp, tryParsePrefix } from "@cnilab/net";
import { maglevConfig } from "../maglev/maglev-config.ts";
import type {
  AgentConfig,
  DnsProxyConfig,
  HealthzAddress,
  IpamConfig,
  MapSizesConfig,
  MasqueradeConfig,
  PolicyConfig,
  PoolRanges,
  RoutingConfig,
  ServicesConfig,
  WireguardConfig,
} from "./agent-config.ts";
import { checkCombination } from "./option-conflicts.ts";

/** Ports of the tunnels' protocols (pkg/defaults). */
const TUNNEL_PORT = { vxlan: 8472, geneve: 6081 } as const;

/** The most that maps take without other word, before the memory is looked at (pkg/option/config.go CTMapEntriesGlobalTCPDefault …). */
const MAP_SIZES = { ctTcp: 524_288, ctAny: 262_144, nat: 524_288 } as const;

/** Bits of the numbers that IPv6 ranges of nodes have (pkg/ipam/cidrset). */
const LONGEST_POOL_DIFFERENCE = 16;

/** What the chart would make of its values. @throws InputError with the path of the value that makes no sense */
export function readHelmOptions(values: CniOptionValues, cluster: ClusterConfig): AgentConfig {
  const helm = new HelmValues(values);
  const config: AgentConfig = {
    clusterName: clusterName(helm),
    families: families(helm, cluster),
    routing: routing(helm, cluster),
    ipam: ipam(helm, cluster),
    mtu: helm.integer("MTU", 0, 0, 65_535),
    devices: helm.list("devices"),
    directRoutingDevice: helm.text("nodePort.directRoutingDevice"),
    services: services(helm, cluster),
    masquerade: masquerade(helm, cluster),
    maps: mapSizes(helm),
    policy: policy(helm),
    wireguard: wireguard(helm),
    l7Proxy: helm.flag("l7Proxy", true),
    dnsProxy: dnsProxy(helm),
    monitorAggregation: helm.choice("bpf.monitorAggregation", "medium"),
    hubble: helm.flag("hubble.enabled", true),
    sctp: helm.flag("sctp.enabled", false),
    endpointHealthChecking:
      helm.flag("healthChecking", true) && helm.flag("endpointHealthChecking.enabled", true),
    tcx: helm.flag("bpf.enableTCX", true),
    conntrackGc: {
      intervalMs: helm.duration("conntrackGCInterval", 0),
      maxIntervalMs: helm.duration("conntrackGCMaxInterval", 0),
    },
  };
  checkCombination(config);
  return config;
}

/** Values by their paths, as kinds of values. */
class HelmValues {
  readonly #values: CniOptionValues;

  constructor(values: CniOptionValues) {
    this.#values = values;
  }

  text(path: string): string | undefined {
    const value = this.#values[path];
    return value === undefined || value === "" ? undefined : String(value);
  }

  choice<T extends string>(path: string, preset: T): T {
    return (this.text(path) ?? preset) as T;
  }

  flag(path: string, preset: boolean): boolean {
    return this.optionalFlag(path) ?? preset;
  }

  optionalFlag(path: string): boolean | undefined {
    const value = this.#values[path];
    return value === undefined ? undefined : value === true || value === "true";
  }

  /** @throws InputError where it is not between both */
  integer(path: string, preset: number, least: number, most: number): number {
    const value = Number(this.#values[path] ?? preset);
    if (Number.isInteger(value) && value >= least && value <= most) return value;
    throw new InputError(`must be from ${least} to ${most}, not ${this.#values[path]}`, path);
  }

  /** Words with commas or blanks between them, as `{a,b}` of `--set`, too. */
  list(path: string): string[] {
    const text = this.text(path)?.replace(/^\{|\}$/g, "") ?? "";
    return text.split(/[\s,]+/).filter((word) => word !== "");
  }

  /** @throws InputError for what is no range of that family */
  prefix(path: string, family: IpFamily): Prefix | undefined {
    const text = this.text(path);
    return text === undefined ? undefined : prefixOf(text, path, family);
  }

  prefixes(path: string, family?: IpFamily): Prefix[] {
    return this.list(path).map((text) => prefixOf(text, path, family));
  }

  /** A duration of Go in milliseconds. @throws InputError */
  duration(path: string, presetMs: number): number {
    const text = this.text(path);
    if (text === undefined) return presetMs;
    const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
    if (parts.length === 0 || parts.map(([all]) => all).join("") !== text) {
      if (text === "0") return 0;
      throw new InputError(`is no duration: "${text}"; write it as 5s or 100ms`, path);
    }
    return parts.reduce((ms, [, count, unit]) => ms + Number(count) * (UNITS[unit as "s"] ?? 0), 0);
  }
}

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;

function prefixOf(text: string, path: string, family: IpFamily | undefined): Prefix {
  const prefix = tryParsePrefix(text);
  if (prefix !== undefined && (family === undefined || prefix.family === family)) return prefix;
  const what = family === undefined ? "a CIDR" : `an IPv${family} CIDR`;
  throw new InputError(
    `"${text}" is not ${what}; write it as ${family === 6 ? "fd00:10::/48" : "10.0.0.0/8"}`,
    path,
  );
}

function clusterName(helm: HelmValues): string {
  const name = helm.text("cluster.name") ?? "default";
  // pkg/clustermesh/types/types.go ValidateClusterName
  if (/^([a-z0-9][-a-z0-9]*)?[a-z0-9]$/.test(name) && name.length <= 32) return name;
  throw new InputError(
    `"${name}" is no name of a cluster: at most 32 lower case letters, digits and dashes, the latter not at the ends`,
    "cluster.name",
  );
}

function families(helm: HelmValues, { ipFamilies }: ClusterConfig): readonly IpFamily[] {
  for (const family of [4, 6] as const) {
    const path = `ipv${family}.enabled`;
    const wanted = helm.optionalFlag(path);
    if (wanted === undefined || wanted === ipFamilies.includes(family)) continue;
    const has = ipFamilies.map((f) => `IPv${f}`).join(" and ");
    throw new InputError(`is ${wanted}, but the cluster has ${has}; see --ip-families`, path);
  }
  return ipFamilies;
}

function routing(helm: HelmValues, cluster: ClusterConfig): RoutingConfig {
  const tunnelProtocol = helm.choice<"vxlan" | "geneve">("tunnelProtocol", "vxlan");
  const underlay = helm.text("underlayProtocol");
  const preset = cluster.ipFamilies.includes(4) ? 4 : 6;
  return {
    mode: helm.choice("routingMode", "tunnel"),
    tunnelProtocol,
    tunnelPort: helm.integer("tunnelPort", 0, 0, 65_535) || TUNNEL_PORT[tunnelProtocol],
    underlay: underlay === undefined ? preset : underlay === "ipv6" ? 6 : 4,
    autoDirectNodeRoutes: helm.flag("autoDirectNodeRoutes", false),
    skipUnreachable: helm.flag("directRoutingSkipUnreachable", false),
    nativeCidr: { 4: nativeCidr(helm, cluster, 4), 6: nativeCidr(helm, cluster, 6) },
    endpointRoutes: helm.flag("endpointRoutes.enabled", false),
    hostLegacy: hostLegacy(helm),
    noConntrackRules: helm.flag("installNoConntrackIptablesRules", false),
  };
}

/** With native routing the agent wants one (checkIPv4NativeRoutingCIDR), and the chart has none: the cluster's range of pods. */
function nativeCidr(
  helm: HelmValues,
  cluster: ClusterConfig,
  family: IpFamily,
): Prefix | undefined {
  const given = helm.prefix(`ipv${family}NativeRoutingCIDR`, family);
  if (given !== undefined || helm.choice("routingMode", "tunnel") === "tunnel") return given;
  const [first] = clusterPool(helm, cluster, family).cidrs;
  return first;
}

/** Host routing by eBPF needs it to do what the stack would: services and masquerading (daemon/cmd/kube_proxy_replacement.go finishKubeProxyReplacementInit). */
function hostLegacy(helm: HelmValues): boolean {
  if (helm.flag("bpf.hostLegacyRouting", false)) return true;
  return !helm.flag("kubeProxyReplacement", false) || !helm.flag("bpf.masquerade", false);
}

function ipam(helm: HelmValues, cluster: ClusterConfig): IpamConfig {
  return {
    mode: helm.choice("ipam.mode", "cluster-pool"),
    clusterPool: Object.fromEntries(
      cluster.ipFamilies.map((family) => [family, clusterPool(helm, cluster, family)]),
    ),
    autoCreatePools: autoCreatePools(helm, cluster),
    preAllocation: preAllocation(helm),
  };
}

/** The cluster's range of pods, where the chart's values have no others: 10.0.0.0/8 holds Services, too. */
function clusterPool(helm: HelmValues, cluster: ClusterConfig, family: IpFamily): PoolRanges {
  const path = `ipam.operator.clusterPoolIPv${family}`;
  const given = helm.prefixes(`${path}PodCIDRList`, family);
  const cidrs = given.length > 0 ? given : cluster.clusterCidrs.filter((c) => c.family === family);
  const most = family === 4 ? 30 : 126;
  const preset = given.length > 0 && family === 6 ? 120 : cluster.nodeCidrMaskSize[family];
  const maskSize = helm.integer(`${path}MaskSize`, preset, 1, most);
  checkRanges(cidrs, `${path}PodCIDRList`, maskSize);
  return { cidrs, maskSize };
}

function checkRanges(cidrs: readonly Prefix[], path: string, maskSize: number): void {
  for (const [i, cidr] of cidrs.entries()) {
    if (maskSize < cidr.length) {
      throw new InputError(`a node's range of /${maskSize} does not fit into ${cidr}`, path);
    }
    // pkg/ipam/cidrset: the bitmap of ranges has 16 bits of address for IPv6, and 4 takes all that there is.
    if (cidr.family === 6 && maskSize - cidr.length > LONGEST_POOL_DIFFERENCE) {
      throw new InputError(
        `${cidr} has 2^${maskSize - cidr.length} ranges of /${maskSize}, and 2^${LONGEST_POOL_DIFFERENCE} is the most`,
        path,
      );
    }
    const other = cidrs.slice(0, i).find((c) => c.overlaps(cidr));
    if (other !== undefined) throw new InputError(`${cidr} overlaps ${other}`, path);
  }
}

function autoCreatePools(helm: HelmValues, cluster: ClusterConfig): IpamConfig["autoCreatePools"] {
  const path = "ipam.operator.autoCreateCiliumPodIPPools";
  const text = helm.text(path);
  const pools = new Map<string, Partial<Record<IpFamily, PoolRanges>>>();
  if (text === undefined) {
    pools.set(
      "default",
      Object.fromEntries(cluster.ipFamilies.map((f) => [f, clusterPool(helm, cluster, f)])),
    );
    return pools;
  }
  for (const [name, pool] of Object.entries(objectOf(parsedJson(text), path))) {
    const at = `${path}.${name}`;
    const given = objectOf(pool, at);
    const ranges: Partial<Record<IpFamily, PoolRanges>> = {};
    for (const family of [4, 6] as const) {
      const part = given[`ipv${family}`];
      if (part !== undefined) ranges[family] = poolRanges(part, `${at}.ipv${family}`, family);
    }
    pools.set(name, ranges);
  }
  return pools;
}

/** @throws InputError for what is no part of a pool */
function poolRanges(value: unknown, path: string, family: IpFamily): PoolRanges {
  const { cidrs, maskSize = family === 4 ? 24 : 120 } = objectOf(value, path);
  if (!Array.isArray(cidrs) || cidrs.length === 0) {
    throw new InputError("names no cidrs", path);
  }
  const most = family === 4 ? 32 : 128;
  if (typeof maskSize !== "number" || !Number.isInteger(maskSize) || maskSize > most) {
    throw new InputError(`maskSize must be a whole number up to ${most}`, path);
  }
  const prefixes = cidrs.map((cidr) => prefixOf(String(cidr), path, family));
  checkRanges(prefixes, path, maskSize);
  return { cidrs: prefixes, maskSize };
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function objectOf(value: unknown, path: string): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>;
  }
  throw new InputError(
    'is no JSON of pools; write {"default":{"ipv4":{"cidrs":["10.1.0.0/16"],"maskSize":24}}}',
    path,
  );
}

function preAllocation(helm: HelmValues): ReadonlyMap<string, number> {
  const path = "ipam.multiPoolPreAllocation";
  const words = helm.list(path);
  if (words.length === 0) return new Map([["default", 8]]);
  return new Map(
    words.map((word) => {
      const [, pool, count] = /^([^=]+)=(\d+)$/.exec(word) ?? [];
      if (pool !== undefined && count !== undefined) return [pool, Number(count)] as const;
      throw new InputError(`"${word}" is not POOL=COUNT, as default=8`, path);
    }),
  );
}

function services(helm: HelmValues, cluster: ClusterConfig): ServicesConfig {
  const kubeProxyReplacement = helm.flag("kubeProxyReplacement", false);
  return {
    kubeProxyReplacement,
    healthz: kubeProxyReplacement ? healthz(helm) : undefined,
    nodePort: kubeProxyReplacement || helm.flag("nodePort.enabled", false),
    nodePortRange: nodePortRange(helm, cluster),
    bindProtection: helm.flag("nodePort.bindProtection", true),
    socketLb: kubeProxyReplacement || helm.flag("socketLB.enabled", false),
    socketLbHostOnly: helm.flag("socketLB.hostNamespaceOnly", false),
    mode: helm.choice("loadBalancer.mode", "snat"),
    algorithm: helm.choice("loadBalancer.algorithm", "random"),
    dsrDispatch: helm.choice("loadBalancer.dsrDispatch", "opt"),
    pmtuDiscovery: helm.flag("pmtuDiscovery.enabled", false),
    acceleration: helm.choice("loadBalancer.acceleration", "disabled"),
    topology: helm.flag("loadBalancer.serviceTopology", false),
    maglev: maglevConfig(
      helm.integer("maglev.tableSize", 16_381, 1, 131_071),
      helm.text("maglev.hashSeed"),
    ),
    externalClusterIp: helm.flag("bpf.lbExternalClusterIP", false),
    sourceRanges: helm.flag("svcSourceRangeCheck", true),
    sourceRangeAllTypes: helm.flag("bpf.lbSourceRangeAllTypes", false),
    modeAnnotation: helm.flag("bpf.lbModeAnnotation", false),
    algorithmAnnotation: helm.flag("bpf.lbAlgorithmAnnotation", false),
    noBackendResponse: helm.choice("serviceNoBackendResponse", "reject"),
  };
}

function healthz(helm: HelmValues): HealthzAddress | undefined {
  const path = "kubeProxyReplacementHealthzBindAddr";
  const text = helm.text(path);
  if (text === undefined) return undefined;
  const [, host = "", port = ""] = /^\[?([^\]]*)\]?:(\d{1,5})$/.exec(text) ?? [];
  const address = tryParseIp(host);
  const isPort = Number(port) > 0 && Number(port) <= 65_535;
  if (address !== undefined && isPort) return { address, port: Number(port) };
  throw new InputError(`"${text}" is no address with a port; write it as 0.0.0.0:10256`, path);
}

function nodePortRange(
  helm: HelmValues,
  { serviceNodePortRange }: ClusterConfig,
): ServicesConfig["nodePortRange"] {
  const words = helm.list("nodePort.range");
  if (words.length === 0) return serviceNodePortRange ?? { first: 30_000, last: 32_767 };
  const [first = Number.NaN, last = Number.NaN] = words.map(Number);
  if (words.length === 2 && first >= 1 && last <= 65_535 && first < last) return { first, last };
  throw new InputError("is no range of ports; write it as 30000,32767", "nodePort.range");
}

/** Lists that ip-masq-agent has of its own where the file says nothing (pkg/ipmasq/ipmasq.go). */
const NON_MASQUERADE = [
  "10.0.0.0/8",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "100.64.0.0/10",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.88.99.0/24",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "240.0.0.0/4",
] as const;

function masquerade(helm: HelmValues, { ipFamilies }: ClusterConfig): MasqueradeConfig {
  return {
    ipv4: ipFamilies.includes(4) && helm.flag("enableIPv4Masquerade", true),
    ipv6: ipFamilies.includes(6) && helm.flag("enableIPv6Masquerade", true),
    bpf: helm.flag("bpf.masquerade", false),
    randomFully: helm.flag("iptablesRandomFully", false),
    nonMasqueradeCidrs: helm.flag("ipMasqAgent.enabled", false)
      ? nonMasqueradeCidrs(helm)
      : undefined,
  };
}

function nonMasqueradeCidrs(helm: HelmValues): readonly Prefix[] {
  const given = helm.prefixes("ipMasqAgent.config.nonMasqueradeCIDRs");
  const path = "ipMasqAgent.config.nonMasqueradeCIDRs";
  const own = given.length > 0 ? given : NON_MASQUERADE.map((c) => prefixOf(c, path, 4));
  const linkLocal: Prefix[] = [];
  if (!helm.flag("ipMasqAgent.config.masqLinkLocal", false)) {
    linkLocal.push(prefixOf("169.254.0.0/16", path, 4));
  }
  if (!helm.flag("ipMasqAgent.config.masqLinkLocalIPv6", false)) {
    linkLocal.push(prefixOf("fe80::/10", path, 6));
  }
  return [...own, ...linkLocal];
}

function mapSizes(helm: HelmValues): MapSizesConfig {
  const most = 2 ** 24;
  const nat = helm.integer("bpf.natMax", MAP_SIZES.nat, 1 << 10, most);
  return {
    policy: helm.integer("bpf.policyMapMax", 16_384, 256, 65_536),
    lb: helm.integer("bpf.lbMapMax", 65_536, 1, most),
    ctTcp: helm.integer("bpf.ctTcpMax", MAP_SIZES.ctTcp, 1 << 10, most),
    ctAny: helm.integer("bpf.ctAnyMax", MAP_SIZES.ctAny, 1 << 10, most),
    nat,
    neigh: helm.integer("bpf.neighMax", nat, 1, most),
  };
}

function policy(helm: HelmValues): PolicyConfig {
  const modes = helm.list("policyCIDRMatchMode");
  const unknown = modes.find((mode) => mode !== "nodes");
  if (unknown !== undefined) {
    throw new InputError(
      `unknown CIDR match mode "${unknown}"; there is nodes`,
      "policyCIDRMatchMode",
    );
  }
  return {
    enforcement: helm.choice("policyEnforcementMode", "default"),
    audit: helm.flag("policyAuditMode", false),
    cidrMatchesNodes: modes.length > 0,
    hostFirewall: helm.flag("hostFirewall.enabled", false),
    labels: helm.text("labels"),
    identityChangeGraceMs: helm.duration("identityChangeGracePeriod", 5000),
  };
}

function wireguard(helm: HelmValues): WireguardConfig | undefined {
  if (!helm.flag("encryption.enabled", false)) return undefined;
  // IPsec is what the chart's values.yaml has.
  if (helm.choice<"ipsec" | "wireguard">("encryption.type", "ipsec") !== "wireguard") {
    throw new InputError(
      "is ipsec unless set, and IPsec is not modelled; choose wireguard",
      "encryption.type",
    );
  }
  return {
    nodeEncryption: helm.flag("encryption.nodeEncryption", false),
    persistentKeepalive: helm.duration("encryption.wireguard.persistentKeepalive", 0) / 1000,
    strict: strictMode(helm),
  };
}

function strictMode(helm: HelmValues): WireguardConfig["strict"] {
  if (!helm.flag("encryption.strictMode.enabled", false)) return undefined;
  const cidr = helm.prefix("encryption.strictMode.cidr", 4);
  if (cidr === undefined) {
    throw new InputError(
      "must be set with encryption.strictMode.enabled",
      "encryption.strictMode.cidr",
    );
  }
  return {
    cidr,
    allowRemoteNodes: helm.flag("encryption.strictMode.allowRemoteNodeIdentities", false),
  };
}

function dnsProxy(helm: HelmValues): DnsProxyConfig {
  return {
    minTtl: helm.integer("dnsProxy.minTtl", 0, 0, 2 ** 31 - 1),
    maxIpsPerHost: helm.integer("dnsProxy.endpointMaxIpPerHostname", 1000, 1, 2 ** 31 - 1),
    responseMaxDelayMs: helm.duration("dnsProxy.proxyResponseMaxDelay", 100),
    rejectCode: helm.choice("dnsProxy.dnsRejectResponseCode", "refused"),
  };
}
