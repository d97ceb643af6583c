import { describe, expect, test } from "vitest";
import { globalSubject, namespacedSubject, peerSelector } from "./selector-texts.ts";

const OWN = "projectcalico.org/namespace == 'red'";

describe("namespacedSubject", () => {
  test.each([
    ["", undefined, OWN],
    ["a == 'b'", undefined, `(a == 'b') && ${OWN}`],
    ["a == 'b'", "role == 'x'", `((a == 'b') && ${OWN}) && pcsa.role == "x"`],
  ])("of %j with the service accounts %j", (selector, accounts, want) => {
    expect(namespacedSubject(selector, "red", accounts)).toBe(want);
  });
});

describe("globalSubject", () => {
  test.each([
    ["", "", "", ""],
    ["a == 'b'", "x == 'y'", "", `(a == 'b') && pcns.x == "y"`],
    // Every all() of the whole text is rewritten, the one of endpoints too.
    ["all()", "x == 'y'", "", `(has(projectcalico.org/namespace)) && pcns.x == "y"`],
    ["", "all()", "", "has(projectcalico.org/namespace)"],
    ["", "", "all()", "has(projectcalico.org/serviceaccount)"],
    ["a == 'b'", "", "has(r)", "(a == 'b') && has(pcsa.r)"],
  ])("of %j, namespaces %j, service accounts %j", (selector, namespaces, accounts, want) => {
    expect(globalSubject(selector, namespaces, accounts)).toBe(want);
  });
});

describe("peerSelector", () => {
  test.each([
    ["anybody", {}, "red", ""],
    ["endpoints of the namespace", { selector: "a == 'b'" }, "red", `(${OWN}) && (a == 'b')`],
    ["a notSelector means the namespace, too", { notSelector: "a == 'b'" }, "red", OWN],
    ["namespaces", { namespaceSelector: "x == 'y'" }, "red", `pcns.x == "y"`],
    ["all namespaces", { namespaceSelector: "all()" }, "red", "has(projectcalico.org/namespace)"],
    [
      "no namespace",
      { namespaceSelector: "global()", selector: "a == 'b'" },
      "red",
      "(!has(projectcalico.org/namespace)) && (a == 'b')",
    ],
    ["of a global policy", { selector: "a == 'b'" }, "", "a == 'b'"],
    [
      "service accounts by name and label",
      { serviceAccounts: { names: ["y", "x"], selector: "role == 'r'" } },
      "",
      `(pcsa.role == "r") && (projectcalico.org/serviceaccount in {"x", "y"})`,
    ],
    [
      "service accounts and endpoints",
      { serviceAccounts: { names: ["x"] }, selector: "a == 'b'" },
      "red",
      `(${OWN}) && ((projectcalico.org/serviceaccount in {"x"}) && (a == 'b'))`,
    ],
  ])("%s", (_, side, namespace, want) => {
    expect(peerSelector(side, namespace)).toBe(want);
  });
});
