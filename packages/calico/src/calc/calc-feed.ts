import type { ApiClient, Clock, KubeObject, Timer, WatchEvent } from "@cnilab/core";
import { type Observable, Subscription } from "rxjs";
import { modelProfile } from "../conversion/model-sets.ts";
import { CalcGraph, type CalcGraphOptions } from "./calc-graph.ts";
import { CALC_KINDS, CalcObjects } from "./calc-objects.ts";
import type { NodeCalc } from "./node-calc.ts";

/** Of host endpoints that somebody made for all nodes; it is always there (`libcalico-go/lib/resources/static.go`). */
const DEFAULT_ALLOW = "projectcalico-default-allow";

/**
 * The calculation graph of a cluster, fed by one watch of each kind for all nodes, as Typha has it. Changes of one moment reach nodes together.
 */
export class CalcFeed {
  readonly graph: CalcGraph;
  readonly #objects: CalcObjects;
  #subscription: Subscription | undefined;
  #timer: Timer | undefined;

  constructor(options: CalcGraphOptions = {}) {
    this.graph = new CalcGraph(options);
    this.#objects = new CalcObjects(this.graph, { impliedServiceAccounts: true });
  }

  /** Why objects are not used, by `Kind key`. */
  get problems(): ReadonlyMap<string, string> {
    return this.#objects.problems;
  }

  /** Watches, if it does not yet. All nodes see the same API server. @returns the part of one node */
  attach(
    node: string,
    { api, clock }: { readonly api: ApiClient; readonly clock: Clock },
  ): NodeCalc {
    if (this.#subscription === undefined) {
      this.#subscription = new Subscription();
      this.graph.setProfile(
        DEFAULT_ALLOW,
        modelProfile({
          apiVersion: "projectcalico.org/v3",
          kind: "Profile",
          metadata: { name: DEFAULT_ALLOW },
          spec: { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }] },
        }),
      );
      this.#subscription.add(
        api.watch("Node").subscribe(({ type, object }) => {
          if (type === "DELETED") this.graph.forgetNode(object.metadata.name);
        }),
      );
      for (const kind of CALC_KINDS) {
        const events = api.watch(kind) as Observable<WatchEvent<KubeObject>>;
        this.#subscription.add(
          events.subscribe(({ type, object }) => {
            if (type === "DELETED") this.#objects.delete(object);
            else this.#objects.update(object);
            this.#timer ??= clock.schedule(0, () => {
              this.#timer = undefined;
              this.graph.flush();
            });
          }),
        );
      }
    }
    return this.graph.node(node);
  }

  /** Watches no longer: what nodes have stays. */
  stop(): void {
    this.#subscription?.unsubscribe();
    this.#subscription = undefined;
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
