import type { Ingress } from "@cnilab/core";
import type { BackendProtocol } from "../routing/decision.ts";

export const NGINX_ANNOTATION = "nginx.ingress.kubernetes.io/";

/** When the canary gets a request (rootfs/etc/nginx/lua/balancer.lua route_to_alternative_balancer). */
export interface CanaryPolicy {
  readonly weight: number;
  readonly weightTotal: number;
  /** In lower case. */
  readonly header?: string;
  readonly headerValue?: string;
  readonly headerPattern?: string;
  readonly cookie?: string;
}

/** What annotations of one Ingress say of where its requests go (ingress-nginx v1.15, internal/ingress/annotations). */
export interface NginxSettings {
  readonly rewriteTarget: string;
  readonly useRegex: boolean;
  readonly sslRedirect: boolean | undefined;
  readonly forceSslRedirect: boolean;
  readonly preserveTrailingSlash: boolean;
  readonly appRoot: string;
  readonly redirect: { readonly url: string; readonly code: number } | undefined;
  readonly fromToWww: boolean;
  readonly canary: CanaryPolicy | undefined;
  readonly affinityCookie: { readonly name: string; readonly path: string } | undefined;
  readonly serviceUpstream: boolean;
  readonly backendProtocol: BackendProtocol | "AUTO_HTTP";
  readonly upstreamVhost: string;
  readonly forwardedPrefix: string;
  readonly aliases: readonly string[];
  /** Service of the same namespace that answers where a path's own has no endpoints. */
  readonly defaultBackend: string;
}

/** Annotations that these settings are read from. */
const READ = new Set([
  "rewrite-target",
  "use-regex",
  "ssl-redirect",
  "force-ssl-redirect",
  "preserve-trailing-slash",
  "app-root",
  "permanent-redirect",
  "permanent-redirect-code",
  "temporal-redirect",
  "temporal-redirect-code",
  "from-to-www-redirect",
  "canary",
  "canary-weight",
  "canary-weight-total",
  "canary-by-header",
  "canary-by-header-value",
  "canary-by-header-pattern",
  "canary-by-cookie",
  "affinity",
  "affinity-mode",
  "session-cookie-name",
  "session-cookie-path",
  "service-upstream",
  "backend-protocol",
  "upstream-vhost",
  "x-forwarded-prefix",
  "server-alias",
  "default-backend",
]);

const PROTOCOLS: readonly string[] = ["HTTP", "HTTPS", "AUTO_HTTP", "GRPC", "GRPCS", "FCGI"];

export interface AnnotationFinding {
  readonly annotation: string;
  readonly message: string;
}

/** Settings of an Ingress, and what of its annotations does nothing here or cannot be read. */
export function nginxSettings(ingress: Ingress): {
  readonly settings: NginxSettings;
  readonly findings: readonly AnnotationFinding[];
} {
  const reader = new AnnotationReader(ingress);
  const settings: NginxSettings = {
    rewriteTarget: reader.text("rewrite-target"),
    useRegex: reader.boolean("use-regex") ?? false,
    sslRedirect: reader.boolean("ssl-redirect"),
    forceSslRedirect: reader.boolean("force-ssl-redirect") ?? false,
    preserveTrailingSlash: reader.boolean("preserve-trailing-slash") ?? false,
    appRoot: reader.path("app-root"),
    redirect: redirect(reader),
    fromToWww: reader.boolean("from-to-www-redirect") ?? false,
    canary: canary(reader),
    affinityCookie:
      reader.text("affinity") === "cookie"
        ? {
            name: reader.text("session-cookie-name") || "INGRESSCOOKIE",
            path: reader.text("session-cookie-path"),
          }
        : undefined,
    serviceUpstream: reader.boolean("service-upstream") ?? false,
    backendProtocol: reader.protocol("backend-protocol"),
    upstreamVhost: reader.text("upstream-vhost"),
    forwardedPrefix: reader.text("x-forwarded-prefix"),
    aliases: reader
      .text("server-alias")
      .split(",")
      .map((alias) => alias.trim().toLowerCase())
      .filter((alias) => alias !== ""),
    defaultBackend: reader.text("default-backend"),
  };
  reader.nameOthers();
  return { settings, findings: reader.findings };
}

