import type { ProxyRules } from "../routing/proxy-rules.ts";
import type { RequestHead } from "../routing/request-head.ts";
import type { Aspect, DerivedRequest } from "./derive-requests.ts";
import { type Fate, fateOf, sameFate } from "./fate.ts";
import { whyDifferent } from "./why-different.ts";

/** A request that two rule sets treat differently. */
export interface RuleDifference {
  readonly request: RequestHead;
  readonly aspect: Aspect;
  readonly ingress: Fate;
  readonly routes: Fate;
  readonly why: string;
}

/** Asks an Ingress and routes the same, and says where they differ. */
export function diffRules(
  ingress: ProxyRules,
  routes: ProxyRules,
  requests: readonly DerivedRequest[],
): readonly RuleDifference[] {
  const found: RuleDifference[] = [];
  for (const { request, aspect } of requests) {
    const [x, y] = [ingress, routes].map((rules) => {
      const decision = rules.routeRequest(request);
      return { decision, fate: fateOf(decision, request) };
    }) as [Parameters<typeof whyDifferent>[1], Parameters<typeof whyDifferent>[2]];
    if (sameFate(x.fate, y.fate)) continue;
    found.push({
      request,
      aspect,
      ingress: x.fate,
      routes: y.fate,
      why: whyDifferent(aspect, x, y),
    });
  }
  return found;
}
