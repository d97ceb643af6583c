import { InputError } from "@cnilab/core";
import { type HttpRequestParts, headerOf, withoutHeader } from "@cnilab/linux";
import { formatIp, type IpAddress, tryParseIp } from "@cnilab/net";

/** Flags that say what is asked, in curl's words. */
export interface RequestFlags {
  readonly request?: string;
  readonly head?: boolean;
  readonly header: readonly string[];
  readonly resolve: readonly string[];
  readonly insecure?: boolean;
  readonly connectTimeout?: string;
  readonly maxTime?: string;
}

/** A request as the URL and the flags make it. */
export interface CurlRequest {
  readonly url: string;
  readonly scheme: "http" | "https";
  /** Without a port; an IPv6 address without brackets. */
  readonly host: string;
  /** The host as an endpoint is written. */
  readonly endpoint: string;
  readonly port: number;
  /** What `--resolve` says of the host. */
  readonly address: IpAddress | undefined;
  readonly parts: HttpRequestParts;
  readonly connectTimeoutMs: number;
  readonly maxTimeMs: number;
  readonly resolve: ReadonlyMap<string, IpAddress>;
}

/** @throws InputError */
export function readRequest(text: string, flags: RequestFlags): CurlRequest {
  const method = flags.request ?? (flags.head === true ? "HEAD" : "GET");
  if (!/^[!#$%&'*+.^_`|~A-Za-z0-9-]+$/.test(method)) {
    throw new InputError(`${quoted(method)} is no method; write it as GET`, "-X");
  }
  const headers: Record<string, string> = {};
  for (const line of flags.header) {
    const [, name, value] = /^([!#$%&'*+.^_`|~A-Za-z0-9-]+):\s*(.*?)\s*$/.exec(line) ?? [];
    if (name === undefined || value === undefined) {
      throw new InputError(`${quoted(line)} is no header field; write it as "Name: value"`, "-H");
    }
    const there = Object.keys(headers).find((n) => n.toLowerCase() === name.toLowerCase());
    headers[there ?? name] = there === undefined ? value : `${headers[there]}, ${value}`;
  }
  return requestTo(parseUrl(text), {
    method,
    headers: { "User-Agent": "curl", Accept: "*/*", ...headers },
    resolve: readResolve(flags.resolve),
    connectTimeoutMs: seconds(flags.connectTimeout, 10, "--connect-timeout"),
    maxTimeMs: seconds(flags.maxTime, 120, "-m"),
  });
}

/**
 * Where an answer sends the client, as curl follows it (`-L`); `undefined` where it sends it nowhere.
 * @throws InputError for a location that is no URL
 */
export function redirected(
  before: CurlRequest,
  status: number,
  location: string | undefined,
): CurlRequest | undefined {
  if (status < 300 || status >= 400 || location === undefined) return undefined;
  let url: URL;
  try {
    url = new URL(location, before.url);
  } catch {
    throw new InputError(
      `the answer redirects to ${quoted(location)}, which is no URL`,
      before.url,
    );
  }
  const { method = "GET", headers = {} } = before.parts;
  const asked = status === 303 && method !== "HEAD" ? "GET" : method;
  const becomesGet = (status === 301 || status === 302) && method === "POST";
  return requestTo(checked(url, location), {
    method: becomesGet ? "GET" : asked,
    headers: withoutHeader(headers, "Host"),
    resolve: before.resolve,
    connectTimeoutMs: before.connectTimeoutMs,
    maxTimeMs: before.maxTimeMs,
  });
}

function requestTo(
  url: URL,
  rest: Pick<CurlRequest, "resolve" | "connectTimeoutMs" | "maxTimeMs"> &
    Required<Pick<HttpRequestParts, "method" | "headers">>,
): CurlRequest {
  const { method, headers, ...times } = rest;
  const scheme = url.protocol === "https:" ? "https" : "http";
  const port = url.port === "" ? (scheme === "https" ? 443 : 80) : Number(url.port);
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const address = tryParseIp(host);
  return {
    url: url.href,
    scheme,
    host,
    endpoint: address === undefined ? host : formatIp(address),
    port,
    address: times.resolve.get(`${host}:${port}`) ?? times.resolve.get(`*:${port}`),
    parts: {
      method,
      // An own Host field is sent in place of the URL's; the name for TLS stays the URL's.
      host: headerOf(headers, "Host") ?? url.host,
      path: url.pathname,
      query: url.search.replace(/^\?/, ""),
      headers: withoutHeader(headers, "Host"),
    },
    ...times,
  };
}

function parseUrl(text: string): URL {
  const whole = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  let url: URL;
  try {
    url = new URL(whole);
  } catch {
    throw new InputError(`is no URL; write it as http://shop.example.com/cart`, quoted(text));
  }
  return checked(url, text);
}

function checked(url: URL, text: string): URL {
  if ((url.protocol === "http:" || url.protocol === "https:") && url.hostname !== "") return url;
  throw new InputError(`is no URL of http or https`, quoted(text));
}

/** `HOST:PORT:ADDRESS`, the address of IPv6 in brackets or without. */
function readResolve(lines: readonly string[]): ReadonlyMap<string, IpAddress> {
  const found = new Map<string, IpAddress>();
  for (const line of lines) {
    const [, host, port, text = ""] = /^\+?([^:]+):(\d{1,5}):(.+)$/.exec(line) ?? [];
    const address = tryParseIp(text.split(",")[0]?.replace(/^\[(.*)\]$/, "$1") ?? "");
    if (host === undefined || address === undefined || Number(port) > 65_535) {
      throw new InputError(`${quoted(line)} is not HOST:PORT:ADDRESS`, "--resolve");
    }
    found.set(`${host.toLowerCase()}:${Number(port)}`, address);
  }
  return found;
}

function seconds(text: string | undefined, standard: number, flag: string): number {
  if (text === undefined) return standard * 1000;
  if (/^\d{1,6}(\.\d+)?$/.test(text) && Number(text) > 0) return Number(text) * 1000;
  throw new InputError(`must be a number of seconds, not ${quoted(text)}`, flag);
}

/** On one line, whatever is in it. */
function quoted(text: string): string {
  return JSON.stringify(text);
}