/** Names, without the prefix, of ingress-nginx's annotations that nothing here looks at; in order. */
export function unreadAnnotations(annotations: Readonly<Record<string, string>>): string[] {
  return Object.keys(annotations)
    .filter((key) => key.startsWith(NGINX_ANNOTATION))
    .map((key) => key.slice(NGINX_ANNOTATION.length))
    .filter((name) => !READ.has(name))
    .sort();
}

class AnnotationReader {
  readonly findings: AnnotationFinding[] = [];
  readonly #annotations: Readonly<Record<string, string>>;

  constructor(ingress: Ingress) {
    this.#annotations = ingress.metadata.annotations ?? {};
  }

  text(name: string): string {
    return this.#annotations[NGINX_ANNOTATION + name]?.trim() ?? "";
  }

  /** As Go's strconv.ParseBool. */
  boolean(name: string): boolean | undefined {
    const text = this.text(name);
    if (text === "") return undefined;
    if (/^(1|t|T|TRUE|true|True)$/.test(text)) return true;
    if (/^(0|f|F|FALSE|false|False)$/.test(text)) return false;
    this.#unread(name, "true or false");
    return undefined;
  }

  integer(name: string): number | undefined {
    const text = this.text(name);
    if (text === "") return undefined;
    if (/^[0-9]{1,9}$/.test(text)) return Number(text);
    this.#unread(name, "a whole number");
    return undefined;
  }

  path(name: string): string {
    const text = this.text(name);
    if (text === "" || text.startsWith("/")) return text;
    this.#unread(name, "a path that starts with /");
    return "";
  }

  protocol(name: string): NginxSettings["backendProtocol"] {
    const text = this.text(name).toUpperCase();
    if (text === "") return "HTTP";
    if (PROTOCOLS.includes(text)) return text as NginxSettings["backendProtocol"];
    this.#unread(name, PROTOCOLS.join(", "));
    return "HTTP";
  }

  find(annotation: string, message: string): void {
    this.findings.push({ annotation: NGINX_ANNOTATION + annotation, message });
  }

  /** One finding for all that nothing here looks at. */
  nameOthers(): void {
    const [first, ...more] = unreadAnnotations(this.#annotations);
    if (first === undefined) return;
    const rest =
      more.length > 0 ? `, and so ${more.length > 1 ? "do" : "does"} ${more.join(", ")}` : "";
    this.find(first, `changes nothing here${rest}`);
  }

  #unread(name: string, wanted: string): void {
    this.find(name, `must be ${wanted}, and is left out as ingress-nginx leaves it out`);
  }
}

/** internal/ingress/annotations/redirect/redirect.go: what is temporary goes first. */
function redirect(reader: AnnotationReader): NginxSettings["redirect"] {
  for (const [name, usual, most] of [
    ["temporal-redirect", 302, 307],
    ["permanent-redirect", 301, 308],
  ] as const) {
    const url = reader.text(name);
    if (url === "") continue;
    if (!/^(https?:\/\/|\$scheme:\/\/)/.test(url)) {
      reader.find(name, "must be a URL that starts with http:// or https://, and is left out");
      continue;
    }
    const code = reader.integer(`${name}-code`) ?? usual;
    return { url, code: code < 300 || code > most ? usual : code };
  }
  return undefined;
}

function canary(reader: AnnotationReader): CanaryPolicy | undefined {
  if (reader.boolean("canary") !== true) return undefined;
  const header = reader.text("canary-by-header").toLowerCase();
  const headerValue = reader.text("canary-by-header-value");
  const headerPattern = reader.text("canary-by-header-pattern");
  const cookie = reader.text("canary-by-cookie");
  const weightTotal = reader.integer("canary-weight-total") ?? 100;
  return {
    weight: reader.integer("canary-weight") ?? 0,
    weightTotal: Math.max(weightTotal, 100),
    ...(header === "" ? {} : { header }),
    ...(headerValue === "" ? {} : { headerValue }),
    ...(headerPattern === "" ? {} : { headerPattern }),
    ...(cookie === "" ? {} : { cookie }),
  };
}
