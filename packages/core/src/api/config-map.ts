import type { KubeObject } from "./meta.ts";

/** Text that pods read as files or as environment. */
export interface ConfigMap extends KubeObject {
  readonly kind: "ConfigMap";
  readonly data?: Readonly<Record<string, string>>;
  /** Base64 of what is no text. */
  readonly binaryData?: Readonly<Record<string, string>>;
  readonly immutable?: boolean;
}
