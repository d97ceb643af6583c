import {
  type HttpHeaders,
  type HttpRequest,
  headerOf,
  withHeader,
  withoutHeader,
} from "@cnilab/linux";
import { RE2JS } from "re2js";
import type { HeaderMatch, PortRuleHTTP } from "../../api/v2/rule.ts";

/** What a rule finds wrong with a request that it lets pass all the same; it is logged. */
export interface HeaderFindings {
  readonly missing: HttpHeaders;
  readonly rejected: HttpHeaders;
}

/** A request as rules leave it. */
export interface MatchedRequest {
  readonly headers: HttpHeaders;
  readonly findings: HeaderFindings;
}

type Test = (request: HttpRequest) => boolean;

/** One rule of `toPorts.rules.http`, as Envoy is told of it (pkg/envoy/policy/envoy_l7_rules_translator.go). */
export class HttpRule {
  readonly #tests: readonly Test[];
  readonly #changes: readonly HeaderMatch[];

  /** @param secretOf what a Secret says that a header is compared with; `undefined` where there is none: such a rule matches nothing */
  constructor(rule: PortRuleHTTP, secretOf: (match: HeaderMatch) => string | undefined) {
    const tests: Test[] = [];
    const { path = "", method = "", host = "", headers = [], headerMatches = [] } = rule;
    // Envoy's :path has the query, too.
    if (path !== "") tests.push(whole(path, (request) => request.target));
    if (method !== "") tests.push(whole(method, (request) => request.method));
    if (host !== "") tests.push(whole(host, (request) => request.host));
    for (const text of headers) tests.push(headerTest(text));
    const changes: HeaderMatch[] = [];
    for (const match of headerMatches) {
      const value = match.secret === undefined ? match.value : (secretOf(match) ?? match.value);
      const failed = match.secret !== undefined && value === undefined;
      if (failed) tests.push(() => false);
      else if ((match.mismatch ?? "") === "") tests.push(equals(match.name, value));
      else changes.push({ ...match, value: value ?? "" });
    }
    this.#tests = tests;
    this.#changes = changes;
  }

  matches(request: HttpRequest): boolean {
    return this.#tests.every((test) => test(request));
  }

  /** What becomes of the headers of a request that it {@link matches} (cilium/network_policy.cc HeaderMatch::allowed). */
  change({ headers, findings }: MatchedRequest): MatchedRequest {
    let [next, { missing, rejected }] = [headers, findings];
    for (const { name, value = "", mismatch } of this.#changes) {
      const there = headerOf(next, name);
      if (value === "" ? there !== undefined : there === value) continue;
      switch (mismatch) {
        case "LOG":
          missing = withHeader(missing, name, value);
          break;
        case "ADD":
          next = withHeader(next, name, value);
          missing = withHeader(missing, name, value);
          break;
        case "DELETE":
          if (there === undefined) break;
          rejected = withHeader(rejected, name, there);
          next = withoutHeader(next, name);
          break;
        case "REPLACE":
          if (there !== undefined) rejected = withHeader(rejected, name, there);
          next = withHeader(next, name, value);
          missing = withHeader(missing, name, value);
      }
    }
    return { headers: next, findings: { missing, rejected } };
  }
}

/** RE2 on the whole text (Envoy's safe_regex). A pattern that cannot be read matches nothing: Envoy refuses the whole policy. */
function whole(pattern: string, textOf: (request: HttpRequest) => string): Test {
  let compiled: RE2JS;
  try {
    compiled = RE2JS.compile(pattern);
  } catch {
    return () => false;
  }
  return (request) => compiled.testExact(textOf(request));
}

/** `X-Key: value` wants the value, `X-Key` that it is there. */
function headerTest(text: string): Test {
  const at = text.indexOf(" ");
  if (at < 0) return equals(text, undefined);
  return equals(text.slice(0, at).replace(/:+$/, ""), text.slice(at + 1));
}

function equals(name: string, value: string | undefined): Test {
  return ({ headers }) => {
    const there = headerOf(headers, name);
    return value === undefined || value === "" ? there !== undefined : there === value;
  };
}
