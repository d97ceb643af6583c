import { parsePrefix, tryParsePrefix } from "@cnilab/net";
import fc from "fast-check";
import { expect, test } from "vitest";
import { cidrLabel } from "./cidr-labels.ts";
import { EndpointSelector } from "./endpoint-selector.ts";
import { podLabels } from "./kubernetes-labels.ts";
import {
  extendKey,
  formatLabel,
  hasKey,
  parseLabel,
  parseSelectLabel,
  policyKey,
} from "./label.ts";
import { LabelFilter, LabelPatternError } from "./label-filter.ts";
import {
  containsLabels,
  fromSecurityLabels,
  identityKey,
  parseIdentityKey,
  parseLabels,
  printLabels,
  securityLabels,
} from "./label-set.ts";

test.each([
  ["k8s:app=web", "any:app", true],
  ["any:app=web", "k8s:app", false],
  ["cidr:10.1.0.0/16", "cidr:10.0.0.0/8", true],
  ["cidr:10.0.0.0/8", "cidr:10.1.0.0/16", false],
  ["cidr:2001-db8-1--0/48", "cidr:2001-db8--0/32", true],
  ["cidr:10.1.0.0/16", "any:10.0.0.0/8", false],
])("%s has the key of %s: %s", (text, wanted, is) => {
  expect(hasKey(parseLabel(text), parseSelectLabel(wanted))).toBe(is);
});

test.each([
  ["(?i)APP", "k8s:app=web", true],
  ["!(?P<all>t[iI]er)", "k8s:tier=front", false],
  ["!tier", "k8s:frontier=1", true],
  ["!tier", "k8s:tier-1=x", false],
])("with the pattern %s %s is kept: %s", (pattern, text, kept) => {
  const filter = new LabelFilter([pattern]);
  expect(filter.isKept(parseLabel(text))).toBe(kept);
});

test("a pod cannot say of itself which cluster it is in", () => {
  const labels = podLabels({
    namespace: "shop",
    labels: { app: "web", "io.cilium.k8s.policy.cluster": "other" },
    namespaceLabels: { team: "blue" },
    serviceAccount: "",
    cluster: "default",
  });
  expect(printLabels(labels)).toEqual([
    "k8s:app=web",
    "k8s:io.cilium.k8s.namespace.labels.team=blue",
    "k8s:io.cilium.k8s.policy.cluster=default",
    "k8s:io.kubernetes.pod.namespace=shop",
  ]);
});

test.each([
  ["k8s:", "k8s: has no pattern"],
  ["a(", "a( holds no regular expression"],
])("the setting %s is refused", (pattern, message) => {
  expect(() => new LabelFilter([pattern])).toThrow(LabelPatternError);
  expect(() => new LabelFilter([pattern])).toThrow(message);
});

const name = fc.stringMatching(/^[a-z0-9]([-a-z0-9.]{0,6}[a-z0-9])?$/);
const text = fc
  .tuple(fc.constantFrom("k8s", "container", "reserved", "any"), name, name)
  .map(([source, key, value]) => `${source}:${key}=${value}`);

test("labels come back from what identities are stored as", () => {
  fc.assert(
    fc.property(fc.array(text), (texts) => {
      const labels = parseLabels(texts);
      expect(parseIdentityKey(identityKey(labels))).toEqual(labels);
      expect(fromSecurityLabels(securityLabels(labels))).toEqual(labels);
      expect(labels.map(formatLabel).map(parseLabel)).toEqual(labels);
      expect(containsLabels(labels, labels)).toBe(true);
    }),
  );
});

test("keys of selectors come back as policies have them", () => {
  fc.assert(
    fc.property(text, (given) => {
      const key = given.slice(0, given.indexOf("="));
      expect(policyKey(extendKey(key))).toBe(key);
    }),
  );
});

test("a range of addresses comes back from its label, and lies in those that cover it", () => {
  const prefix = fc
    .tuple(
      fc.oneof(
        fc.ipV4().map((a) => [a, 32] as const),
        fc.ipV6().map((a) => [a, 128] as const),
      ),
      fc.nat(128),
    )
    .map(([[address, most], length]) => `${address}/${Math.min(most, length)}`)
    .filter((each) => tryParsePrefix(each) !== undefined);
  fc.assert(
    fc.property(prefix, prefix, (x, y) => {
      const [one, other] = [parsePrefix(x), parsePrefix(y)];
      const label = cidrLabel(one);
      expect(String(label.prefix)).toBe(String(one));
      expect(hasKey(label, cidrLabel(other))).toBe(other.covers(one));
    }),
  );
});

test("a selector selects the same after it was written for a policy and read again", () => {
  const requirement = fc.record({
    key: fc.constantFrom("app", "k8s:app", "any:tier", "reserved:host"),
    operator: fc.constantFrom("In" as const, "NotIn" as const, "Exists" as const),
    values: fc.array(fc.constantFrom("a", "b"), { minLength: 1, maxLength: 2 }),
  });
  fc.assert(
    fc.property(
      fc.dictionary(fc.constantFrom("app", "k8s:tier"), fc.constantFrom("a", "b")),
      fc.array(requirement, { maxLength: 3 }),
      fc.array(fc.constantFrom("k8s:app=a", "k8s:tier=b", "container:app=b", "reserved:host")),
      (matchLabels, matchExpressions, texts) => {
        const selector = EndpointSelector.fromPolicy({ matchLabels, matchExpressions });
        const again = EndpointSelector.fromPolicy(selector.toPolicy());
        const labels = parseLabels(texts);
        expect(again.toString()).toBe(selector.toString());
        expect(again.matches(labels)).toBe(selector.matches(labels));
        const expressions = new EndpointSelector([], selector.toExpressions());
        expect(expressions.matches(labels)).toBe(selector.matches(labels));
      },
    ),
  );
});
