import type { RouteBackend, RouteDecision } from "./decision.ts";

/** What a client comes to, in few words: the backend's name, or the status that it gets. */
export interface Outcome {
  readonly backend?: string;
  readonly status?: number;
  /** Of a redirect. */
  readonly location?: string;
}

/** @param choose which of several backends */
export function outcomeOf(
  decision: RouteDecision,
  choose: (backends: readonly RouteBackend[]) => RouteBackend,
): Outcome {
  switch (decision.action) {
    case "answer":
      return { status: decision.status };
    case "redirect":
      return { status: decision.status, location: decision.location };
    case "forward": {
      const { name, error, redirect } = choose(decision.backends);
      if (redirect !== undefined) return redirect;
      return error === undefined ? { backend: name } : { status: error.status };
    }
  }
}
