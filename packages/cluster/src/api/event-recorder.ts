import {
  type ApiClient,
  type Clock,
  type Event,
  type EventSink,
  type KubeObject,
  objectKey,
  timestamp,
} from "@cnilab/core";
import { fnv32a } from "./name-suffix.ts";

/**
 * Writes Events as client-go's recorder does: the same thing again raises the count of the one there
 * is.
 */
export class EventRecorder implements EventSink {
  readonly #api: ApiClient;
  readonly #clock: Clock;
  readonly #component: string;

  constructor(api: ApiClient, clock: Clock, component: string) {
    this.#api = api;
    this.#clock = clock;
    this.#component = component;
  }

  record(object: KubeObject, type: Event["type"], reason: string, message: string): void {
    const { kind, metadata } = object;
    const namespace = metadata.namespace ?? "default";
    const identity = `${kind} ${objectKey(object)} ${this.#component} ${type} ${reason} ${message}`;
    const name = `${metadata.name}.${fnv32a(identity).toString(16).padStart(8, "0")}`;
    const now = timestamp(this.#clock.now);
    const again = this.#api.update("Event", `${namespace}/${name}`, (event) => ({
      ...event,
      count: (event.count ?? 1) + 1,
      lastTimestamp: now,
    }));
    if (again !== undefined) return;
    this.#api.create<"Event">({
      apiVersion: "v1",
      kind: "Event",
      metadata: { name, namespace },
      type,
      reason,
      message,
      involvedObject: {
        kind,
        name: metadata.name,
        ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
        ...(metadata.uid === undefined ? {} : { uid: metadata.uid }),
      },
      source: { component: this.#component },
      count: 1,
      firstTimestamp: now,
      lastTimestamp: now,
    });
  }
}
