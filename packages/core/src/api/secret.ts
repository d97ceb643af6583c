import type { KubeObject } from "./meta.ts";

export interface Secret extends KubeObject {
  readonly kind: "Secret";
  /** `Opaque` where it is absent; certificates of servers are `kubernetes.io/tls`. */
  readonly type?: string;
  /** Values in base64. */
  readonly data?: Readonly<Record<string, string>>;
  /** What the API server adds to `data`. */
  readonly stringData?: Readonly<Record<string, string>>;
  readonly immutable?: boolean;
}
