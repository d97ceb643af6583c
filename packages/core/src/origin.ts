import { isPolicyKind } from "./api/kinds.ts";

/** What caused a piece of kernel state: the object whose change made an agent program it. */
export interface Origin {
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
  /** Which part of the object, as `ingress rule 2` or `port http`. */
  readonly detail?: string;
  /** Does what policies say, though no policy made it: the end of a tier, a profile. */
  readonly enforcesPolicy?: boolean;
}

/** Whether what an origin's rule drops was dropped by policy. */
export function isPolicyOrigin(origin: Origin | undefined): boolean {
  if (origin === undefined) return false;
  return origin.enforcesPolicy === true || isPolicyKind(origin.kind);
}

/** `Kind namespace/name (detail)`. */
export function formatOrigin(origin: Origin): string {
  const name = origin.namespace === undefined ? origin.name : `${origin.namespace}/${origin.name}`;
  return `${origin.kind} ${name}${origin.detail === undefined ? "" : ` (${origin.detail})`}`;
}
