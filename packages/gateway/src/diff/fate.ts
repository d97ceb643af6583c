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
  for (const backend of backends) {
    const { weight } = backend;
    const text = backendText(backend);
    byName.set(text, (byName.get(text) ?? 0) + weight);
  }
  const list = [...byName].sort(([x], [y]) => (x < y ? -1 : 1));
  if (list.length === 1) return list.map(([text]) => text);
  return list.map(([text, weight]) => `${text} ${Number(((weight / sum) * 100).toFixed(2))}%`);
}

function backendText({ namespace, name, port, error, redirect, path, host }: RouteBackend): string {
  if (redirect !== undefined) return `${redirect.status} ${withPath(redirect.location)}`;
  if (error !== undefined) return `status ${error.status}`;
  const own = [path === undefined ? "" : ` at ${path}`, host === undefined ? "" : ` as ${host}`];
  return `${namespace}/${name}:${port}${own.join("")}`;
}

export function sameFate(x: Fate, y: Fate): boolean {
  if (JSON.stringify(rest(x)) !== JSON.stringify(rest(y))) return false;
  const [ofX = [], ofY = []] = [x.backends, y.backends];
  return ofX.length === ofY.length && ofX.every((text, i) => sameBackend(text, ofY[i] as string));
}

function rest({ status, location, backends, path, host, headers, session }: Fate): unknown {
  return [status, location, backends === undefined, path, host, headers, session];
}

/** A port that one side names and the other numbers may be the same: nobody knows without the Service. */
function sameBackend(x: string, y: string): boolean {
  if (x === y) return true;
  const [one, other] = [x, y].map((text) => /^([^: ]*):([^: ]+)(.*)$/.exec(text)?.slice(1));
  if (one === undefined || other === undefined) return false;
  const isNamed = /^[0-9]+$/.test(one[1] ?? "") !== /^[0-9]+$/.test(other[1] ?? "");
  return isNamed && one[0] === other[0] && one[2] === other[2];
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
