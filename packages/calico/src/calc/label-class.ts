import type {
  ModelEndpointPort,
  ModelHostEndpoint,
  ModelNetworkSet,
  ModelPolicy,
  ModelProfile,
  ModelWorkloadEndpoint,
} from "../conversion/model.ts";
import type { Labels } from "../selector/node.ts";
import type { Selector } from "../selector/selector.ts";
import { type EndpointTiers, NO_TIERS } from "./endpoint-tiers.ts";
import type { IpSet } from "./ip-set.ts";
import type { PolicyId, Profile } from "./messages.ts";
import type { NodePart } from "./node-part.ts";
import type { ActivePolicy } from "./node-policy.ts";
import type { Scanned } from "./rule-scanner.ts";

/** An endpoint or network set. */
export interface Member {
  readonly key: string;
  /** Of an endpoint. */
  readonly node: string | undefined;
  readonly labels: LabelClass;
  /** What it gives to the sets that it is in. */
  readonly nets: readonly string[];
  readonly ports: readonly ModelEndpointPort[];
  readonly model:
    | { readonly kind: "workload"; readonly id: string; readonly endpoint: ModelWorkloadEndpoint }
    | { readonly kind: "host"; readonly id: string; readonly endpoint: ModelHostEndpoint }
    | { readonly kind: "networkSet"; readonly id: string; readonly endpoint: ModelNetworkSet };
}

/** A policy, active or not. */
export interface PolicyState {
  readonly id: PolicyId;
  policy: ModelPolicy;
  selector: Selector;
  /** Those that it selects. */
  readonly classes: Set<LabelClass>;
  /** While it is active. */
  scanned: Scanned<ActivePolicy> | undefined;
}

/** A profile that is there, or that endpoints name. */
export interface ProfileState {
  readonly name: string;
  model: ModelProfile | undefined;
  readonly classes: Set<LabelClass>;
  /** How many of them are of endpoints. */
  endpointClasses: number;
  /** While an endpoint has it. */
  scanned: Scanned<Profile> | undefined;
}

/** An IP set that active policies or profiles name. */
export interface IpSetState {
  readonly set: IpSet;
  /** Policies and profiles that name it. */
  uses: number;
  readonly classes: Set<LabelClass>;
  readonly nodes: Set<NodePart>;
}

/**
 * All endpoints (or network sets) with the same labels and profiles: no selector tells one from another, so that a selector is asked once for
 * the pods of a Deployment.
 */
export class LabelClass implements Labels {
  readonly key: string;
  readonly own: ReadonlyMap<string, string>;
  readonly profiles: readonly ProfileState[];
  readonly isEndpoint: boolean;
  readonly members: Set<Member> = new Set();
  readonly byNode: Map<string, Set<Member>> = new Map();
  readonly policies: Set<PolicyState> = new Set();
  readonly ipSets: Set<IpSetState> = new Set();
  tiers: EndpointTiers = NO_TIERS;

  constructor(
    key: string,
    own: ReadonlyMap<string, string>,
    profiles: readonly ProfileState[],
    isEndpoint: boolean,
  ) {
    this.key = key;
    this.own = own;
    this.profiles = profiles;
    this.isEndpoint = isEndpoint;
  }

  /** Its own label, or that of the first profile that has it. */
  get(name: string): string | undefined {
    const own = this.own.get(name);
    if (own !== undefined) return own;
    for (const { model } of this.profiles) {
      const inherited = model?.labels.get(name);
      if (inherited !== undefined) return inherited;
    }
    return undefined;
  }

  /** Each label once, with the value that counts. */
  *labels(): Generator<readonly [name: string, value: string], void> {
    yield* this.own;
    for (const [i, { model }] of this.profiles.entries()) {
      for (const entry of model?.labels ?? []) {
        const [name] = entry;
        const shadowed =
          this.own.has(name) || this.profiles.slice(0, i).some((p) => p.model?.labels.has(name));
        if (!shadowed) yield entry;
      }
    }
  }
}
