import {
  type Check,
  describe,
  fail,
  list,
  map,
  oneOf,
  strictObject,
  string,
} from "@cnilab/core/validation";
import { tryParseInterfaceAddress, tryParseIp } from "@cnilab/net";

// What several kinds check of single fields (pkg/k8s/apis/cilium.io/client/crds).

/** An address with a length; bits behind it may be set (`format: cidr`). */
export const cidr: Check = (value, path) => {
  string(value, path);
  const text = value as string;
  if (tryParseInterfaceAddress(text) !== undefined) return;
  const length = text.includes(":") ? 128 : 32;
  const mend = tryParseIp(text) === undefined ? "" : `; write ${text}/${length}`;
  fail(path, `must be a range in CIDR notation such as 10.0.0.0/8, not ${describe(value)}${mend}`);
};

const LABEL_VALUE = /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/;

const labelValue: Check = (value, path) => {
  string(value, path);
  const text = value as string;
  if (text.length <= 63 && LABEL_VALUE.test(text)) return;
  fail(
    path,
    `must be at most 63 letters, digits, hyphens, underscores and dots, first and last a letter or digit, not ${describe(text)}`,
  );
};

const requirement = strictObject(
  {
    key: string,
    operator: oneOf("In", "NotIn", "Exists", "DoesNotExist"),
    values: list(string),
  },
  ["key", "operator"],
);

/** Keys may have sources, `k8s:app`, so the API server leaves them to the agent. */
export const selectorSchema: Check = strictObject({
  matchLabels: map(() => undefined, labelValue),
  matchExpressions: list(requirement),
});

/** The same fields, and exactly one of some. */
export function withOneOf(check: Check, ...names: readonly string[]): Check {
  return (value, path) => {
    check(value, path);
    const given = names.filter((name) => (value as Record<string, unknown>)[name] !== undefined);
    if (given.length === 1) return;
    fail(path, `must have exactly one of ${names.join(", ")}`);
  };
}
