import { describe, expect, test } from "vitest";
import { selects } from "./label-selector.ts";
import { parseLabelSelector } from "./label-selector-text.ts";

const WEB = { app: "web", "example.com/tier": "front", empty: "" };

describe("a label selector's text", () => {
  test.each([
    ["", true],
    ["app", true],
    ["!app", false],
    ["! db", true],
    ["app=web", true],
    ["app == web", true],
    ["app=api", false],
    ["app!=api", true],
    ["db!=x", true],
    ["empty=", true],
    ["app in (api, web)", true],
    ["app in(web)", true],
    ["app notin (api,web)", false],
    ["empty in (,x)", true],
    ["app=web,example.com/tier in (front,back),!db", true],
    ["app=web,db", false],
    ["constructor", false],
  ])("%j matches: %j", (text, matches) => {
    expect(selects(parseLabelSelector(text), WEB)).toBe(matches);
  });

  test.each([
    "app=web,",
    ",app",
    "app in ()",
    "app in (a",
    "a b",
    "=web",
    "app=we b",
    "app==(web)",
    "-app",
    "k8s:app",
    "app>1",
    "(app)",
  ])("%j is none", (text) => {
    expect(parseLabelSelector(text)).toBeUndefined();
  });

  test("keys may be more than names", () => {
    expect(parseLabelSelector("k8s:app=web", /^[a-z0-9]+:[a-z]+$/)).toEqual({
      matchExpressions: [{ key: "k8s:app", operator: "In", values: ["web"] }],
    });
  });
});
