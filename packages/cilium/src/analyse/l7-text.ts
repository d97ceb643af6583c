import type { Authentication, FQDNSelector, PortRule, PortRuleHTTP } from "../api/v2/rule.ts";
import type { L7Parser } from "../policy/selector-policy.ts";

/** How many rules of a proxy are told. */
const TOLD = 3;

/** What a proxy, or authentication, has to say about connections that a rule allows; nothing where that is all. */
export function providedText(
  portRule: PortRule,
  parser: L7Parser,
  authentication: Authentication | undefined,
): string | undefined {
  const conditions = [
    ...(parser === "" ? [] : [`a proxy lets it through: ${proxyText(portRule, parser)}`]),
    ...(authentication === undefined || authentication.mode === "disabled"
      ? []
      : [`both ends authenticate (${authentication.mode}), which is not modelled`]),
  ];
  return conditions.length === 0 ? undefined : conditions.join(", and ");
}

function proxyText({ rules = {}, serverNames = [], listener }: PortRule, parser: L7Parser): string {
  const { http = [], kafka = [], dns = [], l7 = [], l7proto } = rules;
  switch (parser) {
    case "http":
      return `HTTP ${listed(http.map(httpText))}`;
    case "kafka":
      return `Kafka ${listed(kafka.map(({ topic, apiKey, role }) => topic ?? apiKey ?? role ?? "anything"))}`;
    case "dns":
      return `DNS ${listed(dns.map(nameText))}`;
    case "tls":
      return serverNames.length === 0 ? "TLS" : `TLS to ${listed(serverNames)}`;
    case "crd":
      return `listener ${listener?.name} of ${listener?.envoyConfig.name}`;
    default:
      return `${l7proto} ${listed(l7.map((each) => JSON.stringify(each)))}`;
  }
}

function httpText({ method, path, host, headers = [], headerMatches = [] }: PortRuleHTTP): string {
  const parts = [
    method ?? "",
    `${host ?? ""}${path ?? ""}`,
    ...[...headers, ...headerMatches.map(({ name }) => name)].map((name) => `with ${name}`),
  ].filter((part) => part !== "");
  return parts.length === 0 ? "anything" : parts.join(" ");
}

export function nameText({ matchName, matchPattern }: FQDNSelector): string {
  return matchName || matchPattern || "";
}

function listed(texts: readonly string[]): string {
  const more = texts.length > TOLD ? ` and ${texts.length - TOLD} more` : "";
  return `${texts.slice(0, TOLD).join(", ")}${more}`;
}
