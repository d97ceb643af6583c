import type { KubeObject } from "./meta.ts";

/** Whose name pods run under: policies may ask for it, and for its labels. */
export interface ServiceAccount extends KubeObject {
  readonly kind: "ServiceAccount";
  readonly secrets?: readonly { readonly name?: string }[];
}
