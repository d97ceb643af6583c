import { cilium, ciliumPolicyReader } from "@cnilab/cilium";
import { type Cluster, createCluster } from "@cnilab/cluster";
import type { Kind, KubeObject } from "@cnilab/core";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import { type IpFamily, parseIp } from "@cnilab/net";
import {
  icmpNumber,
  outsideEndpoint,
  PolicyAnalysis,
  policyEndpoints,
} from "@cnilab/network-policy";
import fc from "fast-check";
import { expect, test } from "vitest";
import * as ofCilium from "./arbitrary-cilium.ts";
import { applyValid, type Probe, withoutStatus } from "./differences.ts";

const OUTSIDE: Readonly<Record<IpFamily, readonly string[]>> = {
  4: ["10.9.0.1", "10.9.129.1", "203.0.113.5"],
  6: ofCilium.OUTSIDE_IPV6,
};

const PROBES: readonly Probe[] = [
  ["TCP", 80, "TCP"],
  ["TCP", 443, "TCP"],
  ["TCP", 8080, "TCP"],
  ["UDP", 80, "UDP"],
  ["ICMP", 0, "ICMP"],
];

const PING = {
  4: ["ICMP", icmpNumber(8, 0)],
  6: ["ICMPv6", icmpNumber(128, 0)],
} as const;

async function withoutPolicies(
  objects: readonly KubeObject[],
  cniOptions: Readonly<Record<string, string | boolean>>,
  family: IpFamily,
): Promise<Cluster> {
  const defaults = Object.fromEntries(cilium.options.map((each) => [each.key, each.default]));
  const cluster = createCluster({
    config: { ipFamilies: [family] },
    cni: cilium,
    cniOptions: { ...defaults, ...cniOptions },
    resources: cilium.resources ?? [],
    listen: "all",
    register: registerKubeProxy,
  });
  cluster.apply(
    objects.filter(({ kind }) => ["Namespace", "Node", "Pod"].includes(kind)).map(withoutStatus),
  );
  await cluster.settled();
  return cluster;
}

/** Proxies are not asked here: what they would let through is all. */
function withoutProxies(policy: KubeObject): KubeObject {
  return JSON.parse(JSON.stringify(policy), (key, value) =>
    key === "rules" || key === "serverNames" ? undefined : value,
  ) as KubeObject;
}

/** Which of all pairs fare otherwise than the analysis says. */
function differences(
  cluster: Cluster,
  options: Readonly<Record<string, string | boolean>>,
  probes: readonly Probe[],
  family: IpFamily,
): readonly string[] {
  const reader = ciliumPolicyReader.withOptions?.(options) ?? ciliumPolicyReader;
  const objects = reader.kinds.flatMap((kind: Kind): readonly KubeObject[] => [
    ...cluster.api.list(kind),
  ]);
  const { policies, endpoint, settings } = reader.read(objects);
  const known = policyEndpoints(objects, family).filter(
    ({ pod }) => pod?.namespace !== "kube-system",
  );
  const ends = [...known, ...OUTSIDE[family].map((text) => outsideEndpoint(parseIp(text)))].map(
    endpoint,
  );
  const analysis = new PolicyAnalysis(policies, ends, settings);
  return ends.flatMap((source, s) =>
    ends.flatMap((destination, d) => {
      if (s === d || (source.node === undefined && destination.node === undefined)) return [];
      return probes.flatMap(([sent, port, protocol]) => {
        cluster.forgetConnections();
        const { verdict, reason } = cluster.connect({
          from: cluster.endpoint(source.name),
          to: cluster.endpoint(destination.name),
          protocol: sent,
          ...(sent !== "ICMP" && { port }),
        });
        const [name, number] = sent === "ICMP" ? PING[family] : [protocol, port];
        const { egress, ingress } = analysis.verdict(s, d, name, number);
        const wanted = egress && ingress ? "allowed" : "blocked";
        if (verdict === wanted) return [];
        return [
          `${source.name} (${source.node}) -> ${destination.name} (${destination.node}) ${sent}/${port}: ${verdict} (${reason}), by policies egress ${egress}, ingress ${ingress}`,
        ];
      });
    }),
  );
}

const RUNS = Number(process.env["CNILAB_POLICY_RUNS"] ?? 20);
const probes = fc.subarray([...PROBES], { minLength: 2, maxLength: 2 });
const options = fc.record(
  {
    policyEnforcementMode: fc.constantFrom("default", "default", "always"),
    routingMode: fc.constantFrom("tunnel", "native"),
    "hostFirewall.enabled": fc.boolean(),
  },
  { requiredKeys: [] },
);

test.each([4, 6] as const)(
  "Cilium lets packets through where the analysis of policies says so (IPv%i)",
  async (family) => {
    await fc.assert(
      fc.asyncProperty(
        ofCilium.cluster,
        ofCilium.policies,
        options,
        probes,
        async (objects, given, chosen, asked) => {
          // What tunnels carry is the nodes' own traffic, too, which their policies would have to allow.
          const isNative =
            chosen.routingMode === "native" || chosen["hostFirewall.enabled"] === true;
          const settings = {
            ...chosen,
            // Policies of nodes hold for neighbour solicitations, too: whom they do not allow a node does not find.
            ...(family === 6 && { "hostFirewall.enabled": false }),
            ...(isNative && { routingMode: "native", autoDirectNodeRoutes: true }),
          };
          const cluster = await withoutPolicies(objects, settings, family);
          const around = objects.filter(
            ({ kind, metadata }) =>
              ["CiliumCIDRGroup", "Service", "EndpointSlice"].includes(kind) &&
              metadata.name !== "kubernetes-1",
          );
          applyValid(cluster, [...around, ...given.map(withoutProxies)]);
          await cluster.settled();
          expect(differences(cluster, settings, asked, family)).toEqual([]);
        },
      ),
      { numRuns: RUNS, seed: 9 },
    );
  },
  600_000,
);
