import { type HeaderModifier, type Random, uuid } from "@cnilab/core";
import {
  type HttpHeaders,
  headerOf,
  type ReceivedRequest,
  withHeader,
  withoutHeader,
} from "@cnilab/linux";
import { formatIp } from "@cnilab/net";

/** How a proxy tells endpoints who asked. */
export type ForwardedStyle = "nginx" | "gateway";

/** Fields that concern one connection alone (RFC 9110 section 7.6.1). */
const HOP_BY_HOP = ["Connection", "Keep-Alive", "Proxy-Connection", "TE"];

/**
 * What an endpoint gets beside the client's own fields. ingress-nginx replaces what the client claims (rootfs/etc/nginx/template/nginx.tmpl,
 * `use-forwarded-headers: false`); a Gateway's proxy appends, as Envoy does.
 */
export function forwardedHeaders(
  { request, connection, scheme }: ReceivedRequest,
  port: number,
  style: ForwardedStyle,
  random: Random,
): HttpHeaders {
  const client = formatIp(connection.remoteAddress);
  let headers = HOP_BY_HOP.reduce<HttpHeaders>(withoutHeader, request.headers);
  const set = (name: string, value: string) => {
    headers = withHeader(headers, name, value);
  };
  const requestId = headerOf(request.headers, "X-Request-ID");
  if (style === "nginx") {
    set("X-Request-ID", requestId ?? hex(random, 32));
    set("X-Real-IP", client);
    set("X-Forwarded-For", client);
    set("X-Forwarded-Host", request.host);
    set("X-Forwarded-Port", String(port));
    set("X-Forwarded-Proto", scheme);
    set("X-Forwarded-Scheme", scheme);
    set("X-Scheme", scheme);
  } else {
    const before = headerOf(request.headers, "X-Forwarded-For");
    set("X-Forwarded-For", before === undefined ? client : `${before}, ${client}`);
    set("X-Forwarded-Proto", scheme);
    set("X-Request-ID", requestId ?? uuid(random));
  }
  return headers;
}

/** Sets, adds and removes, in this order (Gateway API HTTPHeaderFilter). */
export function modified(
  headers: HttpHeaders,
  modifiers: readonly HeaderModifier[] = [],
): HttpHeaders {
  let result = headers;
  for (const { set = [], add = [], remove = [] } of modifiers) {
    for (const { name, value } of set) result = withHeader(result, name, value);
    for (const { name, value } of add) {
      const there = headerOf(result, name);
      result = withHeader(result, name, there === undefined ? value : `${there},${value}`);
    }
    for (const name of remove) result = withoutHeader(result, name);
  }
  return result;
}

function hex(random: Random, digits: number): string {
  let text = "";
  while (text.length < digits) text += random.uint32().toString(16).padStart(8, "0");
  return text.slice(0, digits);
}
