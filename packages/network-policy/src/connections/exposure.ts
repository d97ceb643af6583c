import type { KubeObject } from "@cnilab/core";
import { type PortClass, portClasses } from "../analyse/port-classes.ts";
import { askTiers } from "../policy/evaluate.ts";
import { allPorts } from "../policy/ip-protocol.ts";
import { peerMatches, portMatches } from "../policy/match.ts";
import {
  DIRECTIONS,
  type Direction,
  type NamedPortTerm,
  type PeerTerm,
  type PodTerm,
  type Policy,
  type PortTerm,
  type Rule,
} from "../policy/policy.ts";
import type { PolicyEndpoint } from "../policy/policy-endpoint.ts";
import { KUBERNETES_POLICIES, type PolicyReader } from "../policy/policy-reader.ts";
import { protocolText } from "../policy/protocol-text.ts";
import { type PodLabels, podsOf } from "./pod-terms.ts";
import { PortSet } from "./port-set.ts";
import { admits, ENTIRE_CLUSTER, type PossiblePeer, possiblePeers } from "./possible-peer.ts";
import { type Workload, workloads } from "./workloads.ts";

/** What a workload could exchange with pods that may be there or come. */
export interface Exposure {
  readonly workload: Workload;
  readonly direction: Direction;
  readonly peer: PossiblePeer | typeof ENTIRE_CLUSTER;
  readonly ports: ExposedPorts;
}

export interface ExposureReport {
  readonly exposures: readonly Exposure[];
  /** Who is selected by no policy in that direction. */
  readonly unprotected: readonly { readonly workload: Workload; readonly direction: Direction }[];
}

/** Ports by number, and those by a name that nobody here has. */
export class ExposedPorts {
  readonly #numbers: PortSet;
  readonly #names: readonly NamedPortTerm[];

  constructor(numbers: PortSet, names: readonly NamedPortTerm[]) {
    this.#numbers = numbers;
    this.#names = names;
  }

  get isEmpty(): boolean {
    return this.#numbers.isEmpty && this.#names.length === 0;
  }

  equals(other: ExposedPorts): boolean {
    return this.#numbers.equals(other.#numbers) && this.toString() === other.toString();
  }

