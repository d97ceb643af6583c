import type { ServiceSpec } from "@cnilab/core";
import { describe, expect, test } from "vitest";
import { service, slice } from "../../test/objects.ts";
import { endpointsByPort } from "../endpoint.ts";
import { type ServicePort, servicePorts } from "../service-port.ts";
import {
  chooseEndpoints,
  type PlanFacts,
  type PlannedEndpoint,
  planLoadBalancers,
} from "./load-balancer-plan.ts";

const PORTS = [{ port: 80, targetPort: 8080 }];
const CLUSTER_IP: ServiceSpec = { clusterIP: "10.96.0.10", ports: PORTS };
const NODE_PORT: ServiceSpec = {
  ...CLUSTER_IP,
  type: "NodePort",
  ports: [{ port: 80, targetPort: 8080, nodePort: 30_080 }],
};
const LOAD_BALANCER: ServiceSpec = { ...NODE_PORT, type: "LoadBalancer" };
const LOCAL_OUT = { externalTrafficPolicy: "Local" } as const;
const LOCAL_IN = { internalTrafficPolicy: "Local" } as const;
const INGRESS = ["198.51.100.1"];

function portOf(spec: ServiceSpec, ingress: readonly string[] = []): ServicePort {
  const [port] = servicePorts(service("web", spec, { ingress }), 4);
  if (port === undefined) throw new Error("no port");
  return port;
}

/** Seen from node w: `+` where node ports and external addresses may be programmed. */
function chosen(port: ServicePort, texts: readonly string[]): string {
  const slices = [slice("web", [{ port: 8080 }], texts)];
  const endpoints = endpointsByPort(slices, 4).get("/tcp") ?? [];
  const { usable, available } = chooseEndpoints(port, endpoints, "w");
  return [...usable.map((e) => e.ip.slice("10.0.0.".length)), available ? "+" : "-"].join(" ");
}

// `!` is not ready, `~` ends but serves, `%` ends and does not serve.
describe("endpoints", () => {
  test.each<[string, ServicePort, string[], string]>([
    [
      "ready ones anywhere",
      portOf(CLUSTER_IP),
      ["10.0.0.1@w", "10.0.0.2@x", "10.0.0.3@x!"],
      "1 2 +",
    ],
    ["no fallback to ending ones without ingress", portOf(NODE_PORT), ["10.0.0.1@x~"], "+"],
    [
      "with ingress, ending ones that serve",
      portOf(LOAD_BALANCER, INGRESS),
      ["10.0.0.1@x~", "10.0.0.2@x%"],
      "1 -",
    ],
    [
      "with ingress, ready ones before ending ones",
      portOf(LOAD_BALANCER, INGRESS),
      ["10.0.0.1@x~", "10.0.0.2@x"],
      "2 +",
    ],
    [
      "with ingress, all of them where none serves",
      portOf(LOAD_BALANCER, INGRESS),
      ["10.0.0.1@x%", "10.0.0.2@x!"],
      "1 2 -",
    ],
    [
      "external Local counts this node's ending ones",
      portOf({ ...LOAD_BALANCER, ...LOCAL_OUT }, INGRESS),
      ["10.0.0.1@w~", "10.0.0.2@x"],
      "1 2 -",
    ],
    [
      "internal and external Local keep out the others",
      portOf({ ...NODE_PORT, ...LOCAL_OUT, ...LOCAL_IN }),
      ["10.0.0.1@w", "10.0.0.2@x"],
      "1 +",
    ],
    [
      "internal Local alone keeps them for outside",
      portOf({ ...NODE_PORT, ...LOCAL_IN }),
      ["10.0.0.1@w", "10.0.0.2@x"],
      "1 2 +",
    ],
  ])("%s", (_what, port, texts, expected) => {
    expect(chosen(port, texts)).toBe(expected);
  });
});

const HERE: PlannedEndpoint = { hnsId: "here", isLocal: true, port: 8080 };
const THERE: PlannedEndpoint = { hnsId: "there", isLocal: false, port: 8081 };

