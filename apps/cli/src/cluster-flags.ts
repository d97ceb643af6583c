import { fileURLToPath } from "node:url";
import { type Cluster, createCluster } from "@cnilab/cluster";
import {
  type ClusterConfig,
  type CniModel,
  type CniOptionValues,
  type CustomResource,
  InputError,
  type KubeObject,
  objectKey,
  POLICY,
  type PolicyEngine,
  type PortRange,
  type ProxyMode,
  type Service,
} from "@cnilab/core";
import { nodeLocalAddress, registerCoreDns } from "@cnilab/dns";
import { registerGateway, registerIngress } from "@cnilab/gateway";
import { EXTERNAL_IPS_STATUS, MODE_STATUS, registerKubeProxy } from "@cnilab/kube-proxy";
import { SCHEDULER_NAMES, type SchedulerName } from "@cnilab/linux";
import { type IpFamily, type Prefix, tryParsePrefix } from "@cnilab/net";
import { registerPolicyAgent } from "@cnilab/network-policy";
import { type Command, Option } from "commander";
import { of } from "rxjs";
import { RESOURCES, resourcesWith } from "./custom-resources.ts";
import {
  addLoadBalancerFlags,
  type LoadBalancerFlags,
  readLoadBalancer,
} from "./load-balancer-flags.ts";
import { loadModel, MODEL_NAMES, NO_CNI } from "./load-model.ts";
import { readModelOptions } from "./model-options.ts";
import { type ParsedSources, parseSources } from "./parse-sources.ts";
import type { ProgramIo } from "./program-io.ts";
import { showProgress } from "./progress.ts";
import { readSources, type Source } from "./read-input.ts";

/** Flags of every command that brings up a cluster, as commander hands them over. */
export interface ClusterFlags extends LoadBalancerFlags {
  readonly filename: readonly string[];
  readonly cni: string;
  readonly cniSet: readonly string[];
  readonly cniValues: readonly string[];
  readonly policy: "cni" | "standalone" | "none";
  readonly dns: (typeof DNS)[number];
  readonly proxyMode: ProxyMode;
  readonly ipvsScheduler: SchedulerName;
  readonly nodes: number;
  readonly clusterCidr?: readonly Prefix[];
  readonly nodeCidrMaskSize?: readonly number[];
  readonly serviceClusterIpRange?: readonly Prefix[];
  readonly serviceNodePortRange?: PortRange;
  readonly ipFamilies?: readonly IpFamily[];
  readonly listen: "declared" | "all";
  readonly seed: number;
}

/** A cluster that runs, and what the user should be told of its input. */
export interface BroughtUp {
  readonly cluster: Cluster;
  /** About the input: what of it is left out. */
  readonly warnings: readonly string[];
}

/** @param cni how the command takes CNIs, where it is not one by its name */
export function addClusterFlags(command: Command, cni: Option = oneCni()): Command {
  return addLoadBalancerFlags(addBasicFlags(command, cni));
}

function oneCni(): Option {
  return new Option(
    "--cni <name>",
    `${MODEL_NAMES.join(", ")}, ${NO_CNI}, an npm package or a path to a module`,
  ).default("flannel");
}

