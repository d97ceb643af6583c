import type { Origin } from "@cnilab/core";

/** What a trace and a drop say of a rule, whichever machine it belongs to. */
export interface FilterRule {
  /** Table and chain, as `nat KUBE-SERVICES` or `ip kube-proxy services`. */
  readonly location: string;
  /** The rule in the syntax of the tool that lists it. */
  readonly text: string;
  /** The object whose change made an agent program it. */
  readonly origin: Origin | undefined;
}
