import { type ConfigMap, type Ingress, objectKey } from "@cnilab/core";
import type { IngressDialect } from "../ingress/ingress-input.ts";
import type { ProxyRules } from "../routing/proxy-rules.ts";
import type { RequestHead } from "../routing/request-head.ts";
import type { Aspect, DerivedRequest } from "./derive-requests.ts";
import { compareFates, type Fate, fateOf } from "./fate.ts";
import {
  limitsNotCompared,
  type NotCompared,
  notComparedOf,
  portNotCompared,
  settingsNotCompared,
  type UnreadPart,
  unreadParts,
} from "./not-compared.ts";
import { whyDifferent } from "./why-different.ts";

/** Ingresses, and the rules that they make. */
export interface IngressSide {
  readonly rules: ProxyRules;
  readonly ingresses: readonly Ingress[];
  readonly dialect: IngressDialect;
  /** Among them perhaps the controller's own settings. */
  readonly configMaps?: readonly ConfigMap[];
}

/** A request that two rule sets treat differently. */
export interface RuleDifference {
  readonly request: RequestHead;
  readonly aspect: Aspect;
  readonly ingress: Fate;
  readonly routes: Fate;
  readonly why: string;
}

export interface RuleComparison {
  readonly differences: readonly RuleDifference[];
  /** Without differences, all is alike but for these. */
  readonly notCompared: readonly NotCompared[];
}

/** Asks Ingresses and routes the same, and says where they differ, and what cannot be compared. */
export function diffRules(
  { rules, ingresses, dialect, configMaps = [] }: IngressSide,
  routes: ProxyRules,
  requests: readonly DerivedRequest[],
): RuleComparison {
  const differences: RuleDifference[] = [];
  const notCompared = new Map<string, NotCompared>();
  const note = (each: NotCompared): void => {
    const key = `${each.object} ${each.field} ${each.why}`;
    if (!notCompared.has(key)) notCompared.set(key, each);
  };
  const unread = new Map<string, ReadonlySet<UnreadPart>>();
  for (const ingress of ingresses) {
    const open = notComparedOf(ingress, dialect);
    for (const each of open) note(each);
    unread.set(objectKey(ingress), unreadParts(open));
  }
  const ingressHosts = new Set(
    ingresses.flatMap(({ spec }) => (spec.rules ?? []).map(({ host = "" }) => host)),
  );
  for (const each of configMaps.flatMap(settingsNotCompared)) note(each);
  for (const { request, aspect } of requests) {
    const ofIngress = rules.routeRequest(request);
    const ofRoutes = routes.routeRequest(request);
    const by = ofIngress.rule;
    const except = by && unread.get(`${by.namespace}/${by.name}`);
    const x = { rules, decision: ofIngress, fate: fateOf(ofIngress, request, except) };
    const y = { rules: routes, decision: ofRoutes, fate: fateOf(ofRoutes, request, except) };
    if (ofRoutes.action === "forward") for (const each of limitsNotCompared(ofRoutes)) note(each);
    const { same, unknownPorts } = compareFates(x.fate, y.fate);
    if (!same) {
      const why = whyDifferent({ request, ingress: x, routes: y, ingressHosts });
      differences.push({ request, aspect, ingress: x.fate, routes: y.fate, why });
      continue;
    }
    for (const { service, named, number } of unknownPorts) {
      note(portNotCompared(service, named, number));
    }
  }
  return { differences, notCompared: [...notCompared.values()] };
}