function addBasicFlags(command: Command, cni: Option): Command {
  return command
    .addOption(
      new Option(
        "-f, --filename <path>",
        "manifests: a file, a folder, or - for standard input; repeatable",
      )
        .argParser(collect)
        .default([], "the shop example"),
    )
    .addOption(cni)
    .addOption(
      new Option("--cni-set <key=value>", "an option of the CNI, as backend=host-gw; repeatable")
        .argParser(collect)
        .default([], "none"),
    )
    .addOption(
      new Option(
        "--cni-values <path>",
        "a values.yaml of the CNI's Helm chart, where it has one, as Cilium; repeatable",
      )
        .argParser(collect)
        .default([], "none"),
    )
    .addOption(
      new Option(
        "--policy <who>",
        "who enforces policies: the CNI as far as it does, a controller beside it, nobody",
      )
        .choices(["cni", "standalone", "none"])
        .default("cni"),
    )
    .addOption(
      new Option(
        "--dns <who>",
        "who answers names where the input does not say: CoreDNS as kubeadm sets it up, with NodeLocal DNSCache before it, nobody",
      )
        .choices(DNS)
        .default("coredns"),
    )
    .addOption(
      new Option("--proxy-mode <mode>", `how kube-proxy programs Services: ${modes()}`)
        .choices(PROXY_MODES)
        .default("iptables"),
    )
    .addOption(
      new Option("--ipvs-scheduler <name>", "how IPVS chooses an endpoint, with --proxy-mode ipvs")
        .choices(SCHEDULER_NAMES)
        .default("rr"),
    )
    .option(
      "--nodes <n>",
      "nodes to make where the input has none",
      wholeNumber("--nodes", 1, 65_000),
      3,
    )
    .option("--cluster-cidr <cidrs>", "pod addresses (10.244.0.0/16)", cidrs("--cluster-cidr"))
    .option(
      "--node-cidr-mask-size <n>",
      "length of a node's range (24; 64 for IPv6); two, with a comma, for both families",
      maskSizes,
    )
    .option(
      "--service-cluster-ip-range <cidrs>",
      "Service addresses (10.96.0.0/12)",
      cidrs("--service-cluster-ip-range"),
    )
    .option("--service-node-port-range <range>", "node ports (30000-32767)", portRange)
    .option("--ip-families <families>", "ipv4, ipv6 or ipv4,ipv6", ipFamilies)
    .addOption(
      new Option("--listen <ports>", "what pods listen on")
        .choices(["declared", "all"])
        .default("declared"),
    )
    .option("--seed <n>", "seed of all that is random", wholeNumber("--seed", 0, 0xffffffff), 1);
}

const DNS = ["coredns", "nodelocal", "none"] as const;

const PROXY_MODES: readonly ProxyMode[] = ["iptables", "nftables", "ipvs"];

/** Each with how it stands upstream. */
function modes(): string {
  return PROXY_MODES.map((mode) => `${mode} (${MODE_STATUS[mode]})`).join(", ");
}

/** Takes the place of the CNI's engine, and enforces nothing. */
const NO_POLICY: PolicyEngine = {
  name: "none",
  enforces: [],
  ready: of(true),
  start: () => {},
  stop: () => {},
};

/** Brings up the cluster that the flags describe. @throws InputError */
export async function bringUp(io: ProgramIo, flags: ClusterFlags): Promise<BroughtUp> {
  const model = await loadModel(io, flags.cni);
  const given = readModelOptions(model, flags.cniSet, await readSources(io, flags.cniValues));
  const { cluster, warnings } = await bringUpOn(
    io,
    flags,
    { model, options: given.options },
    await readManifests(io, flags),
  );
  return { cluster, warnings: [...given.warnings, ...warnings] };
}

/** What `-f` names, or the example. @throws InputError */
export function readManifests(io: ProgramIo, { filename }: ClusterFlags): Promise<Source[]> {
  return readSources(io, filename.length > 0 ? filename : [shop()]);
}

/** A CNI with its options, whatever the flags say of them. */
export interface ChosenCni {
  /** `undefined` where nodes have no network plugin. */
  readonly model: CniModel | undefined;
  readonly options: CniOptionValues;
}

/** Brings up the cluster that the flags describe on one CNI. @throws InputError */
export async function bringUpOn(
  io: ProgramIo,
  flags: ClusterFlags,
  { model, options: cniOptions }: ChosenCni,
  sources: readonly Source[],
): Promise<BroughtUp> {
  const registerLoadBalancer = readLoadBalancer(flags);
  const resources = resourcesWith(model);
  const { objects, warnings } = readObjects(sources, {}, resources);
  const cluster = createCluster({
    config: withNodeLocalDns(clusterConfig(flags), flags),
    nodes: flags.nodes,
    seed: flags.seed,
    listen: flags.listen,
    resources,
    ...(model === undefined ? {} : { cni: model, cniOptions }),
    register: (root) => {
      if (model?.replacesKubeProxy?.(cniOptions) !== true) {
        registerKubeProxy(root, { ipvsScheduler: flags.ipvsScheduler });
      }
      registerLoadBalancer(root);
      registerIngress(root);
      registerGateway(root);
      registerCoreDns(root, {
        coreDns: flags.dns !== "none",
        nodeLocal: flags.dns === "nodelocal",
      });
      if (flags.policy === "standalone") registerPolicyAgent(root);
      if (flags.policy === "none") root.register(POLICY, { useValue: NO_POLICY });
    },
  });
  const done = showProgress(io, cluster);
  try {
    cluster.apply(objects);
    await cluster.settled();
  } finally {
    done();
  }
  return { cluster, warnings };
}

/** Where the shop example lies, in the repository or beside the installed package. */
export function shop(): string {
  return fileURLToPath(import.meta.resolve("@cnilab/examples/shop"));
}

