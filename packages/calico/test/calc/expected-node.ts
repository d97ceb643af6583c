import { type EndpointSlice, type KubeObject, kindOf, objectKey, type Pod } from "@cnilab/core";
import { parsePrefix } from "@cnilab/net";
import { hostEndpointMessage, workloadEndpointMessage } from "../../src/calc/endpoint-messages.ts";
import { endpointTiers } from "../../src/calc/endpoint-tiers.ts";
import { contribution, networkSetNets } from "../../src/calc/ip-set-contribution.ts";
import type { IpSetDefinition } from "../../src/calc/ip-set-definition.ts";
import type { PolicyId, PolicyKind } from "../../src/calc/messages.ts";
import { scanPolicy, scanProfile } from "../../src/calc/rule-scanner.ts";
import { sliceMembers } from "../../src/calc/slice-members.ts";
import {
  hasWorkloadEndpoint,
  type ModelEndpointPort,
  type ModelPolicy,
  type ModelProfile,
  type ModelTier,
  modelGlobalNetworkPolicy,
  modelGlobalNetworkSet,
  modelHostEndpoint,
  modelNetworkPolicy,
  modelNetworkSet,
  modelProfile,
  modelStagedNetworkPolicy,
  modelTier,
  modelWorkloadEndpoint,
  namespaceProfile,
  parseSelector,
  policyIdText,
  serviceAccountProfile,
  type v3,
  workloadEndpointOf,
} from "../../src/index.ts";

interface Endpoint {
  readonly node: string | undefined;
  readonly labels: ReadonlyMap<string, string>;
  readonly profileIds: readonly string[];
  readonly nets: readonly string[];
  readonly ports: readonly ModelEndpointPort[];
}

/** What a node is to have, worked out from all objects by asking every selector about everything, without an index or a class. */
export function expectedNode(node: string, objects: readonly KubeObject[]): unknown {
  const world = readWorld(objects);
  const local = world.endpoints.filter((each) => each.node === node);
  const selecting = (endpoint: Endpoint) =>
    world.policies.filter(({ policy }) =>
      parseSelector(policy.selector).matches(labelsOf(endpoint, world.profiles)),
    );
  const tiersOf = (endpoint: Endpoint) => endpointTiers(selecting(endpoint), world.tiers);
  const active = world.policies.filter(
    (each) =>
      each.policy.performanceHints.includes("AssumeNeededOnEveryNode") ||
      local.some((endpoint) => selecting(endpoint).includes(each)),
  );
  const policies = active.map(
    ({ id, policy }) => [policyIdText(id), scanPolicy(id, policy, parseSelector)] as const,
  );
  const deny = [{ action: "deny", source: {}, destination: {} }] as const;
  const profiles = [...new Set(local.flatMap(({ profileIds }) => profileIds))].map((name) => {
    const rules = world.profiles.get(name) ?? { inboundRules: deny, outboundRules: deny };
    return [name, scanProfile(name, rules, parseSelector)] as const;
  });
  const definitions = new Map(
    [...policies, ...profiles].flatMap(([, { ipSets }]) =>
      ipSets.map((each) => [each.id, each] as const),
    ),
  );
  return {
    policies: Object.fromEntries(policies.map(([key, { message }]) => [key, message])),
    profiles: Object.fromEntries(profiles.map(([key, { message }]) => [key, message])),
    workloads: Object.fromEntries(
      world.workloads
        .filter((each) => each.node === node)
        .map(({ id, model, endpoint }) => [id, workloadEndpointMessage(model, tiersOf(endpoint))]),
    ),
    hosts: Object.fromEntries(
      world.hosts
        .filter(({ model }) => model.hostname === node)
        .map(({ id, model, endpoint }) => [id, hostEndpointMessage(model, tiersOf(endpoint))]),
    ),
    ipSets: Object.fromEntries(
      [...definitions].map(([id, definition]) => [
        id,
        { type: definition.type, members: membersOf(definition, world).sort() },
      ]),
    ),
  };
}

type World = ReturnType<typeof readWorld>;

