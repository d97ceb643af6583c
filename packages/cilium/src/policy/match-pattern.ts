// Patterns of DNS names (pkg/fqdn/matchpattern/matchpattern.go, pkg/policy/api/fqdn.go).

/** What `*` stands for, as often as one likes: it never leaves a label. */
const DNS_CHARACTER = "[-a-zA-Z0-9_]";

/** In lower case, and with the dot at its end. */
export function fqdn(name: string): string {
  const lower = name.toLowerCase();
  return lower.endsWith(".") ? lower : `${lower}.`;
}

/** A lone `*` stays as it is. */
export function sanitizePattern(pattern: string): string {
  return pattern === "*" ? pattern : fqdn(pattern);
}

/** Of a sanitized pattern; names are in lower case with a dot at their end. */
export function patternExpression(pattern: string): string {
  const trimmed = pattern.trim().toLowerCase();
  if (trimmed === "*") return `(^(${DNS_CHARACTER}+[.])+$)|(^[.]$)`;
  return `^${trimmed.replaceAll(".", "[.]").replaceAll("*", `${DNS_CHARACTER}*`)}$`;
}

/** A name or a pattern, one of them. */
export interface FqdnSelection {
  readonly matchName?: string;
  readonly matchPattern?: string;
}

/** The name where there are both. */
export function fqdnExpression({ matchName, matchPattern }: FqdnSelection): RegExp {
  const hasName = matchName !== undefined && matchName !== "";
  return new RegExp(
    patternExpression(hasName ? fqdn(matchName) : sanitizePattern(matchPattern ?? "")),
  );
}
