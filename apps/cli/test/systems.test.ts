// The shop, realised in namespaces of this machine with a program behind every socket: everybody asks everybody.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Cluster, createCluster, parseManifests } from "@cnilab/cluster";
import type { ClusterConfig, CniOptionValues, KubeObject, Service } from "@cnilab/core";
import { flannel } from "@cnilab/flannel";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import { registerPolicyAgent } from "@cnilab/network-policy";
import { checkKernel, script, up, whyNotHere } from "@cnilab/realize";
import { describe, expect, test } from "vitest";
import {
  heard,
  type Modelled,
  modelled,
  type Source,
  sourcesOf,
  type Target,
  targetsOf,
} from "./systems/probes.ts";
import { askForReal, type RealAnswer, realName } from "./systems/real-sockets.ts";

const missing = whyNotHere();
const why = missing === undefined ? "" : ` (skipped: ${missing})`;

const MANIFESTS = [
  fileURLToPath(import.meta.resolve("@cnilab/examples/shop")),
  fileURLToPath(new URL("systems/services.yaml", import.meta.url)),
];
const POLICIES = fileURLToPath(new URL("systems/policies.yaml", import.meta.url));
/** How often each asks who has several backends: kube-proxy chooses at random. */
const TIMES = 3;
/** A loaded machine may answer too late; what differs is asked again so often. */
const LOOKS = 3;

/** A CNI, the cluster's configuration, and whether an agent enforces policies. */
type Row = readonly [string, CniOptionValues, Partial<ClusterConfig>, boolean];

const CLUSTERS: readonly Row[] = [
  ["vxlan and iptables", { backend: "vxlan" }, { proxyMode: "iptables" }, false],
  ["vxlan, iptables and policies", { backend: "vxlan" }, { proxyMode: "iptables" }, true],
  ["vxlan and nftables", { backend: "vxlan" }, { proxyMode: "nftables" }, false],
  ["host-gw and iptables", { backend: "host-gw" }, { proxyMode: "iptables" }, false],
  ["host-gw and nftables", { backend: "host-gw" }, { proxyMode: "nftables" }, false],
  [
    "vxlan and iptables with two families",
    { backend: "vxlan" },
    { proxyMode: "iptables", ipFamilies: [4, 6] },
    false,
  ],
  [
    "host-gw and nftables with two families",
    { backend: "host-gw" },
    { proxyMode: "nftables", ipFamilies: [4, 6] },
    false,
  ],
  [
    "host-gw, nftables and policies with two families",
    { backend: "host-gw" },
    { proxyMode: "nftables", ipFamilies: [4, 6] },
    true,
  ],
];

/** One asks another, which may end in several ways. */
interface Probe extends Modelled {
  readonly source: Source;
  readonly target: Target;
}

describe.skipIf(missing !== undefined)(`the shop in real namespaces${why}`, () => {
  test.each(CLUSTERS)(
    "with %s does what probe says",
    { timeout: 300_000 },
    async (_, cni, config, policies) => {
      const cluster = await bringUp(cni, config, policies);
      const prefix = `shop${process.pid}`;
      const made = script(cluster.network, { prefix });
      checkKernel(made);
      const realized = await up(made);
      try {
        const probes = probesOf(cluster);
        const { outcomes, differences } = await compare(cluster, probes, prefix);
        expect(differences).toEqual([]);
        expect(neverMet(probes, outcomes)).toEqual([]);
        expect(probes.filter(isAnswered).length).toBeGreaterThan(1000);
      } finally {
        await realized.remove();
      }
    },
  );
});

async function bringUp(
  cniOptions: CniOptionValues,
  config: Partial<ClusterConfig>,
  policies: boolean,
): Promise<Cluster> {
  const cluster = createCluster({
    cni: flannel,
    cniOptions,
    config,
    register: (root) => {
      registerKubeProxy(root);
      if (policies) registerPolicyAgent(root);
    },
  });
  const objects = [...MANIFESTS, ...(policies ? [POLICIES] : [])].flatMap(
    (file) => parseManifests(readFileSync(file, "utf8"), file).objects,
  );
  cluster.apply(config.ipFamilies === undefined ? objects : objects.map(inBothFamilies));
  await cluster.settled();
  return cluster;
}

/** Services have one family where they do not ask for two. */
function inBothFamilies(object: KubeObject): KubeObject {
  if (object.kind !== "Service") return object;
  const service = object as Service;
  return { ...service, spec: { ...service.spec, ipFamilyPolicy: "RequireDualStack" } } as Service;
}

/** All pairs, each as often as it has outcomes to show. */
function probesOf(cluster: Cluster): Probe[] {
  const targets = targetsOf(cluster);
  return sourcesOf(cluster).flatMap((source) =>
    targets.flatMap((target) => {
      const probe = { source, target, ...modelled(cluster, source, target) };
      return target.backends > 1 ? Array<Probe>(TIMES).fill(probe) : [probe];
    }),
  );
}

function isAnswered({ possible }: Probe): boolean {
  return [...possible].some((outcome) => outcome.startsWith("answered"));
}

interface Comparison {
  /** All that came of asking each target. */
  readonly outcomes: ReadonlyMap<Target, ReadonlySet<string>>;
  readonly differences: readonly string[];
}

async function compare(
  cluster: Cluster,
  probes: readonly Probe[],
  prefix: string,
): Promise<Comparison> {
  const outcomes = new Map(probes.map(({ target }) => [target, new Set<string>()]));
  let open = probes;
  let differences: string[] = [];
  for (let look = 0; look < LOOKS && open.length > 0; look++) {
    const answers = await askForReal(
      cluster.network,
      prefix,
      open.map(({ source, target, teaches }) => ({
        ...target,
        netns: realName(prefix, source.netns),
        alone: teaches,
      })),
    );
    const found = open.map((probe, i) => ({ probe, outcome: heard(answers[i] as RealAnswer) }));
    for (const { probe, outcome } of found) outcomes.get(probe.target)?.add(outcome);
    const wrong = found.filter(({ probe, outcome }) => !probe.possible.has(outcome));
    open = wrong.map(({ probe }) => probe);
    differences = wrong.map(({ probe: { source, target, possible }, outcome }) => {
      const expected = [...possible].join(" or ");
      return `${source.name} asks ${target.name}: ${outcome}, not ${expected}`;
    });
  }
  return { outcomes, differences };
}

/** Who may answer, as the model has it, and never did, though it is one in a million that all others were chosen. */
function neverMet(probes: readonly Probe[], outcomes: Comparison["outcomes"]): string[] {
  const targets = new Set(probes.map(({ target }) => target));
  return [...targets].flatMap((target) => {
    // How likely it is that all who ask are answered by others.
    const unmet = new Map<string, number>();
    for (const { possible } of probes.filter((p) => p.target === target)) {
      const all = new Set([...possible].map(answerer));
      for (const who of all) unmet.set(who, (unmet.get(who) ?? 1) * (1 - 1 / all.size));
    }
    const met = new Set([...(outcomes.get(target) ?? [])].map(answerer));
    const missed = [...unmet].filter(([who, chance]) => chance < 1e-6 && !met.has(who));
    return missed.map(([who]) => `${target.name}: ${who}`);
  });
}

function answerer(outcome: string): string {
  return outcome.replace(/,.*/, "");
}
