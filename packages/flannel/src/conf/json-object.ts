import { InputError } from "@cnilab/core";
import {
  familyOf,
  type IpAddress,
  type IpFamily,
  type Prefix,
  tryParseInterfaceAddress,
  tryParseIp,
  tryParsePrefix,
} from "@cnilab/net";

/** A JSON object read as Go's encoding/json fills a struct: names match in any case, unknown ones are ignored. */
export class JsonObject {
  readonly #values = new Map<string, unknown>();
  readonly #where: string;
  /** Of this object in the document, with a dot behind it. */
  readonly #path: string;

  constructor(value: unknown, where: string, path = "") {
    this.#where = where;
    this.#path = path;
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw this.#error("", "an object", value);
    }
    for (const [key, field] of Object.entries(value)) this.#values.set(key.toLowerCase(), field);
  }

  static parse(text: string, where: string): JsonObject {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (cause) {
      throw new InputError(`not JSON: ${(cause as Error).message}`, where, { cause });
    }
    return new JsonObject(value, where);
  }

  /** `undefined` when absent or null, as everywhere here. */
  object(key: string): JsonObject | undefined {
    const value = this.#get(key);
    return value === undefined
      ? undefined
      : new JsonObject(value, this.#where, `${this.#path}${key}.`);
  }

  boolean(key: string): boolean | undefined {
    const value = this.#get(key);
    if (value === undefined || typeof value === "boolean") return value;
    throw this.#error(key, "true or false", value);
  }

  string(key: string): string | undefined {
    const value = this.#get(key);
    if (value === undefined || typeof value === "string") return value;
    throw this.#error(key, "a string", value);
  }

  /** An integer from `least` to `most`. */
  integer(key: string, least: number, most: number): number | undefined {
    const value = this.#get(key);
    if (value === undefined) return undefined;
    if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most) {
      return value;
    }
    throw this.#error(key, `an integer from ${least} to ${most}`, value);
  }

  /** A network of one family in CIDR notation; host bits must be zero. */
  prefix(key: string, family: IpFamily): Prefix | undefined {
    const text = this.string(key);
    if (text === undefined || text === "") return undefined;
    const prefix = tryParsePrefix(text);
    if (prefix === undefined || prefix.family !== family) {
      throw this.#error(key, `an IPv${family} network such as ${EXAMPLES[family]}`, text);
    }
    if (tryParseInterfaceAddress(text)?.address !== prefix.address) {
      throw this.#error(key, `a network address such as ${prefix}`, text);
    }
    return prefix;
  }

  address(key: string, family: IpFamily): IpAddress | undefined {
    const text = this.string(key);
    if (text === undefined || text === "") return undefined;
    const address = tryParseIp(text);
    if (address === undefined || familyOf(address) !== family) {
      throw this.#error(key, `an IPv${family} address`, text);
    }
    return address;
  }

  #get(key: string): unknown {
    return this.#values.get(key.toLowerCase()) ?? undefined;
  }

  /** What is wrong with a field, for a person. */
  #error(key: string, expected: string, value: unknown): InputError {
    const name = `${this.#path}${key}`.replace(/\.$/, "");
    const what = name === "" ? "the document" : `"${name}"`;
    return new InputError(`${what} must be ${expected}, not ${JSON.stringify(value)}`, this.#where);
  }
}

const EXAMPLES = { 4: "10.244.0.0/16", 6: "2001:db8:42::/56" } as const;
