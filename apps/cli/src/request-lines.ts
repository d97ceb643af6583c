import { InputError } from "@cnilab/core";
import type { RequestHead } from "@cnilab/gateway";
import type { Source } from "./read-input.ts";

/** One line of a batch of requests: fields of the user's own come back untouched. */
export interface RequestLine {
  readonly line: Readonly<Record<string, unknown>>;
  readonly request: RequestHead;
  /** File and line. */
  readonly where: string;
}

const EXAMPLE = '{"request":{"method":"GET","scheme":"http","host":"a.example","path":"/"}}';

/** Requests, one JSON object a line. @throws InputError where one cannot be understood */
export function readRequestLines({ name, text }: Source): readonly RequestLine[] {
  return text.split("\n").flatMap((line, i) => {
    const where = `${name}:${i + 1}`;
    return line.trim() === "" ? [] : [readLine(line, where)];
  });
}

function readLine(text: string, where: string): RequestLine {
  let line: unknown;
  try {
    line = JSON.parse(text);
  } catch {
    throw new InputError("is not JSON; write one object a line", where);
  }
  if (!isObject(line)) throw new InputError(`must be an object, as ${EXAMPLE}`, where);
  const { request } = line;
  if (!isObject(request)) throw new InputError(`has no request; write ${EXAMPLE}`, where);
  return { line, request: readHead(request, where), where };
}

function readHead(given: Readonly<Record<string, unknown>>, where: string): RequestHead {
  const absolute = absoluteForm(given);
  if (absolute !== undefined) return readHead(absolute, where);
  const url = given["url"] === undefined ? undefined : readUrl(given["url"], where);
  const { method = "GET", scheme = url?.scheme ?? "http", host = url?.host ?? "" } = given;
  const { path = url?.path ?? "/", headers, port = url?.port, sni } = given;
  if (scheme !== "http" && scheme !== "https") {
    throw new InputError('request.scheme must be "http" or "https"', where);
  }
  const texts = { method, host, path, sni };
  for (const [field, value] of Object.entries(texts)) {
    if (typeof value !== "string" && !(field === "sni" && value === undefined)) {
      throw new InputError(`request.${field} must be text`, where);
    }
  }
  if (!/^(\/|\*$)/.test(path as string)) {
    throw new InputError('request.path must start with "/"', where);
  }
  const isPort = Number.isInteger(port) && (port as number) >= 1 && (port as number) <= 65_535;
  if (port !== undefined && !isPort) {
    throw new InputError("request.port must be a number from 1 to 65535", where);
  }
  if (headers !== undefined && !isHeaders(headers)) {
    throw new InputError("request.headers must be an object of names with text, or lists", where);
  }
  return {
    scheme,
    method: method as string,
    host: host as string,
    path: path as string,
    ...(headers !== undefined && { headers: headers as NonNullable<RequestHead["headers"]> }),
    ...(port !== undefined && { port: port as number }),
    ...(sni !== undefined && { sni: sni as string }),
  };
}

/** A target with scheme and host, as a proxy is asked: its host counts, not the Host header's (RFC 9112 §3.2.2). */
function absoluteForm(
  given: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> | undefined {
  const { path } = given;
  const found = typeof path === "string" ? /^(https?):\/\/([^/?#]+)(.*)$/.exec(path) : null;
  if (found === null) return undefined;
  const [, scheme, host, rest = ""] = found;
  return { scheme, ...given, host, path: rest.startsWith("/") ? rest : `/${rest}` };
}

function readUrl(given: unknown, where: string): Partial<RequestHead> {
  if (typeof given !== "string" || !URL.canParse(given) || !/^https?:/.test(given)) {
    throw new InputError("request.url must be a URL, as http://a.example/path", where);
  }
  const { protocol, host, port, pathname, search } = new URL(given);
  return {
    scheme: protocol === "https:" ? "https" : "http",
    host,
    path: pathname + search,
    ...(port !== "" && { port: Number(port) }),
  };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

function isHeaders(value: unknown): boolean {
  return (
    isObject(value) &&
    Object.values(value).every(
      (field) =>
        typeof field === "string" ||
        (Array.isArray(field) && field.every((item) => typeof item === "string")),
    )
  );
}
