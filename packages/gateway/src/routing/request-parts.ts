import { hostOf } from "./host-index.ts";
import type { RequestHead } from "./request-head.ts";

/** A request's head, taken apart once for all that look at it. */
export class RequestParts {
  readonly head: RequestHead;
  readonly host: string;
  /** Without the query. */
  readonly path: string;
  /** With the question mark; empty where there is none. */
  readonly query: string;
  #headers: ReadonlyMap<string, string> | undefined;
  #parameters: ReadonlyMap<string, string> | undefined;

  constructor(head: RequestHead) {
    this.head = head;
    this.host = hostOf(head.host);
    const target = head.path.split("#", 1)[0] ?? "";
    const mark = target.indexOf("?");
    this.path = mark < 0 ? target : target.slice(0, mark);
    this.query = mark < 0 ? "" : target.slice(mark);
  }

  /** Several values of a name are one with commas between (RFC 9110 §5.3). */
  header(lowerCaseName: string): string | undefined {
    if (this.#headers === undefined) {
      const headers = new Map<string, string>();
      for (const [name, value] of Object.entries(this.head.headers ?? {})) {
        const key = name.toLowerCase();
        const text = typeof value === "string" ? value : value.join(",");
        const before = headers.get(key);
        headers.set(key, before === undefined ? text : `${before},${text}`);
      }
      this.#headers = headers;
    }
    return this.#headers.get(lowerCaseName);
  }

  /** Of a parameter that comes several times, the first. */
  parameter(name: string): string | undefined {
    if (this.#parameters === undefined) {
      const parameters = new Map<string, string>();
      for (const part of this.query.slice(1).split("&")) {
        const equals = part.indexOf("=");
        const key = decoded(equals < 0 ? part : part.slice(0, equals));
        if (key !== "" && !parameters.has(key)) {
          parameters.set(key, equals < 0 ? "" : decoded(part.slice(equals + 1)));
        }
      }
      this.#parameters = parameters;
    }
    return this.#parameters.get(name);
  }

  cookie(name: string): string | undefined {
    for (const part of (this.header("cookie") ?? "").split(/[;,]/)) {
      const equals = part.indexOf("=");
      if (equals >= 0 && part.slice(0, equals).trim() === name) {
        return part.slice(equals + 1).trim();
      }
    }
    return undefined;
  }
}

/** As `application/x-www-form-urlencoded` writes it; text that is not well written stays as it is. */
function decoded(text: string): string {
  const spaced = text.replaceAll("+", " ");
  try {
    return decodeURIComponent(spaced);
  } catch {
    return spaced;
  }
}
