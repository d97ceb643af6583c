import type { Random, Timer } from "@cnilab/core";
import type { EndpointState } from "../../api/v2/endpoint.ts";
import { GlobalIdentities } from "../../identity/global-identities.ts";
import { type NumericIdentity, RESERVED_IDENTITY } from "../../identity/numeric-identity.ts";
import { reservedIdentityOf } from "../../identity/reserved-identities.ts";
import { type LabelSet, sameLabels } from "../../labels/label-set.ts";
import { reservedLabel } from "../../labels/reserved-labels.ts";
import type { ClusterIdentities } from "./cluster-identities.ts";

/** What an endpoint has that concerns who it is. */
export interface IdentityEndpoint {
  readonly kind: "pod" | "host" | "health" | "ingress";
  /** `namespace/name` of its pod. */
  readonly podKey: string | undefined;
  /** Those that its identity is for. */
  labels: LabelSet;
  identity: NumericIdentity;
  state: EndpointState;
}

export interface EndpointIdentityOptions {
  readonly node: string;
  readonly random: Random;
  /** Its identity is another, or no longer that of an endpoint without labels. */
  readonly changed: (endpoint: IdentityEndpoint) => void;
}

interface Resolution {
  readonly stop: () => void;
  /** Counts changes of labels: an answer to an older one is of no use. */
  revision: number;
  /** What is held in the allocator. */
  held: LabelSet | undefined;
  grace: Timer | undefined;
}

/** Gives the endpoints of one node their identities, and others when their labels change (pkg/endpoint identityLabelsChanged). */
export class EndpointIdentities {
  readonly #cluster: ClusterIdentities;
  readonly #options: EndpointIdentityOptions;
  readonly #global: GlobalIdentities;
  readonly #endpoints = new Map<IdentityEndpoint, Resolution>();
  #isCutOff = false;

  constructor(cluster: ClusterIdentities, options: EndpointIdentityOptions) {
    this.#cluster = cluster;
    this.#options = options;
    const { clock, propagation } = cluster.world;
    this.#global = new GlobalIdentities({
      clock,
      random: options.random,
      range: cluster.settings.range,
      backend: cluster.backend(() => this.#isCutOff),
      requestMs: () => propagation.requestMs,
      known: cluster.known,
    });
  }

  /** Whether the node cannot reach the API server: it makes no identities, and hears of no labels. */
  get isCutOff(): boolean {
    return this.#isCutOff;
  }

  set isCutOff(isCutOff: boolean) {
    this.#isCutOff = isCutOff;
    if (!isCutOff) for (const endpoint of [...this.#endpoints.keys()]) this.#resolve(endpoint);
  }

  /** Of a new one, or of one that was there before the agent started again; it keeps what it has until there is another. */
  add(endpoint: IdentityEndpoint): void {
    const listener = () => this.#resolve(endpoint);
    const { podKey } = endpoint;
    let stop = () => {};
    if (endpoint.kind === "pod" && podKey !== undefined) {
      stop = this.#cluster.followPod(podKey, listener);
    } else if (endpoint.kind === "host") {
      stop = this.#cluster.followNode(this.#options.node, listener);
    }
    this.#endpoints.set(endpoint, { stop, revision: 0, held: undefined, grace: undefined });
    this.#resolve(endpoint);
  }

  remove(endpoint: IdentityEndpoint): void {
    const resolution = this.#endpoints.get(endpoint);
    if (resolution === undefined) return;
    this.#endpoints.delete(endpoint);
    resolution.revision++;
    resolution.stop();
    resolution.grace?.cancel();
    if (resolution.held !== undefined) this.#global.release(resolution.held);
  }

  /** Nothing is followed any more; endpoints keep what they have. */
  stop(): void {
    for (const endpoint of [...this.#endpoints.keys()]) this.remove(endpoint);
  }

  #labelsOf({ kind, podKey }: IdentityEndpoint): LabelSet {
    switch (kind) {
      case "pod":
        return podKey === undefined ? [reservedLabel("init")] : this.#cluster.labelsOfPod(podKey);
      case "host":
        return this.#cluster.labelsOfHost(this.#options.node);
      default:
        return [reservedLabel(kind)];
    }
  }

  #resolve(endpoint: IdentityEndpoint): void {
    const resolution = this.#endpoints.get(endpoint);
    if (resolution === undefined || this.#isCutOff) return;
    const labels = this.#labelsOf(endpoint);
    resolution.revision++;
    resolution.grace?.cancel();
    resolution.grace = undefined;
    const reserved = reservedIdentityOf(labels);
    if (reserved !== undefined) {
      this.#set(endpoint, resolution, reserved, labels, undefined);
      return;
    }
    if (resolution.held !== undefined && sameLabels(resolution.held, labels)) return;
    if (endpoint.identity === RESERVED_IDENTITY.init) endpoint.state = "waiting-for-identity";
    const { revision } = resolution;
    this.#global.acquire(labels, (identity) => {
      if (resolution.revision !== revision) {
        if (identity !== undefined) this.#global.release(labels);
        return;
      }
      // The controller begins anew (resolve-identity).
      if (identity === undefined) this.#resolve(endpoint);
      else this.#got(endpoint, resolution, identity, labels);
    });
  }

  /** Others get time to let the new identity in before the endpoint has it. */
  #got(
    endpoint: IdentityEndpoint,
    resolution: Resolution,
    identity: NumericIdentity,
    labels: LabelSet,
  ): void {
    const before = endpoint.identity;
    if (before === identity || before === RESERVED_IDENTITY.init) {
      this.#set(endpoint, resolution, identity, labels, labels);
      return;
    }
    const { world, settings } = this.#cluster;
    const { revision } = resolution;
    resolution.grace = world.clock.schedule(settings.graceMs, () => {
      if (resolution.revision !== revision) return;
      resolution.grace = undefined;
      this.#set(endpoint, resolution, identity, labels, labels);
    });
    // Given back if labels change once more before that.
    const { grace } = resolution;
    resolution.grace = {
      cancel: () => {
        grace.cancel();
        this.#global.release(labels);
      },
    };
  }

  #set(
    endpoint: IdentityEndpoint,
    resolution: Resolution,
    identity: NumericIdentity,
    labels: LabelSet,
    held: LabelSet | undefined,
  ): void {
    const old = resolution.held;
    resolution.held = held;
    const isOther = endpoint.identity !== identity || !sameLabels(endpoint.labels, labels);
    endpoint.identity = identity;
    endpoint.labels = labels;
    if (old !== undefined) this.#global.release(old);
    if (isOther || endpoint.state === "waiting-for-identity") this.#options.changed(endpoint);
  }
}
