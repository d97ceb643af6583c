import type { KubeObject } from "@cnilab/core";
import { parseIp } from "@cnilab/net";
import {
  type Direction,
  evaluate,
  outsideEndpoint,
  type PeerTerm,
  type Policy,
  PolicyAnalysis,
  type PolicyEndpoint,
  type PortTerm,
  policyEndpoints,
  type Rule,
  type SideVerdict,
} from "@cnilab/network-policy";
import { calicoPolicyReader } from "../../src/analyse/policy-reader.ts";
import { ruleHits } from "../../src/analyse/rule-hits.ts";
import { ipProtocol } from "../../src/analyse/rule-terms.ts";
import type { GoldenRun } from "./golden-run.ts";

interface Flow {
  readonly src: string;
  readonly dst: string;
  readonly proto: number;
  readonly sport: number;
  readonly dport: number;
  /** At an end that is a pod. */
  readonly egress?: "Allow" | "Deny";
  readonly ingress?: "Allow" | "Deny";
  readonly allowed: boolean;
  readonly trace?: readonly string[];
  /** Where Calico's own checker is wrong. */
  readonly checkerAllowed?: boolean;
}

interface PolicyFlows {
  readonly resources: readonly KubeObject[];
  readonly flows: readonly Flow[];
}

/** What policies say of flows, by evaluation of each and by the analysis of all pairs, and which rules said it. */
export const policyAnalysis: GoldenRun<PolicyFlows> = ({ resources, flows }) => {
  const { policies, settings, endpoint } = calicoPolicyReader.read(resources);
  const checker = policies.map(asCheckerSees);
  const known = new Map(policyEndpoints(resources).map((each) => [each.name, endpoint(each)]));
  for (const { src, dst } of flows) {
    for (const name of [src, dst]) {
      if (!known.has(name)) known.set(name, endpoint(outsideEndpoint(parseIp(name))));
    }
  }
  const endpoints = [...known.values()];
  const places = new Map([...known.keys()].map((name, i) => [name, i]));
  const analyses = new Map<number, PolicyAnalysis>();
  const wrong: string[] = [];
  for (const flow of flows) {
    const { src, dst, proto, sport, dport } = flow;
    const [source, destination] = [known.get(src), known.get(dst)] as [
      PolicyEndpoint,
      PolicyEndpoint,
    ];
    const protocol = ipProtocol({ number: proto });
    const what = `${src}:${sport} -> ${dst}:${dport} protocol ${proto}`;
    const asked = { source, destination, protocol, port: dport, sourcePort: sport };
    const { egress, ingress } = evaluate(policies, asked, settings);
    const expected = { egress: flow.egress !== "Deny", ingress: flow.ingress !== "Deny" };
    const compare = (
      who: string,
      found: { readonly egress: boolean; readonly ingress: boolean },
    ) => {
      if (found.egress === expected.egress && found.ingress === expected.ingress) return;
      wrong.push(`${what}: ${who} says ${JSON.stringify(found)}, not ${JSON.stringify(expected)}`);
    };
    compare("evaluation", { egress: egress.allowed, ingress: ingress.allowed });
    let analysis = analyses.get(sport);
    if (analysis === undefined) {
      analysis = new PolicyAnalysis(policies, endpoints, settings, sport);
      analyses.set(sport, analysis);
    }
    const [from, to] = [places.get(src), places.get(dst)] as [number, number];
    compare("analyser", analysis.verdict(from, to, protocol, dport));
    if (flow.trace === undefined) continue;
    const checked = evaluate(checker, asked, settings);
    const trace = [
      ...(flow.egress === undefined ? [] : hitTexts(checked.egress, source)),
      ...(flow.ingress === undefined ? [] : hitTexts(checked.ingress, destination)),
    ];
    if (trace.join() !== flow.trace.join()) {
      wrong.push(`${what}: by ${trace.join()}, not ${flow.trace.join()}`);
    }
    if (checked.allowed !== (flow.checkerAllowed ?? flow.allowed)) {
      wrong.push(`${what}: the checker is taken to say ${checked.allowed}`);
    }
  }
  return wrong.length === 0 ? undefined : wrong.slice(0, 10).join("\n");
};

/** Calico's own checker, which wrote the traces, knows no port by name and does not look at a rule's IP version. */
function asCheckerSees(policy: Policy): Policy {
  const rules = (direction: Direction) => {
    const list = policy[direction];
    if (list === undefined) return {};
    return { [direction]: list.map(asCheckerSeesRule) };
  };
  return { ...policy, ...rules("ingress"), ...rules("egress") };
}

function asCheckerSeesRule({ ports, notPorts, peers, ...rule }: Rule): Rule {
  const numbers = (terms: readonly PortTerm[]) => terms.filter((term) => !("portName" in term));
  const anyVersion = (term: PeerTerm): readonly PeerTerm[] => {
    if (term.kind === "family") return [];
    if (term.kind !== "all") return [term];
    return [{ kind: "all", of: term.of.flatMap(anyVersion) }];
  };
  const atPeer = peers?.flatMap(anyVersion) ?? [];
  return {
    ...rule,
    ...(atPeer.length > 0 && { peers: atPeer }),
    ...(ports !== undefined && { ports: numbers(ports) }),
    ...(notPorts !== undefined && { notPorts: numbers(notPorts) }),
  };
}

function hitTexts(verdict: SideVerdict, at: PolicyEndpoint): readonly string[] {
  return ruleHits(verdict, at).map(({ tier, kind, namespace, name, index, action }) =>
    [tier, kind, namespace, name, index, action].join("|"),
  );
}
