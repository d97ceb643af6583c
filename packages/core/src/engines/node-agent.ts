import type { Observable } from "rxjs";

/**
 * A program that runs on a node and keeps kernel state in step with the API. Stopping it leaves what
 * it programmed, as the real ones do unless the model says otherwise.
 */
export interface NodeAgent {
  /** Name of the program, as `flanneld` or `kube-proxy`. */
  readonly name: string;
  start(): void;
  stop(): void;
  /** Whether it has done what pods wait for; starts with the present state. */
  readonly ready: Observable<boolean>;
  /** What keeps it from being ready, on one line; absent where nothing does, or where it cannot tell. */
  readonly problem?: string | undefined;
  /** What a person should know though it works, each on one line; what several nodes say alike is told once. */
  readonly warnings?: readonly string[];
}
