import {
  type Container,
  type KubeObject,
  type NetworkPolicy,
  objectKey,
  type PodSpec,
  type Service,
} from "@cnilab/core";
import { type Configured, configuredByVariable } from "./configured.ts";

type Fields = Readonly<Record<string, unknown>>;

/** What is written by hand in manifests. Objects are the input's own, without what the API server fills in. */
export function kubernetesConfigured(objects: readonly KubeObject[]): Configured[] {
  const known = new Set(
    objects.filter(({ kind }) => kind === "Service").map(({ metadata }) => metadata.name),
  );
  return objects.flatMap((object) => {
    const where = `${object.kind} ${objectKey(object)}`;
    const spec = (object as { readonly spec?: Fields }).spec ?? {};
    switch (object.kind) {
      case "Service":
        return ofService(object as Service, where);
      case "Ingress":
        return listOf(spec["rules"]).flatMap((rule) => hosts([(rule as Fields)["host"]], where));
      case "HTTPRoute":
      case "GRPCRoute":
      case "TLSRoute":
        return hosts(listOf(spec["hostnames"]), where);
      case "Gateway":
        return listOf(spec["listeners"]).flatMap((listener) => ofListener(listener, where));
      case "Endpoints":
      case "EndpointSlice":
        return ofEndpoints(object, where);
      // As variables that containers get; whole files are not looked into, on neither side.
      case "ConfigMap":
        return Object.entries((object as { readonly data?: Record<string, string> }).data ?? {})
          .filter(([, value]) => !value.includes("\n"))
          .flatMap((pair) => configuredByVariable(pair, known, where));
    }
    if (object.kind.endsWith("NetworkPolicy")) return ofPolicy(object, where);
    const pod = podSpecOf(object);
    return pod === undefined ? [] : ofPod(pod, known, where);
  });
}

function ofService({ spec }: Service, where: string): Configured[] {
  const address = (what: string, why: string): Configured => ({
    kind: "addresses",
    what,
    where,
    why,
  });
  const fixed = spec.clusterIP === undefined || ["", "None"].includes(spec.clusterIP);
  return [
    {
      kind: "names",
      what: spec.externalName === undefined ? "its name" : `externalName ${spec.externalName}`,
      where,
      why: "pods come and go, and have no names of their own: a Service is what others ask for",
    },
    ...(spec.ports ?? []).flatMap((port): Configured[] => [
      {
        kind: "ports",
        what: `${port.port} to ${port.targetPort ?? port.port}/${(port.protocol ?? "TCP").toLowerCase()}`,
        where,
        why: "a Service has an address of its own, so its ports are free to choose",
      },
      ...(port.nodePort === undefined
        ? []
        : [
            {
              kind: "ports",
              what: `nodePort ${port.nodePort}`,
              where,
              why: "nodes' addresses are shared by all Services, so their ports must differ",
            } as const,
          ]),
    ]),
    ...(fixed ? [] : [address(`clusterIP ${spec.clusterIP}`, "somebody knows it by its address")]),
    ...(spec.loadBalancerIP === undefined
      ? []
      : [address(`loadBalancerIP ${spec.loadBalancerIP}`, "the world knows it by its address")]),
    ...(spec.externalIPs ?? []).map((ip) =>
      address(`externalIP ${ip}`, "somebody routes this address to the nodes"),
    ),
    ...(spec.loadBalancerSourceRanges ?? []).map(
      (range): Configured => ({
        kind: "rules",
        what: `source range ${range}`,
        where,
        why: "who may ask from outside",
      }),
    ),
  ];
}

function ofPolicy(object: KubeObject, where: string): Configured[] {
  const spec = (object as NetworkPolicy).spec ?? {};
  const rules = [...listOf(spec.ingress), ...listOf(spec.egress)];
  const ranges = JSON.stringify(rules).match(/"(?:cidr|nets)":"[^"]+"/g) ?? [];
  return [
    {
      kind: "rules",
      what: "selects pods",
      where,
      why: "all pods reach each other until a policy selects one",
    },
    ...rules.map(
      (_, i): Configured => ({
        kind: "rules",
        what: `rule ${i + 1}`,
        where,
        why: "who is to talk to whom is written as labels",
      }),
    ),
    ...ranges.map(
      (range): Configured => ({
        kind: "addresses",
        what: range.replaceAll('"', "").replace(":", " "),
        where,
        why: "who has no labels is named by its address",
      }),
    ),
  ];
}

