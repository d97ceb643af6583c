import { type ConfigMap, type Ingress, objectKey } from "@cnilab/core";
import type { IngressDialect } from "../ingress/ingress-input.ts";
import { NGINX_ANNOTATION, unreadAnnotations } from "../ingress/nginx-annotations.ts";
import type { Forward } from "../routing/decision.ts";

/** Something of the input that may change what becomes of requests, and that is held against nothing. */
export interface NotCompared {
  /** A short name: of the annotation without its prefix, or of the field. */
  readonly what: string;
  readonly object: string;
  readonly field: string;
  /** One line, with what to do. */
  readonly why: string;
}

/** Parts of a fate that an Ingress speaks of in annotations that nothing here reads. */
export type UnreadPart = "cors" | "mirrors" | "responseHeaders";

/** Neither where a request goes nor what the client gets hangs on these: logs, traces, buffers, and how an endpoint is balanced. */
const ASIDE =
  /^(enable-(access|rewrite)-log|(enable-)?(opentelemetry|opentracing)(-.*)?|proxy-(busy-)?buffer.*|proxy-request-buffering|proxy-max-temp-file-size|client-body-buffer-size|load-balance|upstream-hash-by.*)$/;

/** Read for what a proxy in a cluster does; here, where no endpoints are known, they change nothing. */
const WITHOUT_COUNTERPART: Readonly<Record<string, string>> = {
  "default-backend": "another Service answers where a path's own has no endpoints",
};

const LEFT_OPEN: readonly (readonly [RegExp, string])[] = [
  [
    /^(auth-|enable-global-auth$|satisfy$|(white|allow|deny)list-source-range$|enable-modsecurity$|enable-owasp|modsecurity-|limit-|global-rate-limit)/,
    "says who is let in, or how often; put something in its place, or everybody is let in",
  ],
  [/-snippet$/, "is nginx's own configuration; whatever it does falls away"],
  [/^(enable-cors$|cors-)/, "is not simulated; hold it against filters of type CORS yourself"],
  [/^mirror-/, "is not simulated; hold it against filters of type RequestMirror yourself"],
  [
    /^custom-headers$/,
    "is not simulated; hold it against filters of type ResponseHeaderModifier yourself",
  ],
  [
    /^proxy-(connect-timeout|read-timeout|send-timeout|next-upstream)/,
    "is not simulated; hold it against timeouts and retry of the rules yourself",
  ],
  [/^ssl-passthrough$/, "is not simulated; that is a TLSRoute's work"],
];

/** What annotations of an Ingress ask for, and no comparison of decisions shows. */
export function notComparedOf(ingress: Ingress, dialect: IngressDialect): NotCompared[] {
  const { annotations = {} } = ingress.metadata;
  const object = `Ingress ${objectKey(ingress)}`;
  if (dialect === "kubernetes") {
    // The API's documentation knows no annotations: those of every controller are left alone.
    return Object.keys(annotations)
      .filter((key) => /(^|\.)ingress\.kubernetes\.io\//.test(key))
      .sort()
      .map((field) => ({
        what: field.slice(field.indexOf("/") + 1),
        object,
        field,
        why: "annotations count only with --ingress-as ingress-nginx",
      }));
  }
  const unread = unreadAnnotations(annotations).filter(
    (name) => !ASIDE.test(name) && !isOff(name, annotations[NGINX_ANNOTATION + name] ?? ""),
  );
  const without = Object.keys(WITHOUT_COUNTERPART).filter(
    (name) => (annotations[NGINX_ANNOTATION + name] ?? "") !== "",
  );
  return [...without, ...unread].map((what) => ({
    what,
    object,
    field: NGINX_ANNOTATION + what,
    why:
      WITHOUT_COUNTERPART[what] ??
      LEFT_OPEN.find(([names]) => names.test(what))?.[1] ??
      "is not simulated",
  }));
}

/** How ingress-nginx's manifests and its chart call the ConfigMap of a controller's settings. */
const CONTROLLER_SETTINGS = /^(.*-)?ingress-nginx-controller$|^nginx-configuration$/;

/** Settings of logs, workers and connections, beside those of annotations that are left aside. */
const SETTINGS_ASIDE =
  /log|^worker-|^max-worker-|^keep-alive|^upstream-keepalive|buffer|^(use-)?gzip|^brotli|^enable-brotli|^server-tokens$|^ssl-(ciphers|protocols|session|dh-param|ecdh)/;

/** Settings of a whole ingress-nginx, which no decision shows. */
export function settingsNotCompared({ metadata, data = {} }: ConfigMap): NotCompared[] {
  if (!CONTROLLER_SETTINGS.test(metadata.name)) return [];
  const object = `ConfigMap ${metadata.namespace ?? "default"}/${metadata.name}`;
  return Object.keys(data)
    .filter((key) => !ASIDE.test(key) && !SETTINGS_ASIDE.test(key))
    .sort()
    .map((what) => ({
      what,
      object,
      field: `data.${what}`,
      why: "counts for every Ingress of its controller, and is not read here",
    }));
}

/** `enable-cors: "false"` asks for nothing. */
function isOff(name: string, value: string): boolean {
  return (
    /^(enable-|ssl-passthrough$)/.test(name) && /^(0|f|F|FALSE|false|False)$/.test(value.trim())
  );
}

/** What of a fate is not to be compared, since the Ingress's side of it is not known. */
export function unreadParts(notCompared: readonly NotCompared[]): ReadonlySet<UnreadPart> {
  const parts = new Set<UnreadPart>();
  for (const { what } of notCompared) {
    if (/^(enable-cors$|cors-)/.test(what)) parts.add("cors");
    if (what.startsWith("mirror-")) parts.add("mirrors");
    if (what === "custom-headers") parts.add("responseHeaders");
  }
  return parts;
}

/** Limits of a route's rule: nginx has its own, of another kind. */
export function limitsNotCompared({ rule, timeouts, retry }: Forward): NotCompared[] {
  const object = `${rule.kind} ${rule.namespace}/${rule.name}`;
  const { requestMs, backendRequestMs } = timeouts ?? {};
  const times = [
    ...(requestMs === undefined ? [] : [`request ${requestMs} ms`]),
    ...(backendRequestMs === undefined ? [] : [`backendRequest ${backendRequestMs} ms`]),
  ];
  return [
    ...(times.length === 0
      ? []
      : [
          {
            what: "timeouts",
            object,
            field: `${rule.field}.timeouts`,
            why: `${times.join(", ")} for the whole request; nginx waits 60 s between two reads, for the whole as long as it takes`,
          },
        ]),
    ...(retry === undefined
      ? []
      : [
          {
            what: "retry",
            object,
            field: `${rule.field}.retry`,
            why: "nginx tries up to three endpoints where a connection fails or is silent, whatever the rule",
          },
        ]),
  ];
}

export function portNotCompared(service: string, named: string, number: string): NotCompared {
  return {
    what: "port",
    object: `Service ${service}`,
    field: `port ${named}`,
    why: `nobody knows whether it is ${number}, as the other side has it: give the Service with -f`,
  };
}
