import { slicesOf } from "@cnilab/cluster";
import type { EndpointSlice, KubeObject, Protocol } from "@cnilab/core";
import { familyOf, formatIp, type IpAddress, parseIp } from "@cnilab/net";
import {
  evaluate,
  type FlowVerdict,
  icmpNumber,
  outsideEndpoint,
  type PolicyEndpoint,
  type PolicyReader,
  policyEndpoints,
  policyName,
  ruleName,
} from "@cnilab/network-policy";
import { viewWarnings } from "./policy-reader.ts";
import type { Target } from "./target.ts";
import type { Walkable } from "./walkable.ts";

/** What policies alone say of a connection. */
export interface StaticAnswer {
  readonly verdict: string;
  readonly egress: boolean;
  readonly ingress: boolean;
  readonly reason: string;
}

/** What policies say, and what of them is left out of it. */
export interface StaticAnswers {
  readonly ask: (target: Target) => StaticAnswer;
  readonly warnings: readonly string[];
}

/** Answers connections by policies, without sending packets: a Service is reached where each of its ready endpoints is. */
export function staticAnswers(cluster: Walkable, reader: PolicyReader): StaticAnswers {
  const objects = reader.kinds.flatMap((kind): readonly KubeObject[] => [
    ...cluster.api.list(kind),
  ]);
  const view = reader.read(objects);
  const { policies, endpoint, settings } = view;
  const known = new Map<string, PolicyEndpoint>();
  for (const family of [4, 6] as const) {
    for (const each of policyEndpoints(objects, family)) {
      known.set(formatIp(each.address), endpoint(each));
    }
  }
  const at = (address: IpAddress) =>
    known.get(formatIp(address)) ?? endpoint(outsideEndpoint(address));
  const ask = (target: Target): StaticAnswer => {
    const protocol = target.protocol ?? "TCP";
    const found = cluster.locate(target);
    if ("verdict" in found) return { ...found, egress: true, ingress: true };
    const { address, port = 0, holder } = found;
    const own = found.source.find((a) => familyOf(a) === familyOf(address));
    if (own === undefined) return unreachable("the source has no address of that IP version");
    if (protocol === "ICMP") {
      if (holder?.kind === "service")
        return unreachable("no endpoint of a Service is asked by ICMP");
      const flow = {
        source: at(own),
        destination: at(address),
        ...ECHO_REQUEST[familyOf(address)],
      };
      return answerOf([evaluate(policies, flow, settings)]);
    }
    const backends =
      holder?.kind === "service"
        ? backendsOf(
            slicesOf(cluster.api, holder.name),
            address,
            port,
            protocol,
            cluster,
            holder.name,
          )
        : [{ address, port }];
    if (backends.length === 0) return unreachable(`no pod is ready behind ${holder?.name}`);
    const verdicts = backends.map((to) =>
      evaluate(
        policies,
        { source: at(own), destination: at(to.address), protocol, port: to.port },
        settings,
      ),
    );
    return answerOf(verdicts);
  };
  return { ask, warnings: viewWarnings(view) };
}

/** What ping sends. */
const ECHO_REQUEST = {
  4: { protocol: "ICMP", port: icmpNumber(8, 0) },
  6: { protocol: "ICMPv6", port: icmpNumber(128, 0) },
} as const;

function backendsOf(
  slices: readonly EndpointSlice[],
  address: IpAddress,
  port: number,
  protocol: Protocol,
  { api }: Walkable,
  key: string,
): readonly { readonly address: IpAddress; readonly port: number }[] {
  const servicePort = api
    .get("Service", key)
    ?.spec.ports?.find((p) => p.port === port && (p.protocol ?? "TCP") === protocol);
  if (servicePort === undefined) return [];
  return slices
    .filter(({ addressType }) => addressType === (familyOf(address) === 4 ? "IPv4" : "IPv6"))
    .flatMap(({ endpoints, ports = [] }) => {
      const number = ports.find((p) => (p.name ?? "") === (servicePort.name ?? ""))?.port;
      if (number === undefined) return [];
      return endpoints
        .filter(({ conditions }) => conditions?.ready !== false)
        .flatMap(({ addresses }) =>
          addresses.map((ip) => ({ address: parseIp(ip), port: number })),
        );
    });
}

function unreachable(reason: string): StaticAnswer {
  return { verdict: "unreachable", egress: true, ingress: true, reason };
}

/** Allowed where all are. */
function answerOf(verdicts: readonly FlowVerdict[]): StaticAnswer {
  const lost = verdicts.find(({ allowed }) => !allowed);
  if (lost === undefined) {
    return { verdict: "allowed", egress: true, ingress: true, reason: allowedBy(verdicts) };
  }
  const { egress, ingress } = lost;
  return {
    verdict: "blocked",
    egress: egress.allowed,
    ingress: ingress.allowed,
    reason: blockedBy(lost),
  };
}

/** That nothing forbids it, as far as addresses and ports show it. */
function allowedBy(verdicts: readonly FlowVerdict[]): string {
  const sides = verdicts.flatMap(({ egress, ingress }) => [egress, ingress]);
  const rule = sides
    .map(({ steps }) => steps.at(-1)?.rule)
    .find((each) => each?.rule.provided !== undefined);
  if (rule === undefined) return "no policy forbids it";
  return `${ruleName(rule)} allows it, provided that ${rule.rule.provided}`;
}

/** Which rule of which policy forbids it; of both sides, the source's. */
export function blockedBy({ egress, ingress }: FlowVerdict): string {
  const [side, { steps }] = egress.allowed
    ? (["ingress", ingress] as const)
    : (["egress", egress] as const);
  const step = steps.at(-1);
  if (step?.rule !== undefined) return ruleName(step.rule);
  return `no ${side} rule of ${step?.told.map(policyName).join(", ")} allows it`;
}
