import type { Protocol } from "@cnilab/core";
import { DEFAULT_SETTINGS, type PolicySettings } from "../policy/match.ts";
import type { Policy, Rule } from "../policy/policy.ts";
import type { PolicyEndpoint } from "../policy/policy-endpoint.ts";
import { type Bits, hasBit } from "./bits.ts";
import { EndpointClasses } from "./endpoint-classes.ts";
import { type PortClass, portClasses, portClassOf } from "./port-classes.ts";
import { PortMatrix, RulePeers } from "./port-matrix.ts";
import { Subjects } from "./subjects.ts";

/** What policies say on either side of a flow. */
export interface PairVerdict {
  readonly egress: boolean;
  readonly ingress: boolean;
}

/**
 * All pairs of endpoints on all ports, by classes: endpoints that no policy tells apart, and ports that none does.
 * Cost grows with classes, not with endpoints. Nothing here knows of packets: it is a second way to the answer that
 * a packet finds by walking what an agent has programmed.
 */
export class PolicyAnalysis {
  readonly policies: readonly Policy[];
  readonly endpoints: readonly PolicyEndpoint[];
  readonly classes: EndpointClasses;
  readonly subjects: Subjects;
  /** Of all protocols; each port of each is in one of them. */
  readonly portClasses: readonly PortClass[];
  readonly #peers: RulePeers;
  readonly #matrices: PortMatrix[] = [];

  /** @param policies in order, as `readPolicies` gives them */
  constructor(
    policies: readonly Policy[],
    endpoints: readonly PolicyEndpoint[],
    settings: PolicySettings = DEFAULT_SETTINGS,
  ) {
    this.policies = policies;
    this.endpoints = endpoints;
    this.classes = new EndpointClasses(policies, endpoints, settings);
    this.subjects = new Subjects(policies, this.classes);
    this.portClasses = portClasses(policies, this.classes.portLists);
    this.#peers = new RulePeers(this.classes);
  }

  /** @param portClass place in {@link portClasses} */
  matrix(portClass: number): PortMatrix {
    let matrix = this.#matrices[portClass];
    if (matrix === undefined) {
      const port = this.portClasses[portClass];
      if (port === undefined) throw new RangeError(`there is no port class ${portClass}`);
      matrix = new PortMatrix(this.classes, this.subjects, this.#peers, port);
      this.#matrices[portClass] = matrix;
    }
    return matrix;
  }

  /** Classes that a rule of one of the policies is about, on the other side. Not to be written to. */
  peersOf(rule: Rule): Bits {
    return this.#peers.of(rule);
  }

  /** @param source place in {@link endpoints}, as is `destination` */
  verdict(source: number, destination: number, protocol: Protocol, port: number): PairVerdict {
    // A pod cannot be cut off from itself.
    if (source === destination && this.endpoints[source]?.pod !== undefined) {
      return { egress: true, ingress: true };
    }
    const matrix = this.matrix(portClassOf(this.portClasses, protocol, port));
    const from = this.classes.classOf[source] as number;
    const to = this.classes.classOf[destination] as number;
    return {
      egress: hasBit(matrix.egress(from), to),
      ingress: hasBit(matrix.ingress(to), from),
    };
  }
}
