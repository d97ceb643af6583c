import { expect, test } from "vitest";
import { failureOf } from "../test/node.ts";
import { readCniArgs } from "./cni-args.ts";

test.each([
  ["", {}],
  ["IP=10.0.0.5", { IP: "10.0.0.5" }],
  ["IgnoreUnknown=1;K8S_POD_NAME=web", {}],
  ["K8S_POD_NAME=web;IP=;IgnoreUnknown=TRUE", { IP: "" }],
])("%s gives %j", (args, expected) => {
  expect(readCniArgs(args, ["IP"])).toEqual(expected);
});

test.each([
  ["IP", '999 ARGS: invalid pair "IP"'],
  ["IP=a=b", '999 ARGS: invalid pair "IP=a=b"'],
  ["MAC=x;FOO=y", '999 ARGS: unknown args ["MAC=x" "FOO=y"]'],
  ["MAC=x;IgnoreUnknown=0", '999 ARGS: unknown args ["MAC=x"]'],
  [
    "IgnoreUnknown=yes",
    '999 ARGS: error parsing value of pair "IgnoreUnknown=yes": boolean unmarshal error: invalid input yes',
  ],
])("%s is refused", (args, expected) => {
  expect(failureOf(() => readCniArgs(args, ["IP"]))).toBe(expected);
});
