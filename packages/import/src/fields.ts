import { InputError } from "@cnilab/core";
import {
  addressBits,
  familyOf,
  type IpAddress,
  type IpFamily,
  type Mac,
  Prefix,
  tryParseInterfaceAddress,
  tryParseIp,
  tryParseMac,
} from "@cnilab/net";

/** An object out of a tool's JSON, whose fields are looked at before they are believed. */
export class Fields {
  readonly #values: Readonly<Record<string, unknown>>;
  /** File, and path in it. */
  readonly file: string;
  readonly path: string;

  /** @throws InputError for what is no object */
  constructor(value: unknown, file: string, path: string) {
    this.file = file;
    this.path = path;
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new InputError(`${path} must be an object`, file);
    }
    this.#values = value as Record<string, unknown>;
  }

  get isEmpty(): boolean {
    return Object.keys(this.#values).length === 0;
  }

  get names(): string[] {
    return Object.keys(this.#values);
  }

  /** Whether the field is there, whatever its value: iproute2 writes some flags as `null`. */
  has(name: string): boolean {
    return Object.hasOwn(this.#values, name) && this.#values[name] !== false;
  }

  string(name: string): string {
    return this.stringOr(name, undefined) ?? this.#missing(name);
  }

  stringOr<T>(name: string, absent: T): string | T {
    const value = this.#value(name);
    if (value === undefined) return absent;
    if (typeof value !== "string") throw this.error(name, "must be a string");
    return value;
  }

  /** A whole number from 0 on, also where the tool writes it as text, `0x` for hexadecimal. */
  number(name: string): number {
    return this.numberOr(name, undefined) ?? this.#missing(name);
  }

  numberOr<T>(name: string, absent: T): number | T {
    const value = this.#value(name);
    if (value === undefined) return absent;
    const number =
      typeof value === "string" && /^(0x[0-9a-f]+|\d+)$/i.test(value) ? Number(value) : value;
    if (typeof number === "number" && Number.isSafeInteger(number) && number >= 0) return number;
    throw this.error(name, "must be a whole number");
  }

  /** A number that is -1 where the kernel knows none. */
  numberOrNone<T>(name: string, absent: T): number | T {
    return this.#value(name) === -1 ? -1 : this.numberOr(name, absent);
  }

  stringOrNumber(name: string): string | number {
    const value = this.#value(name);
    if (typeof value === "string" || typeof value === "number") return value;
    throw this.error(name, "must be a string or a number");
  }

  /** A number by itself, or by one of its names. */
  named(name: string, names: Readonly<Record<string, number>>): number | undefined {
    const value = this.#value(name);
    if (typeof value === "string" && Object.hasOwn(names, value)) return names[value];
    // ip -N writes protocols of rules as `ipproto-6`.
    const unnamed = typeof value === "string" ? /^ipproto-(\d+)$/.exec(value)?.[1] : undefined;
    if (unnamed !== undefined) return Number(unnamed);
    if (typeof value === "string" && !/^(0x[0-9a-f]+|\d+)$/i.test(value)) {
      throw this.error(name, `"${short(value)}" has no number here; collect it with ip -N`);
    }
    return this.numberOr(name, undefined);
  }

  flag(name: string, absent: boolean = false): boolean {
    const value = this.#value(name) ?? absent;
    if (typeof value === "boolean") return value;
    throw this.error(name, "must be true or false");
  }

  strings(name: string): string[] {
    return this.#list(name).map((value) => {
      if (typeof value === "string") return value;
      throw this.error(name, "must be a list of strings");
    });
  }

  /** Objects of a list; none where the field is absent. */
  objects(name: string): Fields[] {
    return this.#list(name).map(
      (value, i) => new Fields(value, this.file, `${this.path}.${name}[${i}]`),
    );
  }

  /** An object in a field. */
  object(name: string): Fields | undefined {
    const value = this.#value(name);
    return value === undefined ? undefined : new Fields(value, this.file, `${this.path}.${name}`);
  }

  address(name: string): IpAddress {
    return this.addressOr(name) ?? this.#missing(name);
  }

  addressOr(name: string): IpAddress | undefined {
    const text = this.stringOr(name, undefined);
    if (text === undefined) return undefined;
    const address = tryParseIp(text);
    if (address === undefined) throw this.error(name, `"${short(text)}" is no IP address`);
    return address;
  }

  /** An address of one family. */
  addressOf(name: string, family: IpFamily): IpAddress {
    const address = this.address(name);
    if (familyOf(address) === family) return address;
    throw this.error(name, `must be an IPv${family} address`);
  }

  macOr(name: string): Mac | undefined {
    const text = this.stringOr(name, undefined);
    if (text === undefined) return undefined;
    const mac = tryParseMac(text);
    if (mac === undefined) throw this.error(name, `"${short(text)}" is no MAC address`);
    return mac;
  }

  /** `default`, `10.0.0.0/8`, or an address alone. */
  prefix(name: string, family: IpFamily): Prefix {
    const text = this.string(name);
    if (text === "default" || text === "all" || text === "any") return anyPrefix(family);
    const slashed = text.includes("/") ? text : `${text}/${addressBits(family)}`;
    const found = tryParseInterfaceAddress(slashed);
    if (found === undefined || familyOf(found.address) !== family) {
      throw this.error(name, `"${short(text)}" is no IPv${family} prefix`);
    }
    return new Prefix(found.address, found.length);
  }

  error(name: string, message: string): InputError {
    return new InputError(`${this.path}.${name} ${message}`, this.file);
  }

  #list(name: string): readonly unknown[] {
    const value = this.#value(name);
    if (value === undefined) return [];
    if (!Array.isArray(value)) throw this.error(name, "must be a list");
    return value;
  }

  #value(name: string): unknown {
    if (!Object.hasOwn(this.#values, name)) return undefined;
    return this.#values[name] ?? undefined;
  }

  #missing(name: string): never {
    throw this.error(name, "is missing");
  }
}

export function anyPrefix(family: IpFamily): Prefix {
  return new Prefix(tryParseIp(family === 4 ? "0.0.0.0" : "::") as IpAddress, 0);
}

/** What is quoted of input in a message. */
export function short(text: string): string {
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}
