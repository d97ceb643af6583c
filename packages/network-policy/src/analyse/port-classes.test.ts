import { expect, test } from "vitest";
import { networkPolicy, objectsOf } from "../../test/manifests.ts";
import { readPolicies } from "../policy/read-policies.ts";
import { portClasses } from "./port-classes.ts";

const HTTP_80 = [{ name: "http", protocol: "TCP", port: 80 }] as const;
const HTTP_8080 = [{ name: "http", protocol: "TCP", port: 8080 }] as const;

test.each<[string, string, string[]]>([
  ["nothing", "{}", ["TCP 1,65535"]],
  [
    "ports and a range",
    "{ingress: [{ports: [{port: 80}, {port: 443}, {port: 100, endPort: 200}]}]}",
    ["TCP 1,79 81,99 201,442 444,65535", "TCP 80,80", "TCP 100,200", "TCP 443,443"],
  ],
  [
    "the ends",
    "{ingress: [{ports: [{port: 1}, {port: 65535}]}]}",
    ["TCP 1,1", "TCP 2,65534", "TCP 65535,65535"],
  ],
  [
    "a name that stands for two numbers",
    "{ingress: [{ports: [{port: http}]}]}",
    ["TCP 1,79 81,8079 8081,65535", "TCP 80,80", "TCP 8080,8080"],
  ],
  [
    "a range twice",
    "{ingress: [{ports: [{port: 5, endPort: 9}]}, {ports: [{port: 5, endPort: 9}]}]}",
    ["TCP 1,4 10,65535", "TCP 5,9"],
  ],
])("rules about %s tell as many classes of ports apart", (_, spec, expected) => {
  const classes = portClasses(readPolicies(objectsOf(networkPolicy("p", spec))), [
    HTTP_80,
    HTTP_8080,
  ]);
  expect(
    classes
      .filter(({ protocol }) => protocol === "TCP")
      .map(({ protocol, ranges }) => `${protocol} ${ranges.join(" ")}`),
  ).toEqual(expected);
  expect(classes.filter(({ protocol }) => protocol !== "TCP").map(({ ranges }) => ranges)).toEqual([
    [[1, 65_535]],
    [[1, 65_535]],
  ]);
});