/** Objects of all sources, and what of them is left out or not simulated. @throws InputError */
export function readObjects(
  sources: readonly Source[],
  alsoKinds: Readonly<Record<string, string>> = {},
  resources: readonly CustomResource[] = RESOURCES,
): ParsedSources {
  const { objects, warnings } = parseSources(sources, alsoKinds, resources);
  return { objects, warnings: [...warnings, ...externalIpWarnings(objects)] };
}

function externalIpWarnings(objects: readonly KubeObject[]): string[] {
  const using = objects.filter(
    (o) => o.kind === "Service" && ((o as Service).spec.externalIPs ?? []).length > 0,
  );
  const [first] = using;
  if (first === undefined) return [];
  const more = using.length > 1 ? ` and ${using.length - 1} more` : "";
  return [`Service ${objectKey(first)}${more}: spec.externalIPs is ${EXTERNAL_IPS_STATUS}`];
}

/** Says on stderr what the user should know before the answer. */
export function warn(io: ProgramIo, warnings: readonly string[]): void {
  for (const warning of warnings) io.stderr.write(`cnilab: warning: ${warning}\n`);
}

function clusterConfig(flags: ClusterFlags): Partial<ClusterConfig> {
  const sizes = flags.nodeCidrMaskSize;
  const families =
    flags.ipFamilies ?? (flags.clusterCidr ?? flags.serviceClusterIpRange)?.map((p) => p.family);
  return {
    proxyMode: flags.proxyMode,
    ...(families === undefined ? {} : { ipFamilies: [...new Set(families)] }),
    ...(flags.clusterCidr === undefined ? {} : { clusterCidrs: flags.clusterCidr }),
    ...(flags.serviceClusterIpRange === undefined
      ? {}
      : { serviceCidrs: flags.serviceClusterIpRange }),
    ...(flags.serviceNodePortRange === undefined
      ? {}
      : { serviceNodePortRange: flags.serviceNodePortRange }),
    ...(sizes === undefined ? {} : { nodeCidrMaskSize: maskSizeByFamily(sizes, families) }),
  };
}

/** IPVS has the address of kube-dns on every node already, so kubelets tell pods the cache's own. */
function withNodeLocalDns(
  config: Partial<ClusterConfig>,
  { dns, proxyMode }: ClusterFlags,
): Partial<ClusterConfig> {
  if (dns !== "nodelocal" || proxyMode !== "ipvs") return config;
  return { ...config, clusterDns: [nodeLocalAddress(config.ipFamilies ?? [4])] };
}

function maskSizeByFamily(
  sizes: readonly number[],
  families: readonly IpFamily[] = [4],
): Record<IpFamily, number> {
  const byFamily: Record<IpFamily, number> = { 4: 24, 6: 64 };
  families.forEach((family, i) => {
    byFamily[family] = sizes[i] ?? byFamily[family];
  });
  return byFamily;
}

function collect(value: string, previous: readonly string[]): string[] {
  return [...previous, value];
}

export function wholeNumber(flag: string, least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw new InputError(`must be a whole number from ${least} to ${most}, not "${text}"`, flag);
  };
}

function cidrs(flag: string): (text: string) => Prefix[] {
  return (text) =>
    text.split(",").map((part) => {
      const prefix = tryParsePrefix(part.trim());
      if (prefix !== undefined) return prefix;
      throw new InputError(`"${part}" is not a CIDR; write it as 10.244.0.0/16`, flag);
    });
}

function portRange(text: string): PortRange {
  const [, from, to] = /^(\d{1,5})-(\d{1,5})$/.exec(text) ?? [];
  const [first, last] = [Number(from), Number(to)];
  if (first >= 1 && last <= 65_535 && first <= last) return { first, last };
  throw new InputError(
    `"${text}" is no range of ports; write it as 30000-32767`,
    "--service-node-port-range",
  );
}

function maskSizes(text: string): number[] {
  return text.split(",").map(wholeNumber("--node-cidr-mask-size", 1, 128));
}

function ipFamilies(text: string): IpFamily[] {
  const families = text.split(",").map((name): IpFamily => {
    if (name === "ipv4" || name === "IPv4") return 4;
    if (name === "ipv6" || name === "IPv6") return 6;
    throw new InputError(
      `"${name}" is no IP family; write ipv4, ipv6 or ipv4,ipv6`,
      "--ip-families",
    );
  });
  return [...new Set(families)];
}
