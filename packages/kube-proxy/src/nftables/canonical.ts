import type { Json } from "@cnilab/linux";

type JsonObject = { [key: string]: Json };

/** Objects of a table in the order in which they are told. */
const KINDS = ["table", "chain", "set", "map", "rule"];

/**
 * The document of `nft -j list ruleset` in an order that two runs agree on, one object a line: handles
 * and metainfo gone; by family, table, kind and name; elements by their text, rules of a chain as
 * they are.
 */
export function canonicalNftables(document: Json): string {
  const { nftables } = document as { nftables: JsonObject[] };
  const objects = nftables.flatMap((entry) => {
    const [kind, object] = Object.entries(entry)[0] as [string, JsonObject];
    return kind === "metainfo" ? [] : [{ key: sortKey(kind, object), kind, object }];
  });
  objects.sort((x, y) => compare(x.key, y.key));
  const lines = objects.map(({ kind, object }) => spacedJson({ [kind]: withoutHandle(object) }));
  return `{"nftables": [\n${lines.join(",\n")}\n]}\n`;
}

/** Family, table, kind, name; a rule goes by its chain. */
function sortKey(kind: string, object: JsonObject): string {
  const table = kind === "table" ? object["name"] : object["table"];
  const name = kind === "table" ? "" : kind === "rule" ? object["chain"] : object["name"];
  // No name has a letter before the space.
  return [object["family"], table, KINDS.indexOf(kind), name].join(" ");
}

function withoutHandle({ handle: _, ...object }: JsonObject): JsonObject {
  const elements = object["elem"];
  if (!Array.isArray(elements)) return object;
  const keyed = elements.map((element) => ({ element, key: spacedJson(sortedKeys(element)) }));
  keyed.sort((x, y) => compare(x.key, y.key));
  return { ...object, elem: keyed.map(({ element }) => element) };
}

function sortedKeys(json: Json): Json {
  if (Array.isArray(json)) return json.map(sortedKeys);
  if (typeof json !== "object" || json === null) return json;
  const entries = Object.entries(json).sort(([x], [y]) => compare(x, y));
  return Object.fromEntries(entries.map(([key, value]) => [key, sortedKeys(value)]));
}

/** JSON with a space behind commas and colons. */
function spacedJson(json: Json): string {
  if (Array.isArray(json)) return `[${json.map(spacedJson).join(", ")}]`;
  if (typeof json !== "object" || json === null) return JSON.stringify(json);
  const members = Object.entries(json).map(
    ([key, value]) => `${JSON.stringify(key)}: ${spacedJson(value)}`,
  );
  return `{${members.join(", ")}}`;
}

function compare(x: string, y: string): number {
  return x < y ? -1 : x > y ? 1 : 0;
}
