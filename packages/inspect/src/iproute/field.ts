import type { JsonValue } from "../json.ts";

/**
 * One value that iproute2 prints: a piece of its text, and a key of its JSON. Either may be missing
 * where the real tool leaves it out in that form.
 */
export interface Field {
  readonly text: string | undefined;
  readonly key: string | undefined;
  readonly value: JsonValue;
}

/** `NAME VALUE` in the text, and `"key": value` in the JSON. */
export function field(name: string, value: string | number, key: string = name): Field {
  return { text: `${name} ${value}`, key, value };
}

/** `NAME on` or `NAME off`; a boolean in the JSON. */
export function onOff(name: string, value: boolean, key: string = name): Field {
  return { text: `${name} ${value ? "on" : "off"}`, key, value };
}

/** `NAME` or `noNAME`; a boolean in the JSON. */
export function flag(name: string, value: boolean, key: string = name): Field {
  return { text: value ? name : `no${name}`, key, value };
}

/** In the text only. */
export function textOnly(text: string): Field {
  return { text, key: undefined, value: null };
}

/** In the JSON only. */
export function jsonOnly(key: string, value: JsonValue): Field {
  return { text: undefined, key, value };
}

/** The text of the fields, each followed by a space as iproute2 does it. */
export function fieldsText(fields: readonly Field[]): string {
  return fields.map(({ text }) => (text === undefined ? "" : `${text} `)).join("");
}

export function fieldsJson(fields: readonly Field[]): { [key: string]: JsonValue } {
  const json: { [key: string]: JsonValue } = {};
  for (const { key, value } of fields) if (key !== undefined) json[key] = value;
  return json;
}