function readWorld(objects: readonly KubeObject[]) {
  const tiers = new Map<string, ModelTier>();
  const profiles = new Map<string, ModelProfile>();
  const policies: { readonly id: PolicyId; readonly policy: ModelPolicy }[] = [];
  const endpoints: Endpoint[] = [];
  const workloads: {
    readonly id: string;
    readonly node: string;
    readonly model: NonNullable<ReturnType<typeof modelWorkloadEndpoint>>;
    readonly endpoint: Endpoint;
  }[] = [];
  const hosts: {
    readonly id: string;
    readonly model: ReturnType<typeof modelHostEndpoint>;
    readonly endpoint: Endpoint;
  }[] = [];
  const slices: ReturnType<typeof sliceMembers>[] = [];
  const addPolicy = (object: KubeObject, kind: PolicyKind, policy: ModelPolicy | undefined) => {
    const { name, namespace } = object.metadata;
    if (policy !== undefined)
      policies.push({
        id: namespace === undefined ? { name, kind } : { name, namespace, kind },
        policy,
      });
  };
  for (const object of objects) {
    const { name } = object.metadata;
    const kind: string = kindOf(object);
    if (kind === "Tier.projectcalico.org") tiers.set(name, modelTier(object as v3.Tier));
    else if (kind === "Profile.projectcalico.org")
      profiles.set(name, modelProfile(object as v3.Profile));
    else if (kind === "Namespace")
      profiles.set(`kns.${name}`, modelProfile(namespaceProfile(object)));
    else if (kind === "ServiceAccount") {
      profiles.set(
        `ksa.${object.metadata.namespace}.${name}`,
        modelProfile(serviceAccountProfile(object)),
      );
    } else if (kind === "NetworkPolicy.projectcalico.org") {
      addPolicy(object, "NetworkPolicy", modelNetworkPolicy(object as v3.NetworkPolicy));
    } else if (kind === "GlobalNetworkPolicy.projectcalico.org") {
      addPolicy(
        object,
        "GlobalNetworkPolicy",
        modelGlobalNetworkPolicy(object as v3.GlobalNetworkPolicy),
      );
    } else if (kind === "StagedNetworkPolicy.projectcalico.org") {
      addPolicy(
        object,
        "StagedNetworkPolicy",
        modelStagedNetworkPolicy(object as v3.StagedNetworkPolicy),
      );
    } else if (kind === "EndpointSlice") slices.push(sliceMembers(object as EndpointSlice));
    else if (
      kind === "NetworkSet.projectcalico.org" ||
      kind === "GlobalNetworkSet.projectcalico.org"
    ) {
      const set = kind.startsWith("Global")
        ? modelGlobalNetworkSet(object as v3.GlobalNetworkSet)
        : modelNetworkSet(object as v3.NetworkSet);
      endpoints.push({ ...set, node: undefined, nets: networkSetNets(set.nets), ports: [] });
    } else if (kind === "HostEndpoint.projectcalico.org") {
      const model = modelHostEndpoint(object as v3.HostEndpoint);
      const endpoint = {
        ...model,
        node: model.hostname,
        nets: model.expectedIpv4Addrs.map((ip) => `${ip}/32`),
      };
      endpoints.push(endpoint);
      hosts.push({ id: name, model, endpoint });
    } else if (kind === "Pod" && hasWorkloadEndpoint(object as Pod)) {
      const wep = workloadEndpointOf(object as Pod);
      const model = modelWorkloadEndpoint(wep);
      if (model === undefined) continue;
      const endpoint = {
        ...model,
        node: wep.spec.node,
        nets: [...model.ipv4Nets, ...model.ipv6Nets],
      };
      endpoints.push(endpoint);
      workloads.push({ id: `k8s/${objectKey(object)}/eth0`, node: wep.spec.node, model, endpoint });
    }
  }
  return { tiers, profiles, policies, endpoints, workloads, hosts, slices };
}

function labelsOf(
  { labels, profileIds }: Endpoint,
  profiles: World["profiles"],
): ReadonlyMap<string, string> {
  const inherited = profileIds
    .toReversed()
    .flatMap((name) => [...(profiles.get(name)?.labels ?? [])]);
  return new Map([...inherited, ...labels]);
}

function membersOf(definition: IpSetDefinition, { endpoints, profiles, slices }: World): string[] {
  if ("service" in definition) {
    const own = slices.filter(({ service }) => service === definition.service);
    return [
      ...new Set(
        own.flatMap((slice) => (definition.type === "NET" ? slice.addresses : slice.withPorts)),
      ),
    ];
  }
  const matching = endpoints.filter((each) =>
    definition.selector.matches(labelsOf(each, profiles)),
  );
  const members = [...new Set(matching.flatMap((each) => contribution(definition, each)))];
  if (definition.type !== "NET") return members;
  return members.filter((member) => {
    const prefix = parsePrefix(member);
    return !members.some((other) => other !== member && parsePrefix(other).covers(prefix));
  });
}
