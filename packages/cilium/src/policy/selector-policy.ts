import type { Authentication, L7Rules, TLSContext } from "../api/v2/rule.ts";
import { hasL7Rules, textOf, unionOfRules, withWildcard } from "./l7-rules.ts";
import { AUTH_TYPE, type AuthType } from "./policy-map-entry.ts";

/** What reads a connection: nothing where it is empty, and a name of proxylib's where it is none of these (pkg/policy/l4.go). */
export type L7Parser = "" | "tls" | "crd" | "http" | "kafka" | "dns" | (string & {});

/** Of redirects without a priority of their own; the least comes first. */
export function listenerPriorityOf(parser: L7Parser): number {
  switch (parser) {
    case "":
      return 0;
    case "http":
      return 101;
    case "kafka":
      return 106;
    case "tls":
      return 116;
    case "dns":
      return 121;
    case "crd":
      return 126;
    default:
      return 111;
  }
}

/** A policy that cannot be computed, since two rules contradict each other. */
export class PolicyConflictError extends Error {
  override readonly name = "PolicyConflictError";
}

/** What holds for the peers of one selector at one port (pkg/policy/l4.go PerSelectorPolicy). */
export interface SelectorPolicy {
  readonly parser: L7Parser;
  readonly terminatingTls?: TLSContext;
  readonly originatingTls?: TLSContext;
  readonly serverNames: readonly string[];
  /** Qualified by its CiliumEnvoyConfig; empty for the proxy's own. */
  readonly listener: string;
  readonly listenerPriority: number;
  readonly rules?: L7Rules;
  readonly authentication?: Authentication;
  readonly deny: boolean;
}

/** What plain rules come to. */
export const PLAIN: SelectorPolicy = {
  parser: "",
  serverNames: [],
  listener: "",
  listenerPriority: 0,
  deny: false,
};

export function authOf({ authentication }: SelectorPolicy): {
  readonly authType: AuthType;
  readonly authExplicit: boolean;
} {
  switch (authentication?.mode) {
    case undefined:
      return { authType: AUTH_TYPE.disabled, authExplicit: false };
    case "disabled":
      return { authType: AUTH_TYPE.disabled, authExplicit: true };
    case "required":
      return { authType: AUTH_TYPE.spire, authExplicit: true };
    case "test-always-fail":
      return { authType: AUTH_TYPE["test-always-fail"], authExplicit: true };
  }
}

/** Two policies of one selector at one port (pkg/policy/rule.go mergePortProto). @throws PolicyConflictError */
export function mergeSelectorPolicies(x: SelectorPolicy, y: SelectorPolicy): SelectorPolicy {
  if (x === y || textOf(x) === textOf(y)) return x;
  if (x.deny) return x;
  if (y.deny) return y;
  const redirect = mergeRedirects(x, y);
  const authentication = oneOfBoth(x.authentication, y.authentication, "authentication types");
  const terminatingTls = oneOfBoth(x.terminatingTls, y.terminatingTls, "terminating TLS contexts");
  const originatingTls = oneOfBoth(x.originatingTls, y.originatingTls, "originating TLS contexts");
  const serverNames = [...new Set([...x.serverNames, ...y.serverNames])];
  if (serverNames.length > 0 && hasL7Rules(x.rules) && terminatingTls === undefined) {
    throw new PolicyConflictError(
      `cannot merge L7 rules with SNI filtering without TLS termination: ${serverNames.join(", ")}`,
    );
  }
  const rules = mergeRules(x.rules, y.rules);
  return {
    ...redirect,
    serverNames,
    deny: false,
    ...(authentication && { authentication }),
    ...(terminatingTls && { terminatingTls }),
    ...(originatingTls && { originatingTls }),
    ...(rules && { rules }),
  };
}

/** Plain allowing beside rules for a proxy does not go past it: the proxy lets everything through. */
function mergeRules(x: L7Rules | undefined, y: L7Rules | undefined): L7Rules | undefined {
  if (!hasL7Rules(x)) return hasL7Rules(y) ? withWildcard(y) : (x ?? y);
  return hasL7Rules(y) ? unionOfRules(x, y) : withWildcard(x);
}

function mergeRedirects(
  x: SelectorPolicy,
  y: SelectorPolicy,
): Pick<SelectorPolicy, "parser" | "listener" | "listenerPriority"> {
  const parser = mergeParsers(x.parser, y.parser);
  const listenerPriority = parser === x.parser ? x.listenerPriority : y.listenerPriority;
  const own = { parser, listener: x.listener, listenerPriority };
  if (y.listener === "") return own;
  if (y.listener === x.listener && y.listenerPriority === listenerPriority) return own;
  if (comesFirst(listenerPriority, y.listenerPriority)) return own;
  if (x.listener === "" || comesFirst(y.listenerPriority, listenerPriority)) {
    return { parser, listener: y.listener, listenerPriority: y.listenerPriority };
  }
  throw new PolicyConflictError(
    `cannot merge conflicting CiliumEnvoyConfig Listeners (${y.listener}/${x.listener}) with the same priority (${listenerPriority})`,
  );
}

/** No priority comes last. */
function comesFirst(priority: number, other: number): boolean {
  return (priority === 0 ? 256 : priority) < (other === 0 ? 256 : other);
}

function mergeParsers(x: L7Parser, y: L7Parser): L7Parser {
  if (x === y) return x;
  if (canBecome(x, y)) return y;
  if (canBecome(y, x)) return x;
  throw new PolicyConflictError(`cannot merge conflicting L7 parsers (${x}/${y})`);
}

/** TLS is read before what is in it. */
function canBecome(from: L7Parser, to: L7Parser): boolean {
  return from === "" || (from === "tls" && to !== "" && to !== "dns" && to !== "crd");
}

function oneOfBoth<T>(x: T | undefined, y: T | undefined, what: string): T | undefined {
  if (x === undefined || y === undefined) return x ?? y;
  if (textOf(x) === textOf(y)) return x;
  throw new PolicyConflictError(`cannot merge conflicting ${what}`);
}