/** One line a load balancer: `slot: VIP:port/protocol>port endpoints [flags]`. */
function planned(
  spec: ServiceSpec,
  facts: Partial<PlanFacts> = {},
  ingress: readonly string[] = [],
): string[] {
  const plan = planLoadBalancers(portOf(spec, ingress), {
    config: { enableDSR: true, forwardHealthCheckVip: false },
    isIPv6: false,
    endpoints: [HERE, THERE],
    available: true,
    sourceVip: "",
    rootEndpoint: undefined,
    healthzPort: 10_256,
    ...facts,
  });
  return plan.map(({ slot, settings }) => {
    if (typeof settings === "string") return `${slot}: ${settings}`;
    const [mapping] = settings.PortMappings;
    const { ExternalPort, InternalPort, Protocol, DistributionType, Flags } = mapping ?? {};
    const vip = settings.FrontendVIPs.join() || "*";
    const details = [
      `flags ${settings.Flags}/${Flags}`,
      ...(DistributionType === 0 ? [] : [`distribution ${DistributionType}`]),
      ...(settings.SourceVIP === "" ? [] : [`as ${settings.SourceVIP}`]),
    ];
    const to = settings.HostComputeEndpoints.join("+");
    return `${slot}: ${vip}:${ExternalPort}/${Protocol}>${InternalPort} ${to} [${details.join(", ")}]`;
  });
}

describe("load balancers", () => {
  test.each<[string, string[], string[]]>([
    ["a cluster IP", planned(CLUSTER_IP), ["cluster: 10.96.0.10:80/6>8081 here+there [flags 1/0]"]],
    [
      "without DSR, from the source VIP",
      planned(CLUSTER_IP, {
        config: { enableDSR: false, forwardHealthCheckVip: false },
        sourceVip: "10.244.1.2",
      }),
      ["cluster: 10.96.0.10:80/6>8081 here+there [flags 0/0, as 10.244.1.2]"],
    ],
    [
      "affinity",
      planned({ ...CLUSTER_IP, sessionAffinity: "ClientIP" }),
      ["cluster: 10.96.0.10:80/6>8081 here+there [flags 1/0, distribution 2]"],
    ],
    [
      "the last endpoint's port for all",
      planned(CLUSTER_IP, { endpoints: [THERE, HERE] }),
      ["cluster: 10.96.0.10:80/6>8080 there+here [flags 1/0]"],
    ],
    [
      "IPv6",
      planned(CLUSTER_IP, { isIPv6: true }),
      ["cluster: 10.96.0.10:80/6>8081 here+there [flags 3/0]"],
    ],
    [
      "a node port, on all of the node's addresses",
      planned(NODE_PORT),
      [
        "cluster: 10.96.0.10:80/6>8081 here+there [flags 1/0]",
        "nodePort: *:30080/6>8081 here+there [flags 0/18]",
      ],
    ],
    [
      "external policy Local: this node's endpoints, by DSR",
      planned({ ...NODE_PORT, ...LOCAL_OUT }),
      [
        "cluster: 10.96.0.10:80/6>8081 here+there [flags 1/0]",
        "nodePort: *:30080/6>8080 here [flags 1/18]",
      ],
    ],
    [
      "external policy Local without endpoints here",
      planned({ ...NODE_PORT, ...LOCAL_OUT }, { endpoints: [THERE] }),
      ["cluster: 10.96.0.10:80/6>8081 there [flags 1/0]", "nodePort: remove"],
    ],
    [
      "internal policy Local",
      planned({ ...NODE_PORT, ...LOCAL_IN }),
      [
        "cluster: 10.96.0.10:80/6>8080 here [flags 1/0]",
        "nodePort: *:30080/6>8081 here+there [flags 0/18]",
      ],
    ],
    [
      "external and ingress addresses",
      planned({ ...LOAD_BALANCER, externalIPs: ["198.51.100.9"] }, {}, INGRESS),
      [
        "cluster: 10.96.0.10:80/6>8081 here+there [flags 1/0]",
        "nodePort: *:30080/6>8081 here+there [flags 0/18]",
        "external 198.51.100.9: 198.51.100.9:80/6>8081 here+there [flags 0/16]",
        "ingress 198.51.100.1: 198.51.100.1:80/6>8081 here+there [flags 0/16]",
      ],
    ],
    [
      "while all endpoints end, what is there from outside stays, but for ingress",
      planned({ ...LOAD_BALANCER, externalIPs: ["198.51.100.9"] }, { available: false }, INGRESS),
      [
        "cluster: 10.96.0.10:80/6>8081 here+there [flags 1/0]",
        "nodePort: leave",
        "external 198.51.100.9: leave",
        "ingress 198.51.100.1: 198.51.100.1:80/6>8081 here+there [flags 0/16]",
      ],
    ],
    [
      "health checks to the host where they are forwarded",
      planned(
        { ...LOAD_BALANCER, ...LOCAL_OUT, healthCheckNodePort: 30_999 },
        { config: { enableDSR: true, forwardHealthCheckVip: true }, rootEndpoint: "root" },
        INGRESS,
      ).slice(-1),
      ["health 198.51.100.1: 198.51.100.1:30999/6>30999 root [flags 0/0]"],
    ],
  ])("%s", (_what, plan, expected) => {
    expect(plan).toEqual(expected);
  });
});
