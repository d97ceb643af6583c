import {
  type Kind,
  type Namespace,
  type NetworkPolicy,
  type NodeContext,
  objectKey,
  type Pod,
  type PolicyEngine,
  type WatchEvent,
} from "@cnilab/core";
import type { Kernel } from "@cnilab/linux";
import { type Observable, of, Subscription } from "rxjs";
import { givenPolicy, whyRejected } from "../analyse/given-policy.ts";
import { NetworkPolicyController } from "./controller.ts";
import type { NpcSharing } from "./npc-sharing.ts";

/** Lines of its log that are kept. */
const LOG_LINES = 100;

/** weave-npc on a node, from watches of the API to sets and rules (prog/weave-npc/main.go). */
export class WeaveNpc implements PolicyEngine {
  readonly name = "weave-npc";
  readonly enforces: readonly Kind[] = ["NetworkPolicy"];
  readonly ready: Observable<boolean> = of(true);
  readonly #node: NodeContext<Kernel>;
  readonly #sharing: NpcSharing | undefined;
  readonly #remarks = new Map<string, readonly string[]>();
  readonly #refused = new Set<string>();
  readonly #log: string[] = [];
  #watches: Subscription | undefined;

  /** @param sharing with other nodes of the cluster */
  constructor(node: NodeContext<Kernel>, sharing?: NpcSharing) {
    this.#node = node;
    this.#sharing = sharing;
  }

  /** What it could not do, the last lines. */
  get log(): readonly string[] {
    return this.#log;
  }

  /** Policies that it refuses as a whole, and what it does otherwise than others say. */
  get warnings(): readonly string[] {
    return [...this.#remarks].flatMap(([policy, remarks]) =>
      remarks.map((remark) => `NetworkPolicy ${policy} ${remark}`),
    );
  }

  get refuses(): readonly string[] {
    return [...this.#refused].map((policy) => `NetworkPolicy ${policy}`);
  }

  start(): void {
    if (this.#watches !== undefined) return;
    const { machine, api } = this.#node;
    const namespaceOf = (name: string) => api.get("Namespace", name);
    const controller = new NetworkPolicyController(machine.initNs, namespaceOf, this.#sharing);
    const watches = new Subscription();
    this.#watches = watches;
    const handle = (event: WatchEvent<Namespace | Pod | NetworkPolicy>) =>
      this.#handle(controller, event);
    watches.add(api.watch("Namespace").subscribe(handle));
    watches.add(api.watch("Pod").subscribe(handle));
    watches.add(api.watch("NetworkPolicy").subscribe(handle));
  }

  /** What it programmed stays. */
  stop(): void {
    this.#watches?.unsubscribe();
    this.#watches = undefined;
  }

  #handle(
    controller: NetworkPolicyController,
    { type, object, old }: WatchEvent<Namespace | Pod | NetworkPolicy>,
  ): void {
    if (object.kind === "NetworkPolicy") this.#remark(object, type);
    try {
      if (type === "ADDED") controller.add(object);
      else if (type === "DELETED") controller.delete(object);
      else controller.update(old ?? object, object);
    } catch (error) {
      const { message } = error as Error;
      const key = objectKey(object);
      if (object.kind === "NetworkPolicy" && type !== "DELETED" && !this.#remarks.has(key)) {
        this.#remarks.set(key, [`is enforced in part at most: ${message}`]);
      }
      this.#log.push(message);
      if (this.#log.length > LOG_LINES) this.#log.shift();
    }
  }

  #remark(policy: NetworkPolicy, type: WatchEvent["type"]): void {
    this.#remarks.delete(objectKey(policy));
    this.#refused.delete(objectKey(policy));
    if (type === "DELETED") return;
    const rejected = whyRejected(policy);
    if (rejected !== undefined) this.#refused.add(objectKey(policy));
    const remarks =
      rejected === undefined
        ? givenPolicy(policy).deviations.map((each) => `is enforced otherwise: ${each}`)
        : [`is not enforced: ${rejected}`];
    if (remarks.length > 0) this.#remarks.set(objectKey(policy), remarks);
  }
}
