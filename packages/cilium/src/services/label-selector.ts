import type { Labels } from "@cnilab/core";

/** A requirement of a selector's text: `key`, `!key`, `key=value`, `key!=value`, `key in (a,b)`, `key notin (a,b)`. */
const REQUIREMENT =
  /^\s*(?:(?<absent>!)\s*)?(?<key>[A-Za-z0-9](?:[-A-Za-z0-9_./]*[A-Za-z0-9])?)\s*(?:(?<equals>==?|!=)\s*(?<value>[-A-Za-z0-9_.]*)|\s(?<set>in|notin)\s*\((?<values>[^()]*)\))?\s*$/;

/**
 * Reads a selector as kubectl writes it (apimachinery pkg/labels Parse).
 * @returns whether labels match; `undefined` for what is no selector
 */
export function parseLabelSelector(text: string): ((labels: Labels) => boolean) | undefined {
  if (text.trim() === "") return () => true;
  const tests: ((labels: Labels) => boolean)[] = [];
  for (const part of text.split(/,(?![^()]*\))/)) {
    const groups = REQUIREMENT.exec(part)?.groups;
    const key = groups?.["key"];
    if (groups === undefined || key === undefined) return undefined;
    const { absent, equals, value = "", set, values = "" } = groups;
    const asked = set === undefined ? [value] : values.split(",").map((each) => each.trim());
    if (absent !== undefined) {
      if (equals !== undefined || set !== undefined) return undefined;
      tests.push((labels) => labels[key] === undefined);
    } else if (equals === undefined && set === undefined) {
      tests.push((labels) => labels[key] !== undefined);
    } else {
      const wanted = equals !== "!=" && set !== "notin";
      tests.push((labels) => asked.includes(labels[key] ?? NO_VALUE) === wanted);
    }
  }
  return (labels) => tests.every((test) => test(labels));
}

/** No label has it. */
const NO_VALUE = "\0";
