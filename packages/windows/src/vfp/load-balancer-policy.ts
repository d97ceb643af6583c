import type { Origin } from "@cnilab/core";
import type { IpAddress } from "@cnilab/net";
import type { FlowPolicy } from "./flow-table.ts";
import { type FlowTuple, hashSource, hashTuple } from "./flow-tuple.ts";

/** One backend of a load balancer: "direct IP". */
export interface Dip {
  readonly address: IpAddress;
  readonly port: number;
}

/** How flows are spread: by the five-tuple, or by the client's address alone. */
export type Distribution = "5-tuple" | "source-ip";

/** What a load-balancing rule does with the packets that it matches. Shared by the rules of all its frontends and ports. */
export class LoadBalancerPolicy implements FlowPolicy {
  /** GUID of the HNS object. */
  readonly id: string;
  readonly dips: readonly Dip[];
  readonly distribution: Distribution;
  /** Direct server return: the client's port translates, and the server sees the client. */
  readonly dsr: boolean;
  /** Source that the host's vNIC gives to flows; `undefined` for the host's own address. */
  readonly sourceVip: IpAddress | undefined;
  readonly origin: Origin | undefined;
  /** The policy that took its place; itself while it is the latest, `undefined` once it was deleted. */
  #successor: LoadBalancerPolicy | undefined = this;

  constructor(fields: {
    readonly id: string;
    readonly dips: readonly Dip[];
    readonly distribution: Distribution;
    readonly dsr: boolean;
    readonly sourceVip: IpAddress | undefined;
    readonly origin: Origin | undefined;
  }) {
    this.id = fields.id;
    this.dips = fields.dips;
    this.distribution = fields.distribution;
    this.dsr = fields.dsr;
    this.sourceVip = fields.sourceVip;
    this.origin = fields.origin;
  }

  /** The backend of a new flow: the same for the same tuple as long as the backends are. */
  choose(tuple: FlowTuple): Dip | undefined {
    if (this.dips.length === 0) return undefined;
    const hash = this.distribution === "source-ip" ? hashSource(tuple) : hashTuple(tuple);
    return this.dips[hash % this.dips.length];
  }

  /** Flows outlive a change of the policy as long as their backend does. */
  serves({ dst, dstPort }: FlowTuple): boolean {
    let policy: LoadBalancerPolicy | undefined = this;
    while (policy !== undefined && policy.#successor !== policy) policy = policy.#successor;
    return policy?.dips.some((d) => d.address === dst && d.port === dstPort) ?? false;
  }

  /** It was changed to `successor`, or deleted. */
  replaceBy(successor: LoadBalancerPolicy | undefined): void {
    this.#successor = successor;
  }
}
