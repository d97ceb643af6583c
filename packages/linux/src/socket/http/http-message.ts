import type { WireMessage } from "../conversation.ts";
import { type HttpHeaders, headersText } from "./headers.ts";

export interface HttpRequestParts {
  /** GET where it is absent. */
  readonly method?: string;
  /** The Host field: a name or an address, with the port where it is not the scheme's own. */
  readonly host?: string;
  /** `/` where it is absent; without the query. */
  readonly path?: string;
  /** What stands behind `?`; empty where there is none. */
  readonly query?: string;
  /** Without Host. */
  readonly headers?: HttpHeaders;
}

/** A request as it stands on the wire: no body, no scheme (the connection tells whether it is TLS). */
export class HttpRequest implements WireMessage {
  readonly method: string;
  readonly host: string;
  readonly path: string;
  readonly query: string;
  readonly headers: HttpHeaders;
  #text: string | undefined;

  constructor(parts: HttpRequestParts) {
    this.method = parts.method ?? "GET";
    this.host = parts.host ?? "";
    this.path = parts.path ?? "/";
    this.query = parts.query ?? "";
    this.headers = parts.headers ?? {};
  }

  /** Path and query, as the request line has them. */
  get target(): string {
    return this.query === "" ? this.path : `${this.path}?${this.query}`;
  }

  /** As it stands on the wire. */
  get text(): string {
    const line = `${this.method} ${this.target} HTTP/1.1\r\nHost: ${this.host}\r\n`;
    this.#text ??= `${line}${headersText(this.headers)}\r\n`;
    return this.#text;
  }

  get wireLength(): number {
    return this.text.length;
  }

  toString(): string {
    return `${this.method} ${this.target}`;
  }
}

/** An answer: what a client looks at of it. */
export class HttpResponse implements WireMessage {
  readonly status: number;
  readonly headers: HttpHeaders;
  readonly body: string;
  /**
   * What programs that made it or passed it on want whoever watches to know. It is not on the wire: the one who looks
   * at the model sees it, the client does not.
   */
  readonly notes: readonly unknown[];
  readonly #bodyLength: number;
  #text: string | undefined;

  /** @param bodyLength bytes of the body, where it is longer than what is spelled out */
  constructor(
    status: number,
    headers: HttpHeaders,
    body: string,
    notes: readonly unknown[] = [],
    bodyLength: number = body.length,
  ) {
    this.status = status;
    this.headers = headers;
    this.body = body;
    this.notes = notes;
    this.#bodyLength = bodyLength;
  }

  /** As it stands on the wire; blank lines stand for what is not spelled out of the body. */
  get text(): string {
    const line = `HTTP/1.1 ${this.status} ${statusText(this.status)}\r\n`;
    const fields = `${headersText(this.headers)}Content-Length: ${this.#bodyLength}\r\n`;
    this.#text ??= `${line}${fields}\r\n${this.body.padEnd(this.#bodyLength, "\n")}`;
    return this.#text;
  }

  get wireLength(): number {
    return this.text.length;
  }

  /** The same answer as somebody passes it on. */
  passedOn(headers: HttpHeaders, note: unknown): HttpResponse {
    const notes = [...this.notes, note];
    return new HttpResponse(this.status, headers, this.body, notes, this.#bodyLength);
  }

  toString(): string {
    return `${this.status} ${statusText(this.status)}`.trimEnd();
  }
}

/** RFC 9110 section 15; empty for a status without a name here. */
export function statusText(status: number): string {
  return STATUS_TEXTS[status] ?? "";
}

const STATUS_TEXTS: Readonly<Record<number, string>> = {
  200: "OK",
  204: "No Content",
  301: "Moved Permanently",
  302: "Found",
  303: "See Other",
  307: "Temporary Redirect",
  308: "Permanent Redirect",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  421: "Misdirected Request",
  426: "Upgrade Required",
  429: "Too Many Requests",
  500: "Internal Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};
