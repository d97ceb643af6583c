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
import { NetworkPolicyController } from "./controller.ts";

/** Lines of its log that are kept. */
const LOG_LINES = 100;

/** weave-npc on a node, from watches of the API to sets and rules (prog/weave-npc/main.go). */
export class WeaveNpc implements PolicyEngine {
  readonly name = "weave-npc";
  readonly enforces: readonly Kind[] = ["NetworkPolicy"];
  readonly ready: Observable<boolean> = of(true);
  readonly #node: NodeContext<Kernel>;
  readonly #rejected = new Map<string, string>();
  readonly #log: string[] = [];
  #watches: Subscription | undefined;

  constructor(node: NodeContext<Kernel>) {
    this.#node = node;
  }

  /** What it could not do, the last lines. */
  get log(): readonly string[] {
    return this.#log;
  }

  /** Policies that it refuses as a whole, and what it does not look at in others. */
  get warnings(): readonly string[] {
    return [...this.#rejected].map(
      ([policy, why]) => `NetworkPolicy ${policy} is not enforced: ${why}`,
    );
  }

  start(): void {
    if (this.#watches !== undefined) return;
    const { machine, api } = this.#node;
    const controller = new NetworkPolicyController(machine.initNs, (name) =>
      api.get("Namespace", name),
    );
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
    const isPolicy = object.kind === "NetworkPolicy";
    if (isPolicy) this.#rejected.delete(objectKey(object));
    try {
      if (type === "ADDED") controller.add(object);
      else if (type === "DELETED") controller.delete(object);
      else controller.update(old ?? object, object);
    } catch (error) {
      const { message } = error as Error;
      if (isPolicy && type !== "DELETED") this.#rejected.set(objectKey(object), message);
      this.#log.push(message);
      if (this.#log.length > LOG_LINES) this.#log.shift();
    }
  }
}
