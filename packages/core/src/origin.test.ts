import { expect, test } from "vitest";
import { InputError } from "./errors.ts";
import { formatOrigin, isPolicyOrigin, type Origin } from "./origin.ts";

test.each<[Origin, string]>([
  [{ kind: "Service", namespace: "default", name: "web" }, "Service default/web"],
  [{ kind: "Node", name: "node1" }, "Node node1"],
  [
    { kind: "NetworkPolicy", namespace: "a", name: "b", detail: "ingress rule 2" },
    "NetworkPolicy a/b (ingress rule 2)",
  ],
])("%j is %s", (origin, expected) => {
  expect(formatOrigin(origin)).toBe(expected);
});

test.each<[Origin | undefined, boolean]>([
  [undefined, false],
  [{ kind: "Service", name: "web" }, false],
  [{ kind: "NetworkPolicy", namespace: "a", name: "b" }, true],
  [{ kind: "GlobalNetworkPolicy.projectcalico.org", name: "b" }, true],
  [{ kind: "Tier", name: "default" }, false],
  [{ kind: "Tier", name: "default", enforcesPolicy: true }, true],
])("%j drops by policy: %j", (origin, expected) => {
  expect(isPolicyOrigin(origin)).toBe(expected);
});

test.each([
  ["port 70000 is not 1 to 65535", "web.yaml:12", "web.yaml:12: port 70000 is not 1 to 65535"],
  ["there is no such file", "", "there is no such file"],
])("an input error says what and where: %s", (message, where, expected) => {
  const cause = new Error("deeper");
  const error = new InputError(message, where, { cause });
  expect([error.message, error.where, error.name, error.cause]).toEqual([
    expected,
    where,
    "InputError",
    cause,
  ]);
});
