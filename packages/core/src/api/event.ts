import type { KubeObject } from "./meta.ts";

/** Something that happened to an object, as `kubectl get events` shows it. */
export interface Event extends KubeObject {
  readonly kind: "Event";
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
  readonly involvedObject: {
    readonly kind: string;
    readonly namespace?: string;
    readonly name: string;
    readonly uid?: string;
  };
  readonly source?: { readonly component?: string };
  readonly count?: number;
  readonly firstTimestamp?: string;
  readonly lastTimestamp?: string;
}
