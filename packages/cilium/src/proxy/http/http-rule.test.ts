import { HttpRequest } from "@cnilab/linux";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { PortRuleHTTP } from "../../api/v2/rule.ts";
import { HttpRule } from "./http-rule.ts";
import { normalizePath } from "./path-normalization.ts";

function matches(rule: PortRuleHTTP, parts: ConstructorParameters<typeof HttpRequest>[0]): boolean {
  return new HttpRule(rule, () => undefined).matches(new HttpRequest(parts));
}

test.each<
  [rule: PortRuleHTTP, request: ConstructorParameters<typeof HttpRequest>[0], expected: boolean]
>([
  [{}, { method: "DELETE", path: "/x" }, true],
  [{ method: "GET" }, { method: "GET" }, true],
  [{ method: "GET" }, { method: "GETTER" }, false],
  [{ method: "GET|HEAD" }, { method: "HEAD" }, true],
  [{ path: "/public" }, { path: "/public" }, true],
  // The whole path must be what the pattern describes, and the query is a part of it.
  [{ path: "/public" }, { path: "/public/1" }, false],
  [{ path: "/public" }, { path: "/a/public" }, false],
  [{ path: "/public" }, { path: "/public", query: "q=1" }, false],
  [{ path: "/public.*" }, { path: "/public", query: "q=1" }, true],
  [{ path: "/v[0-9]+/items" }, { path: "/v12/items" }, true],
  [{ host: "api[.]example[.]com" }, { host: "api.example.com" }, true],
  [{ host: "api[.]example[.]com" }, { host: "api.example.com:8080" }, false],
  [{ headers: ["X-Key"] }, { headers: { "x-key": "" } }, true],
  [{ headers: ["X-Key"] }, {}, false],
  [{ headers: ["X-Key: true"] }, { headers: { "X-KEY": "true" } }, true],
  [{ headers: ["X-Key true"] }, { headers: { "X-Key": "true" } }, true],
  [{ headers: ["X-Key: true"] }, { headers: { "X-Key": "false" } }, false],
  [{ headerMatches: [{ name: "X-Key", value: "1" }] }, { headers: { "X-Key": "1" } }, true],
  [{ headerMatches: [{ name: "X-Key", value: "1" }] }, { headers: { "X-Key": "2" } }, false],
  [{ headerMatches: [{ name: "X-Key" }] }, { headers: { "X-Key": "2" } }, true],
  [{ headerMatches: [{ name: "X-Key", value: "1", mismatch: "LOG" }] }, {}, true],
  // Nobody has read the Secret.
  [{ headerMatches: [{ name: "X-Key", secret: { namespace: "a", name: "b" } }] }, {}, false],
  [{ path: "/(" }, { path: "/(" }, false],
])("%o on %o: %s", (rule, request, expected) => {
  expect(matches(rule, request)).toBe(expected);
});

test.each([
  ["LOG", {}, {}, { "X-Team": "blue" }, {}],
  ["ADD", {}, { "X-Team": "blue" }, { "X-Team": "blue" }, {}],
  ["ADD", { "x-team": "red" }, { "x-team": "blue" }, { "X-Team": "blue" }, {}],
  ["DELETE", { "x-team": "red" }, {}, {}, { "X-Team": "red" }],
  ["DELETE", {}, {}, {}, {}],
  ["REPLACE", { "x-team": "red" }, { "x-team": "blue" }, { "X-Team": "blue" }, { "X-Team": "red" }],
  ["REPLACE", { "x-team": "blue" }, { "x-team": "blue" }, {}, {}],
] as const)("%s of a header: %o becomes %o", (mismatch, headers, left, missing, rejected) => {
  const rule = { headerMatches: [{ name: "X-Team", value: "blue", mismatch }] };
  const compiled = new HttpRule(rule, () => undefined);
  const findings = { missing: {}, rejected: {} };
  const after = compiled.change({ headers, findings });
  expect(after).toEqual({ headers: left, findings: { missing, rejected } });
});

test.each([
  ["/", "/", false],
  ["/a/../b", "/b", false],
  ["/a/./b/", "/a/b/", false],
  ["//a///b", "/a/b", false],
  ["/%61/%7e", "/a/~", false],
  ["/a/%2e%2e/b", "/b", false],
  ["/a%2Fb", "/a/b", true],
  ["/../..", "/", false],
  ["/a/..", "/", false],
  ["/a%20b", "/a%20b", false],
])("path %s is %s", (path, expected, redirect) => {
  expect(normalizePath(path)).toEqual({ path: expected, redirect });
});

test("a normal path is its own normal form, and never leads upwards", () => {
  const part = fc.constantFrom("a", "b", ".", "..", "", "%2e", "%2F", "%5c", "%41", "x y");
  fc.assert(
    fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
      const { path } = normalizePath(`/${parts.join("/")}`);
      expect(normalizePath(path)).toEqual({ path, redirect: false });
      expect(path.split("/")).not.toContain("..");
    }),
  );
});
