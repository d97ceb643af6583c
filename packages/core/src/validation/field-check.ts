import { tryParseInterfaceAddress, tryParseIp } from "@cnilab/net";
import { FieldError, type FieldPath } from "./field-error.ts";

/**
 * Looks at one value. `path` leads there; it is one array for all that is looked at, and longer while a check
 * looks at something inside of the value. @throws FieldError
 */
export type Check = (value: unknown, path: (string | number)[]) => void;

/** Looks at what is inside of a value. */
function inside(
  check: Check,
  value: unknown,
  path: (string | number)[],
  key: string | number,
): void {
  path.push(key);
  check(value, path);
  path.pop();
}

/** What a value is, for a message. */
export function describe(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (value !== null && typeof value === "object") return "a mapping";
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

export function fail(path: FieldPath, message: string): never {
  throw new FieldError(path, message);
}

export const string: Check = (value, path) => {
  if (typeof value === "string") return;
  const quoted = typeof value === "number" || typeof value === "boolean";
  fail(path, `must be text, not ${describe(value)}${quoted ? `; write "${value}"` : ""}`);
};

export const boolean: Check = (value, path) => {
  if (typeof value !== "boolean") fail(path, `must be true or false, not ${describe(value)}`);
};

/** A whole number in a range, ends included. */
export function integer(least: number, most: number = Number.MAX_SAFE_INTEGER): Check {
  const range =
    most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `between ${least} and ${most}`;
  return (value, path) => {
    if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most) {
      return;
    }
    fail(path, `must be a whole number ${range}, not ${describe(value)}`);
  };
}

export const port: Check = integer(1, 65_535);

export function oneOf(...values: readonly string[]): Check {
  return (value, path) => {
    if (typeof value === "string" && values.includes(value)) return;
    fail(path, `must be ${either(values)}, not ${describe(value)}`);
  };
}

function either(values: readonly string[]): string {
  return values.length < 2
    ? values.join("")
    : `${values.slice(0, -1).join(", ")} or ${values.at(-1)}`;
}

/** A mapping with these fields; others are left unread. */
export function object(
  fields: Readonly<Record<string, Check>>,
  required: readonly string[] = [],
): Check {
  const names = Object.keys(fields);
  return (value, path) => {
    if (value === null || typeof value !== "object" || Array.isArray(value)) {
      fail(path, `must be a mapping, not ${describe(value)}`);
    }
    const record = value as Readonly<Record<string, unknown>>;
    for (const name of required) {
      if (record[name] === undefined) fail([...path, name], "is required and missing");
    }
    for (const name of names) {
      const field = record[name];
      if (field !== undefined) inside(fields[name] as Check, field, path, name);
    }
  };
}

/** A mapping with these fields and no others, as `kubectl apply` wants it (strict field validation). */
export function strictObject(
  fields: Readonly<Record<string, Check>>,
  required: readonly string[] = [],
): Check {
  const check = object(fields, required);
  const known = Object.keys(fields);
  return (value, path) => {
    if (value !== null && typeof value === "object" && !Array.isArray(value)) {
      const unknown = Object.keys(value).find((name) => !known.includes(name));
      if (unknown !== undefined) {
        fail([...path, unknown], `is no field there; ${otherFields(unknown, known)}`);
      }
    }
    check(value, path);
  };
}

/** Names of fields that are listed whole. */
const MOST_LISTED = 24;

function otherFields(unknown: string, known: readonly string[]): string {
  if (known.length <= MOST_LISTED) return `there are ${known.join(", ")}`;
  const wanted = unknown.toLowerCase();
  const common = (name: string) => {
    const other = name.toLowerCase();
    let length = 0;
    while (length < wanted.length && wanted[length] === other[length]) length++;
    return length;
  };
  const near = known.filter((name) => common(name) > 2).sort((x, y) => common(y) - common(x));
  return near.length === 0 ? "check its name" : `perhaps ${near.slice(0, 3).join(", ")}`;
}

/** A mapping with exactly one of these fields. */
export function oneField(fields: Readonly<Record<string, Check>>): Check {
  const check = strictObject(fields);
  const names = Object.keys(fields).join(", ");
  return (value, path) => {
    check(value, path);
    const set = Object.values(value as object).filter((field) => field !== undefined);
    if (set.length !== 1) fail(path, `must have exactly one of ${names}`);
  };
}

