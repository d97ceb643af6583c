import type { ServiceEndpoint, ServiceStep } from "../services.ts";
import type { Flow } from "../topology.ts";
import type { Choice } from "./choice.ts";
import { type Attachment, addressOf, type Plan } from "./plan.ts";

/**
 * Nodes as kube-proxy programs them: one router or all are nodes, each with the same Services in iptables
 * or in nftables mode. @returns what the Services can be called by
 */
export function services(plan: Plan, choice: Choice): readonly ServiceStep[] {
  const nodes = choice.several(plan.routers).map((netns) => ({
    netns,
    mode: choice.pick(["iptables", "nftables"] as const),
  }));
  const made = Array.from({ length: choice.between(1, 5) }, (_, i) => service(plan, choice, i));
  const steps = nodes.flatMap(({ netns, mode }) =>
    made.map(({ targets, ...rest }): ServiceStep => {
      const endpoints = targets.map(({ at, family, state }) => ({
        address: addressOf(family, at),
        local: isOn(plan, at, netns),
        state,
      }));
      return { do: "service", netns, mode, ...rest, endpoints };
    }),
  );
  for (const step of steps) plan.add(step);
  return steps;
}

interface Target {
  readonly at: Attachment;
  readonly family: 4 | 6;
  readonly state: ServiceEndpoint["state"];
}

type ServicePlan = Omit<ServiceStep, "do" | "netns" | "mode" | "endpoints"> & {
  readonly targets: readonly Target[];
};

function service(plan: Plan, choice: Choice, i: number): ServicePlan {
  const family = choice.family();
  const protocol = choice.pick(["TCP", "TCP", "UDP"] as const);
  const pods = plan.attachments.filter((a) => plan.hosts.includes(a.netns));
  const targets = Array.from({ length: choice.pick([0, 1, 1, 1, 2, 3]) }, () => ({
    at: choice.pick(pods),
    family,
    state: choice.pick(["ready", "ready", "ready", "not ready", "serving", "terminating"] as const),
  }));
  const virtual = (net4: string, net6: string): string =>
    family === 4 ? `${net4}.${10 + i}` : `${net6}::${10 + i}`;
  const external = choice.below(4);
  return {
    name: `s${i}`,
    family,
    protocol,
    targetPort: protocol === "TCP" ? 80 : 53,
    clusterIP: virtual("10.96.0", "fd00:96"),
    internalLocal: choice.chance(20),
    externalLocal: choice.chance(30),
    affinity: choice.chance(15),
    targets: targets.filter((t, n) => targets.findIndex((x) => x.at === t.at) === n),
    ...(external === 1 || external === 2 ? { nodePort: 30_000 + i } : {}),
    ...(external === 2 ? { loadBalancerIP: virtual("198.18.0", "fd00:18") } : {}),
    ...(external === 2 && choice.chance(40)
      ? { sourceRanges: [family === 4 ? "10.0.2.0/23" : "fd00:0:0:2::/63"] }
      : {}),
    ...(external === 3 ? { externalIP: virtual("203.0.113", "fd00:113") } : {}),
  };
}

/** Whether a pod's router is this one. */
function isOn(plan: Plan, pod: Attachment, netns: string): boolean {
  return plan.attachments.some((a) => a.netns === netns && a.subnet === pod.subnet && a.host === 1);
}

/** How often a Service is called of which the kernel chooses an endpoint. */
const TRIES = 4;

/** A flow to one of the addresses of a Service; several alike where an endpoint is chosen. */
export function serviceFlows(plan: Plan, choice: Choice, all: readonly ServiceStep[]): Flow[] {
  const { family, protocol, ...service } = choice.pick(all);
  const netns = choice.pick(choice.chance(75) ? plan.hosts : plan.routers);
  const node = choice.pick(plan.attachmentsOf(service.netns));
  const [dst, dstPort] = choice.pick<readonly [string | undefined, number]>([
    [service.clusterIP, 80],
    [service.clusterIP, 80],
    [service.clusterIP, 81],
    [service.loadBalancerIP, 80],
    [service.externalIP, 80],
    [service.nodePort === undefined ? undefined : addressOf(family, node), service.nodePort ?? 0],
  ]);
  const flow: Flow = {
    netns,
    protocol: protocol === "TCP" ? "tcp" : "udp",
    dst: dst ?? service.clusterIP,
    dstPort: dst === undefined ? 80 : dstPort,
    length: protocol === "TCP" ? 0 : choice.pick([64, 64, 1440, 2000]),
  };
  return Array.from({ length: service.endpoints.length > 1 ? TRIES : 1 }, () => ({ ...flow }));
}
