import type { RouteBackend, RouteDecision } from "../routing/decision.ts";

/** What becomes of a request, in a form that two rule sets can be compared by. */
export interface Fate {
  readonly status?: number;
  readonly location?: string;
  /** Backends as `namespace/name:port`, with their share where there are several. */
  readonly backends?: readonly string[];
  /** What the backend gets, where that is not what the client sent. */
  readonly path?: string;
  readonly host?: string;
  readonly headers?: readonly string[];
  /** Whether clients are kept at one endpoint. */
  readonly session?: boolean;
}

export function fateOf(
  decision: RouteDecision,
  asked: { readonly host: string; readonly path: string },
): Fate {
  switch (decision.action) {
    case "answer":
      return { status: decision.status };
    case "redirect":
      return { status: decision.status, location: withPath(decision.location) };
    case "forward": {
      const { path, host, requestHeaders, session } = decision;
      const headers = requestHeaders.flatMap(({ set = [], add = [], remove = [] }) => [
        ...set.map((h) => `${h.name.toLowerCase()}: ${h.value}`),
        ...add.map((h) => `+${h.name.toLowerCase()}: ${h.value}`),
        ...remove.map((name) => `-${name.toLowerCase()}`),
      ]);
      return {
        backends: shares(decision.backends),
        ...(path !== asked.path && { path }),
        ...(host !== asked.host && { host }),
        ...(headers.length > 0 && { headers: headers.sort() }),
        ...(session !== undefined && { session: true }),
      };
    }
  }
}

/** A client asks for `/` where an address has no path (RFC 3986 §6.2.3). */
function withPath(location: string): string {
  return /^https?:\/\/[^/?#]+$/.test(location) ? `${location}/` : location;
}

function shares(backends: readonly RouteBackend[]): string[] {
  const sum = backends.reduce((total, { weight }) => total + weight, 0);
  const byName = new Map<string, number>();
  for (const { namespace, name, port, weight, error } of backends) {
    const text = error === undefined ? `${namespace}/${name}:${port}` : `status ${error.status}`;
    byName.set(text, (byName.get(text) ?? 0) + weight);
  }
  const list = [...byName].sort(([x], [y]) => (x < y ? -1 : 1));
  if (list.length === 1) return list.map(([text]) => text);
  return list.map(([text, weight]) => `${text} ${Number(((weight / sum) * 100).toFixed(2))}%`);
}

export function sameFate(x: Fate, y: Fate): boolean {
  return JSON.stringify(ordered(x)) === JSON.stringify(ordered(y));
}

function ordered({ status, location, backends, path, host, headers, session }: Fate): unknown {
  return [status, location, backends, path, host, headers, session];
}

/** As `shop/cart:80 at /items`, `308 https://shop.example.com/`, `404`. */
export function fateText(fate: Fate): string {
  if (fate.backends === undefined) {
    return [fate.status, fate.location].filter((part) => part !== undefined).join(" ");
  }
  return [
    fate.backends.join(", "),
    ...(fate.path === undefined ? [] : [`at ${fate.path}`]),
    ...(fate.host === undefined ? [] : [`as ${fate.host}`]),
    ...(fate.headers === undefined ? [] : [`with ${fate.headers.join(", ")}`]),
    ...(fate.session === true ? ["kept by session"] : []),
  ].join(" ");
}
