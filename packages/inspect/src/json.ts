/** What JSON can say. */
export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue };

/** One entry of a list that a real tool prints with `-j`. Keys stand in the tool's order. */
export type JsonObject = { readonly [key: string]: JsonValue };
