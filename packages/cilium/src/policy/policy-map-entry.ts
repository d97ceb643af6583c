import type { PolicyRule } from "./policy-rule.ts";

/** Kinds of authentication in policy maps (pkg/policy/types/auth.go). */
export const AUTH_TYPE = { disabled: 0, spire: 1, "test-always-fail": 2 } as const;
export type AuthType = (typeof AUTH_TYPE)[keyof typeof AUTH_TYPE];

/** What an entry of an endpoint's policy map says (pkg/policy/types/entry.go). */
export interface PolicyMapEntry {
  readonly deny: boolean;
  /** 0 where nothing is redirected. */
  readonly proxyPort: number;
  /** Which redirect comes first; 0 where there is none. */
  readonly proxyPortPriority: number;
  readonly authType: AuthType;
  /** A rule said so, and it does not come from another entry. */
  readonly authExplicit: boolean;
  /** Rules that the entry comes from; none where the agent made it itself. */
  readonly rules: readonly PolicyRule[];
}

/** Priorities of listeners are the other way around, and below these. */
const MAX_PROXY_PORT_PRIORITY = 127;
const MAX_LISTENER_PRIORITY = 126;

export function policyMapEntry(given: {
  readonly deny: boolean;
  readonly proxyPort: number;
  /** 0 is none. */
  readonly listenerPriority: number;
  readonly authType: AuthType;
  readonly authExplicit: boolean;
  readonly rules: readonly PolicyRule[];
}): PolicyMapEntry {
  const { proxyPort, listenerPriority, authType, authExplicit, rules } = given;
  if (given.deny) return { ...ALLOW, deny: true, rules };
  const priority =
    listenerPriority === 0
      ? 1
      : MAX_PROXY_PORT_PRIORITY + 1 - Math.min(listenerPriority, MAX_LISTENER_PRIORITY);
  return {
    deny: false,
    proxyPort,
    proxyPortPriority: proxyPort === 0 ? 0 : priority,
    authType,
    authExplicit,
    rules,
  };
}

/** Everything goes; no rule says so. */
export const ALLOW: PolicyMapEntry = {
  deny: false,
  proxyPort: 0,
  proxyPortPriority: 0,
  authType: AUTH_TYPE.disabled,
  authExplicit: false,
  rules: [],
};

/** Whether the datapath does the same with both. */
export function sameInDatapath(x: PolicyMapEntry, y: PolicyMapEntry): boolean {
  return (
    x.deny === y.deny &&
    x.proxyPort === y.proxyPort &&
    x.proxyPortPriority === y.proxyPortPriority &&
    x.authType === y.authType &&
    x.authExplicit === y.authExplicit
  );
}

/** Two entries of one key, both allowing or both denying (MapStateEntry.Merge). */
export function mergeEntries(x: PolicyMapEntry, y: PolicyMapEntry): PolicyMapEntry {
  const rules = [...new Set([...x.rules, ...y.rules])];
  if (x.deny) return { ...x, rules };
  const redirect =
    y.proxyPort !== 0 &&
    (y.proxyPortPriority > x.proxyPortPriority ||
      (y.proxyPortPriority === x.proxyPortPriority && y.proxyPort < x.proxyPort))
      ? y
      : x;
  const auth =
    x.authExplicit === y.authExplicit ? (y.authType > x.authType ? y : x) : x.authExplicit ? x : y;
  return {
    deny: false,
    proxyPort: redirect.proxyPort,
    proxyPortPriority: redirect.proxyPortPriority,
    authType: auth.authType,
    authExplicit: auth.authExplicit,
    rules,
  };
}