function hosts(names: readonly unknown[], where: string): Configured[] {
  return names
    .filter((host) => typeof host === "string")
    .map((host) => ({
      kind: "names",
      what: `host ${host}`,
      where,
      why: "the world asks for it so",
    }));
}

function ofListener(listener: unknown, where: string): Configured[] {
  const { port, protocol, hostname } = listener as Fields;
  return [
    {
      kind: "ports",
      what: `${port}/${String(protocol).toLowerCase()}`,
      where,
      why: "a Gateway's listeners share its address, so their ports or hosts must differ",
    },
    ...hosts([hostname], where),
  ];
}

/** Of a Service without a selector. */
function ofEndpoints(object: KubeObject, where: string): Configured[] {
  const { subsets, endpoints } = object as unknown as Fields;
  const addresses = [
    ...listOf(subsets)
      .flatMap((subset) => listOf((subset as Fields)["addresses"]))
      .map((address) => (address as Fields)["ip"]),
    ...listOf(endpoints).flatMap((endpoint) => listOf((endpoint as Fields)["addresses"])),
  ];
  return addresses.map((address) => ({
    kind: "addresses",
    what: `endpoint ${address}`,
    where,
    why: "no selector finds who is behind the Service",
  }));
}

function ofPod(spec: PodSpec, known: ReadonlySet<string>, where: string): Configured[] {
  const containers: readonly Container[] = [...(spec.initContainers ?? []), ...spec.containers];
  return [
    ...(spec.hostAliases ?? []).flatMap(({ ip, hostnames = [] }) => [
      {
        kind: "addresses",
        what: `hostAliases ${ip}`,
        where,
        why: "the cluster's DNS does not know it",
      } as const,
      ...hostnames.map(
        (name): Configured => ({
          kind: "names",
          what: `hostAliases ${name}`,
          where,
          why: "the cluster's DNS does not know it",
        }),
      ),
    ]),
    ...(spec.hostname === undefined
      ? []
      : [
          {
            kind: "names",
            what: `hostname ${spec.hostname}`,
            where,
            why: "what it calls itself",
          } as const,
        ]),
    ...(spec.dnsConfig?.nameservers ?? []).map(
      (server): Configured => ({
        kind: "addresses",
        what: `nameserver ${server}`,
        where,
        why: "names are asked for elsewhere",
      }),
    ),
    ...(spec.hostNetwork === true
      ? [
          {
            kind: "rules",
            what: "hostNetwork",
            where,
            why: "it has no network of its own",
          } as const,
        ]
      : []),
    ...containers.flatMap(({ ports = [], env = [] }) => [
      ...ports.flatMap(({ hostPort }): Configured[] =>
        hostPort === undefined
          ? []
          : [
              {
                kind: "ports",
                what: `hostPort ${hostPort}`,
                where,
                why: "a node's address is one for all its pods, so its ports must differ",
              },
            ],
      ),
      ...env.flatMap(({ name, value }) =>
        value === undefined ? [] : configuredByVariable([name, value], known, where),
      ),
    ]),
  ];
}

/** Of a pod, or of what makes pods. */
function podSpecOf(object: KubeObject): PodSpec | undefined {
  const spec = (object as { readonly spec?: Fields }).spec;
  if (spec === undefined) return undefined;
  if (object.kind === "Pod") return spec as unknown as PodSpec;
  const job = spec["jobTemplate"] as { readonly spec?: Fields } | undefined;
  const template = (job?.spec ?? spec)["template"] as { readonly spec?: PodSpec } | undefined;
  return template?.spec?.containers === undefined ? undefined : template.spec;
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
