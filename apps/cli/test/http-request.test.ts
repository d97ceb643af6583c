import { InputError } from "@cnilab/core";
import { formatIp } from "@cnilab/net";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type RequestFlags, readRequest, redirected } from "../src/http-request.ts";

const NONE: RequestFlags = { header: [], resolve: [] };

test.each([
  ["shop.example.com/cart", "http", "shop.example.com", 80, "/cart", ""],
  ["https://Shop.Example.com", "https", "shop.example.com", 443, "/", ""],
  ["http://cart.shop:8080/a/../b?c=d&e#f", "http", "cart.shop", 8080, "/b", "c=d&e"],
  ["http://[fd00::1]:81/", "http", "fd00::1", 81, "/", ""],
  ["http://10.0.0.1/%20", "http", "10.0.0.1", 80, "/%20", ""],
])("%s", (url, scheme, host, port, path, query) => {
  const request = readRequest(url, NONE);
  expect([request.scheme, request.host, request.port]).toEqual([scheme, host, port]);
  expect([request.parts.path, request.parts.query]).toEqual([path, query]);
});

test("header fields: an own Host is sent, and equal names are one", () => {
  const { host, parts } = readRequest("http://a.example/", {
    ...NONE,
    header: ["host: b.example", "X-A: 1", "x-a: 2", "User-Agent: me"],
  });
  expect([host, parts.host]).toEqual(["a.example", "b.example"]);
  expect(parts.headers).toEqual({ Accept: "*/*", "User-Agent": "me", "X-A": "1, 2" });
});

test.each([
  ["a.example:80:10.0.0.1", "http://a.example/", "10.0.0.1"],
  ["a.example:443:10.0.0.1", "http://a.example/", undefined],
  ["A.example:80:[fd00::1]", "http://a.example/", "fd00::1"],
  ["*:80:10.0.0.2", "http://any.example/", "10.0.0.2"],
])("--resolve %s for %s", (line, url, address) => {
  const request = readRequest(url, { ...NONE, resolve: [line] });
  expect(request.address === undefined ? undefined : formatIp(request.address)).toBe(address);
});

test.each([
  [301, "POST", "/x", "GET http://a.example/x"],
  [307, "POST", "/x", "POST http://a.example/x"],
  [308, "PUT", "https://b.example/", "PUT https://b.example/"],
  [303, "PUT", "?q", "GET http://a.example/start?q"],
  [302, "HEAD", "//c.example/", "HEAD http://c.example/"],
  [200, "GET", "/x", undefined],
])("%i after %s to %s", (status, method, location, expected) => {
  const first = readRequest("http://a.example/start", { ...NONE, request: method });
  const next = redirected(first, status, location);
  expect(next && `${next.parts.method} ${next.url}`).toBe(expected);
});

test.each<[string, string, Partial<RequestFlags>]>([
  ["no URL", "http://", {}],
  ["another scheme", "ftp://a.example/", {}],
  ["a space in the host", "http://a b/", {}],
  ["a bad port", "http://a.example:99999/", {}],
  ["a method with a space", "http://a.example/", { request: "G ET" }],
  ["a field without a colon", "http://a.example/", { header: ["X"] }],
  ["no address", "http://a.example/", { resolve: ["a.example:80:nowhere"] }],
  ["no time", "http://a.example/", { maxTime: "soon" }],
])("%s is bad input", (_, url, flags) => {
  expect(() => readRequest(url, { ...NONE, ...flags })).toThrow(InputError);
});

test("whatever is written: a request, or one clear message", () => {
  const text = fc.oneof(fc.string({ unit: "binary" }), fc.webUrl(), fc.domain());
  const flags = fc.record({
    request: fc.string(),
    header: fc.array(fc.string({ unit: "binary" }), { maxLength: 2 }),
    resolve: fc.array(fc.string(), { maxLength: 2 }),
    maxTime: fc.string(),
  });
  fc.assert(
    fc.property(text, fc.option(flags, { nil: NONE }), text, (url, given, location) => {
      try {
        const request = readRequest(url, given);
        expect(request.port).toBeLessThanOrEqual(65_535);
        redirected(request, 302, location);
      } catch (error) {
        expect(error).toBeInstanceOf(InputError);
        expect((error as InputError).message.split("\n")).toHaveLength(1);
      }
    }),
  );
});
