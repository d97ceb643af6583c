import type { L7Rules } from "../api/v2/rule.ts";

// What a proxy matches (pkg/policy/api/l4.go L7Rules, pkg/policy/l4.go, pkg/policy/rule.go).

/** How many rules there are; a protocol without any counts none. */
export function l7RuleCount(rules: L7Rules | undefined): number {
  if (rules === undefined) return 0;
  const { http = [], kafka = [], dns = [], l7 = [] } = rules;
  return http.length + kafka.length + dns.length + l7.length;
}

export function hasL7Rules(rules: L7Rules | undefined): rules is L7Rules {
  return l7RuleCount(rules) > 0;
}

/** The same with one more that matches everything, where there is none such (appendL7WildcardRule). */
export function withWildcard(rules: L7Rules): L7Rules {
  const { http = [], kafka = [], dns = [], l7 = [], l7proto = "" } = rules;
  if (http.length > 0) return { ...rules, http: union(http, [{}]) };
  if (kafka.length > 0) return { ...rules, kafka: union(kafka, [{}]) };
  if (dns.length > 0) return { ...rules, dns: union(dns, [{ matchPattern: "*" }]) };
  if (l7proto !== "" && l7.length > 0) return { ...rules, l7: union(l7, [{}]) };
  return rules;
}

/** All of both, none twice. */
export function unionOfRules(x: L7Rules, y: L7Rules): L7Rules {
  const l7proto = x.l7proto || y.l7proto;
  const http = union(x.http ?? [], y.http ?? []);
  const kafka = union(x.kafka ?? [], y.kafka ?? []);
  const dns = union(x.dns ?? [], y.dns ?? []);
  const l7 = union(x.l7 ?? [], y.l7 ?? []);
  return {
    ...(http.length > 0 && { http }),
    ...(kafka.length > 0 && { kafka }),
    ...(dns.length > 0 && { dns }),
    ...(l7.length > 0 && { l7 }),
    ...(l7proto && { l7proto }),
  };
}

function union<T extends object>(x: readonly T[], y: readonly T[]): readonly T[] {
  const known = new Set(x.map(textOf));
  return [...x, ...y.filter((each) => !known.has(textOf(each)))];
}

/** Equal where what they say is: no field says the same as an empty one. */
export function textOf(value: unknown): string {
  return JSON.stringify(value, (_key, each) => {
    if (each === null || typeof each !== "object" || Array.isArray(each)) return each;
    const said = Object.entries(each).filter(([, field]) => field !== "" && field !== undefined);
    return Object.fromEntries(said.sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
