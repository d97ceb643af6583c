import { allPorts, type IpProtocol } from "../policy/ip-protocol.ts";
import {
  areLocal,
  askedSides,
  DEFAULT_SETTINGS,
  EPHEMERAL_PORT,
  type PolicySettings,
} from "../policy/match.ts";
import { type Policy, type Rule, tellsLocal, termsOf } from "../policy/policy.ts";
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
  /** Of the protocols with ports, and of others that a rule names; each port of each is in one of them. */
  readonly portClasses: readonly PortClass[];
  readonly #elsewhere: Matrices;
  /** Of endpoints on one node, where a policy tells them from others. */
  readonly #local: Matrices;
  readonly #settings: PolicySettings;
  readonly #sourcePort: number;
  /** Protocols that no rule names fare alike. */
  #others: PortClass | undefined;

  /**
   * @param policies in order, as `readPolicies` gives them
   * @param sourcePort from which all connections come, for rules that ask
   */
  constructor(
    policies: readonly Policy[],
    endpoints: readonly PolicyEndpoint[],
    settings: PolicySettings = DEFAULT_SETTINGS,
    sourcePort: number = EPHEMERAL_PORT,
  ) {
    this.policies = policies;
    this.endpoints = endpoints;
    this.classes = new EndpointClasses(policies, endpoints, settings);
    this.subjects = new Subjects(policies, this.classes);
    this.portClasses = portClasses(policies, this.classes.portLists);
    this.#elsewhere = { peers: new RulePeers(this.classes, false), byPort: new Map() };
    this.#local = [...termsOf(policies)].some(tellsLocal)
      ? { peers: new RulePeers(this.classes, true), byPort: new Map() }
      : this.#elsewhere;
    this.#settings = settings;
    this.#sourcePort = sourcePort;
  }

  /** Between endpoints that are not on one node. @param portClass place in {@link portClasses} */
  matrix(portClass: number): PortMatrix {
    const port = this.portClasses[portClass];
    if (port === undefined) throw new RangeError(`there is no port class ${portClass}`);
    return this.#matrixOf(port, this.#elsewhere);
  }

  #matrixOf(port: PortClass, { peers, byPort }: Matrices): PortMatrix {
    let matrix = byPort.get(port);
    if (matrix === undefined) {
      const { classes, subjects } = this;
      matrix = new PortMatrix(classes, subjects, peers, port, this.#sourcePort);
      byPort.set(port, matrix);
    }
    return matrix;
  }

  #portClassOf(protocol: IpProtocol, port: number): PortClass {
    const known = this.portClasses[portClassOf(this.portClasses, protocol, port)];
    if (known !== undefined) return known;
    const { first, last } = allPorts(protocol);
    this.#others ??= { protocol, ranges: [[first, last]] };
    return this.#others;
  }

  /** Classes that a rule of one of the policies is about, on the other side and on another node. Not to be written to. */
  peersOf(rule: Rule): Bits {
    return this.#elsewhere.peers.of(rule);
  }

  /** @param source place in {@link endpoints}, as is `destination` */
  verdict(source: number, destination: number, protocol: IpProtocol, port: number): PairVerdict {
    const ends = [this.endpoints[source], this.endpoints[destination]] as [
      PolicyEndpoint,
      PolicyEndpoint,
    ];
    const asked = askedSides(...ends, this.#settings);
    const matrix = this.#matrixOf(
      this.#portClassOf(protocol, port),
      areLocal(...ends) ? this.#local : this.#elsewhere,
    );
    const from = this.classes.classOf[source] as number;
    const to = this.classes.classOf[destination] as number;
    return {
      egress: !asked.egress || hasBit(matrix.egress(from), to),
      ingress: !asked.ingress || hasBit(matrix.ingress(to), from),
    };
  }
}

interface Matrices {
  readonly peers: RulePeers;
  readonly byPort: Map<PortClass, PortMatrix>;
}
