import { type Check, dnsSubdomain } from "@cnilab/core/validation";

/** What is known of a kind: which API it is in, and what it must look like. */
export interface KindChecks {
  /** Group of the API; empty for the core one. */
  readonly group: string;
  readonly version: string;
  /** Versions that are served as well, with the same fields or fewer. */
  readonly olderVersions?: readonly string[];
  readonly name: Check;
  readonly fields: Readonly<Record<string, Check>>;
  readonly required: readonly string[];
  /** Looks at what several fields together must be, once each is good. */
  readonly whole?: Check;
}

export function kind(
  group: string,
  fields: Readonly<Record<string, Check>>,
  required: readonly string[] = ["spec"],
  name: Check = dnsSubdomain,
): KindChecks {
  return { group, version: "v1", name, fields, required };
}
