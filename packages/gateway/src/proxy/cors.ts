import type { CorsFilter } from "@cnilab/core";
import { type HttpHeaders, type HttpRequest, headerOf } from "@cnilab/linux";

/** Whether a browser asks what it may do before it does it (Fetch standard, CORS-preflight request). */
export function isPreflight(request: HttpRequest): boolean {
  return (
    request.method === "OPTIONS" &&
    headerOf(request.headers, "Origin") !== undefined &&
    headerOf(request.headers, "Access-Control-Request-Method") !== undefined
  );
}

/** What the filter adds to an answer; nothing where the request has no origin, or not an allowed one. */
export function corsHeaders(cors: CorsFilter, request: HttpRequest): HttpHeaders {
  const origin = headerOf(request.headers, "Origin");
  if (origin === undefined || !allows(cors, origin)) return {};
  const any = cors.allowOrigins?.includes("*") === true && cors.allowCredentials !== true;
  const list = (name: string, values: readonly string[] | undefined): HttpHeaders =>
    values === undefined || values.length === 0 ? {} : { [name]: values.join(", ") };
  const asked = headerOf(request.headers, "Access-Control-Request-Headers");
  return {
    "Access-Control-Allow-Origin": any ? "*" : origin,
    ...(cors.allowCredentials === true ? { "Access-Control-Allow-Credentials": "true" } : {}),
    ...(isPreflight(request)
      ? {
          ...list("Access-Control-Allow-Methods", cors.allowMethods),
          ...(cors.allowHeaders?.includes("*") === true && asked !== undefined
            ? { "Access-Control-Allow-Headers": asked }
            : list("Access-Control-Allow-Headers", cors.allowHeaders)),
          "Access-Control-Max-Age": String(cors.maxAge ?? 5),
        }
      : list("Access-Control-Expose-Headers", cors.exposeHeaders)),
  };
}

/** An origin, or a pattern whose `*` stands for any part of the host. */
function allows({ allowOrigins = [] }: CorsFilter, origin: string): boolean {
  return allowOrigins.some((allowed) => {
    const [before, after] = allowed.split("*");
    if (allowed === "*" || after === undefined) return allowed === "*" || allowed === origin;
    return (
      origin.length > allowed.length - 1 &&
      origin.startsWith(before as string) &&
      origin.endsWith(after)
    );
  });
}
