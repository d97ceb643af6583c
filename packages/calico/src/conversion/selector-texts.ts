import type { EntityRule, ServiceAccountMatch } from "../api/v3/rule.ts";
import { parseSelector } from "../selector/selector.ts";
import { SelectorError } from "../selector/selector-error.ts";
import {
  LABEL_NAMESPACE,
  LABEL_SERVICE_ACCOUNT,
  NAMESPACE_LABEL_PREFIX,
  SERVICE_ACCOUNT_LABEL_PREFIX,
} from "./labels.ts";

const HAS_NAMESPACE = `has(${LABEL_NAMESPACE})`;
const HAS_SERVICE_ACCOUNT = `has(${LABEL_SERVICE_ACCOUNT})`;

/** A selector over inherited labels, in canonical form; empty where it cannot be read (`updateprocessors/selectors.go` parseSelectorAttachPrefix). */
function prefixed(text: string, prefix: string): string {
  try {
    return parseSelector(text).withLabelPrefix(prefix).canonical;
  } catch (error) {
    if (error instanceof SelectorError) return "";
    throw error;
  }
}

/** One selector and another over inherited labels, both of which must match (prefixAndAppendSelector). */
function withInherited(current: string, added: string | undefined, prefix: string): string {
  if (added === undefined || added === "") return current;
  const inherited = prefixed(added, prefix);
  if (inherited === "") return current;
  return current === "" ? inherited : `(${current}) && ${inherited}`;
}

/** Whom a policy of a namespace is about (`updateprocessors/networkpolicyprocessor.go`). */
export function namespacedSubject(
  selector: string | undefined,
  namespace: string,
  serviceAccountSelector?: string,
): string {
  const own = `${LABEL_NAMESPACE} == '${namespace}'`;
  const endpoints = selector === undefined || selector === "" ? own : `(${selector}) && ${own}`;
  return withInherited(endpoints, serviceAccountSelector, SERVICE_ACCOUNT_LABEL_PREFIX);
}

/**
 * Whom a global policy is about (`updateprocessors/globalnetworkpolicyprocessor.go`). Where it selects namespaces (or service accounts), every `all()`
 * of it, wherever it stands in the text, means what has one.
 */
export function globalSubject(
  selector = "",
  namespaceSelector = "",
  serviceAccountSelector = "",
): string {
  let subject = selector;
  if (namespaceSelector !== "") {
    subject = withInherited(subject, namespaceSelector, NAMESPACE_LABEL_PREFIX).replaceAll(
      "all()",
      HAS_NAMESPACE,
    );
  }
  if (serviceAccountSelector !== "") {
    subject = withInherited(
      subject,
      serviceAccountSelector,
      SERVICE_ACCOUNT_LABEL_PREFIX,
    ).replaceAll("all()", HAS_SERVICE_ACCOUNT);
  }
  return subject;
}

/**
 * Whom one side of a rule is about (`updateprocessors/rules.go` getEndpointSelector): empty where no selector of endpoints, namespaces or
 * service accounts is given. In a policy of a namespace each of them but the namespaces' alone means endpoints of that namespace.
 * @param namespace of the policy; empty for a global one
 */
export function peerSelector(side: EntityRule, namespace: string): string {
  const { selector = "", namespaceSelector = "", notSelector = "", serviceAccounts } = side;
  const accounts = serviceAccounts === undefined ? "" : serviceAccountsSelector(serviceAccounts);
  const terms = [accounts, selector].filter((term) => term !== "");
  const endpoints = terms.length === 2 ? `(${terms.join(") && (")})` : (terms[0] ?? "");
  const namespaces = peerNamespaces(namespaceSelector, namespace);
  if (namespaces === "" || (endpoints === "" && notSelector === "" && namespaceSelector === ""))
    return endpoints;
  return endpoints === "" ? namespaces : `(${namespaces}) && (${endpoints})`;
}

function peerNamespaces(namespaceSelector: string, namespace: string): string {
  if (namespaceSelector === "")
    return namespace === "" ? "" : `${LABEL_NAMESPACE} == '${namespace}'`;
  return prefixed(namespaceSelector, NAMESPACE_LABEL_PREFIX)
    .replaceAll("all()", HAS_NAMESPACE)
    .replaceAll("global()", `!${HAS_NAMESPACE}`);
}

/** Names and selector of service accounts, both of which must match (parseServiceAccounts). */
function serviceAccountsSelector({ names = [], selector = "" }: ServiceAccountMatch): string {
  const bySelector = selector === "" ? "" : prefixed(selector, SERVICE_ACCOUNT_LABEL_PREFIX);
  if (names.length === 0) return bySelector;
  const byName = prefixed(`${LABEL_SERVICE_ACCOUNT} in { '${names.join("', '")}' }`, "");
  return bySelector === "" ? byName : `(${bySelector}) && (${byName})`;
}
