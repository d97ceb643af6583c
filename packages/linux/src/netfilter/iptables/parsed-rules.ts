import type { IpFamily } from "@cnilab/net";
import type { Match } from "./extension.ts";
import type { ChainName } from "./rule.ts";
import { type ParsedRules, RuleParser } from "./rule-parser.ts";

/** Rules that are kept in either half. */
const HALF = 512;

/** By family, place and words. Whoever is not asked for while {@link HALF} others come is let go. */
let recent = new Map<string, ParsedRules>();
let older = new Map<string, ParsedRules>();

/**
 * Reads the words of one rule. Agents give thousands of nodes the same few dozen rules: these are read
 * once and shared, as they are immutable. What a match remembers belongs to one rule of a namespace, so
 * that only rules whose matches remember nothing can be shared.
 * @throws Complaint
 */
export function parseRule(
  family: IpFamily,
  words: readonly string[],
  place: ChainName,
): ParsedRules {
  const key = `${family} ${place.table} ${place.chain}\0${words.join("\0")}`;
  let parsed = recent.get(key);
  if (parsed !== undefined) return parsed;
  parsed = older.get(key) ?? new RuleParser(family, words, place).parse();
  if (!parsed.rules.every(({ matches }) => matches.every(remembersNothing))) return parsed;
  if (recent.size === HALF) {
    older = recent;
    recent = new Map();
  }
  recent.set(key, parsed);
  return parsed;
}

function remembersNothing({ pure, stateless }: Match): boolean {
  return pure || stateless === true;
}