  /** `TCP 80,http`: names behind numbers. */
  toString(): string {
    if (this.#numbers.isAll) return "All Connections";
    if (this.isEmpty) return "No Connections";
    const protocols: readonly NamedPortTerm["protocol"][] = [undefined, ...this.#numbers.protocols];
    return protocols
      .map((protocol) => {
        const ranges = protocol === undefined ? [] : this.#numbers.ranges(protocol);
        const all = allPorts(protocol ?? "TCP");
        const whole = ranges.some(([first, last]) => first === all.first && last === all.last);
        // Who may open every port may open those with names.
        const names = whole ? [] : this.#names.filter((term) => term.protocol === protocol);
        const portNames = names.map(({ portName }) => portName).sort();
        if (protocol !== undefined) return protocolText(protocol, ranges, portNames);
        return portNames.length === 0 ? "" : ` ${portNames.join(",")}`;
      })
      .filter((text) => text !== "")
      .sort()
      .join(",");
  }
}

/**
 * What policies would let workloads exchange with pods that the rules speak of and with the cluster as a whole, in the
 * input or not. A possible peer is listed where it differs from the whole cluster.
 */
export function exposure(
  objects: readonly KubeObject[],
  reader: PolicyReader = KUBERNETES_POLICIES,
): ExposureReport {
  const { policies, endpoint, podLabel = () => undefined } = reader.read(objects);
  const all = workloads(objects, endpoint);
  const peers = possiblePeers(policies, all, podLabel);
  const asked = new AskedPorts(policies, all, podLabel);
  const exposures: Exposure[] = [];
  const unprotected: { workload: Workload; direction: Direction }[] = [];
  for (const workload of all) {
    for (const direction of DIRECTIONS) {
      const [pod] = workload.pods as readonly [PolicyEndpoint, ...PolicyEndpoint[]];
      const selecting = policies.filter(
        (policy) => policy[direction] !== undefined && peerMatches(policy.subject, pod),
      );
      const isOpen = selecting.every(({ leavesOpen = [] }) => leavesOpen.includes(direction));
      if (isOpen) unprotected.push({ workload, direction });
      const whole = asked.allowed(selecting, direction, pod, ENTIRE_CLUSTER);
      if (!whole.isEmpty)
        exposures.push({ workload, direction, peer: ENTIRE_CLUSTER, ports: whole });
      if (selecting.length === 0) continue;
      for (const peer of peers) {
        const ports = asked.allowed(selecting, direction, pod, peer);
        if (ports.equals(whole)) continue;
        exposures.push({ workload, direction, peer, ports });
      }
    }
  }
  return { exposures, unprotected };
}

/** Every port that some rule tells from others. */
class AskedPorts {
  readonly #classes: readonly PortClass[];
  readonly #names: readonly NamedPortTerm[];
  readonly #labels: PodLabels;
  readonly #pods = new Map<PeerTerm, readonly PodTerm[]>();

  constructor(policies: readonly Policy[], all: readonly Workload[], labels: PodLabels) {
    this.#labels = labels;
    const lists = all.flatMap(({ pods }) => pods.map(({ ports }) => ports ?? []));
    this.#classes = portClasses(policies, lists);
    this.#names = namedTerms(policies);
  }

  allowed(
    selecting: readonly Policy[],
    direction: Direction,
    pod: PolicyEndpoint,
    peer: Exposure["peer"],
  ): ExposedPorts {
    const allows = (portFits: (term: PortTerm) => boolean) =>
      askTiers(selecting, direction, (rule) => this.#isAbout(rule, pod, peer, portFits)).allowed;
    const numbers = [...this.#classes.keys()].filter((i) => {
      const { protocol, ranges } = this.#classes[i] as PortClass;
      const [[port]] = ranges as [readonly [number, number]];
      return allows((term) =>
        // The ports of who is not there have no names yet.
        direction === "egress" && "portName" in term
          ? false
          : portMatches(term, pod, protocol, port),
      );
    });
    const names =
      direction === "ingress"
        ? []
        : this.#names.filter((name) => allows((term) => coversName(term, name)));
    return new ExposedPorts(new PortSet(this.#classes, numbers), names);
  }

  #isAbout(
    { peers, selected, ports, notPorts }: Rule,
    pod: PolicyEndpoint,
    peer: Exposure["peer"],
    portFits: (term: PortTerm) => boolean,
  ): boolean {
    return (
      (peers?.some((term) => this.#podsOf(term).some((pods) => admits(pods, peer))) ?? true) &&
      (selected?.some((term) => peerMatches(term, pod)) ?? true) &&
      (ports?.some(portFits) ?? true) &&
      !notPorts?.some(portFits)
    );
  }

  #podsOf(term: PeerTerm): readonly PodTerm[] {
    let found = this.#pods.get(term);
    if (found === undefined) {
      found = podsOf(term, this.#labels).map(({ pods }) => pods);
      this.#pods.set(term, found);
    }
    return found;
  }
}

/** A port with a name, whatever its number: only a rule for that name or for all ports is surely about it. */
function coversName(term: PortTerm, name: NamedPortTerm): boolean {
  if ("portName" in term) return term.portName === name.portName && term.protocol === name.protocol;
  return term.protocol === name.protocol && term.first === 1 && term.last === 65_535;
}

function namedTerms(policies: readonly Policy[]): readonly NamedPortTerm[] {
  const found = new Map<string, NamedPortTerm>();
  for (const policy of policies) {
    for (const { ports = [] } of policy.egress ?? []) {
      for (const term of ports) {
        if ("portName" in term) found.set(`${term.protocol ?? ""} ${term.portName}`, term);
      }
    }
  }
  return [...found.values()];
}