export function list(item: Check, least = 0, most: number = Number.MAX_SAFE_INTEGER): Check {
  return (value, path) => {
    if (!Array.isArray(value)) fail(path, `must be a list, not ${describe(value)}`);
    const items = value as readonly unknown[];
    if (items.length < least)
      fail(path, `must have at least ${least} ${least === 1 ? "item" : "items"}`);
    if (items.length > most) fail(path, `must have at most ${most} items, not ${items.length}`);
    for (let i = 0; i < items.length; i++) inside(item, items[i], path, i);
  };
}

export function map(key: (key: string) => string | undefined, value: Check): Check {
  return (found, path) => {
    if (found === null || typeof found !== "object" || Array.isArray(found)) {
      fail(path, `must be a mapping, not ${describe(found)}`);
    }
    const entries = found as Readonly<Record<string, unknown>>;
    for (const name of Object.keys(entries)) {
      const item = entries[name];
      const wrong = key(name);
      if (wrong !== undefined) fail([...path, name], wrong);
      inside(value, item, path, name);
    }
  };
}

/** Text that `pattern` admits. */
export function matching(pattern: RegExp, longest: number, what: string): Check {
  return (value, path) => {
    string(value, path);
    const text = value as string;
    if (text.length <= longest && pattern.test(text)) return;
    fail(path, `must be ${what}, not ${describe(text)}`);
  };
}

const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const QUALIFIED = /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/;

export const dnsLabel: Check = matching(
  LABEL,
  63,
  "lower-case letters, digits and hyphens, at most 63, first and last no hyphen",
);
export const dnsSubdomain: Check = matching(
  SUBDOMAIN,
  253,
  "lower-case letters, digits, hyphens and dots, starting and ending with a letter or digit",
);
/** Names of Services (RFC 1035). */
export const serviceName: Check = matching(
  /^[a-z]([-a-z0-9]*[a-z0-9])?$/,
  63,
  "lower-case letters, digits and hyphens, at most 63, starting with a letter and not ending with a hyphen",
);
/** Names of container ports (RFC 6335). */
export const portName: Check = (value, path) => {
  string(value, path);
  const text = value as string;
  const good = text.length <= 15 && LABEL.test(text) && /[a-z]/.test(text) && !text.includes("--");
  if (!good) {
    fail(
      path,
      `must be lower-case letters, digits and hyphens, at most 15, with a letter among them, not ${describe(text)}`,
    );
  }
};

export function labelKey(key: string): string | undefined {
  const slash = key.indexOf("/");
  const name = key.slice(slash + 1);
  const prefix = slash < 0 ? undefined : key.slice(0, slash);
  if (prefix !== undefined && (prefix.length > 253 || !SUBDOMAIN.test(prefix))) {
    return "is no label key: what stands before the slash must be a DNS name";
  }
  if (name.length > 63 || !QUALIFIED.test(name)) {
    return "is no label key: at most 63 letters, digits, hyphens, underscores and dots, first and last a letter or digit";
  }
  return undefined;
}

export const labelValue: Check = (value, path) => {
  string(value, path);
  const text = value as string;
  if (text === "" || (text.length <= 63 && QUALIFIED.test(text))) return;
  fail(
    path,
    `must be at most 63 letters, digits, hyphens, underscores and dots, first and last a letter or digit, not ${describe(text)}`,
  );
};

export const labels: Check = map(labelKey, labelValue);

export const ip: Check = (value, path) => {
  string(value, path);
  if (tryParseIp(value as string) === undefined) {
    fail(path, `must be an IP address such as 10.0.0.1 or fd00::1, not ${describe(value)}`);
  }
};

export const cidr: Check = (value, path) => {
  string(value, path);
  if (tryParseInterfaceAddress(value as string) === undefined) {
    fail(path, `must be a range in CIDR notation such as 10.0.0.0/8, not ${describe(value)}`);
  }
};

/** A number, or a name of a container port. */
export const portOrName: Check = (value, path) => {
  if (typeof value === "string") portName(value, path);
  else port(value, path);
};

/** A number of pods, or a percentage. */
export const countOrPercent: Check = (value, path) => {
  if (typeof value === "string" && /^[0-9]+%$/.test(value)) return;
  if (typeof value === "number" && Number.isInteger(value) && value >= 0) return;
  fail(path, `must be a whole number or a percentage such as 25%, not ${describe(value)}`);
};

/** Anything. */
export const unread: Check = () => {};
