import type { LabelSelector, LabelSelectorRequirement } from "./meta.ts";

/** A qualified name, by its characters. */
const QUALIFIED_NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?$/;
const VALUE = /^[A-Za-z0-9._-]*$/;

const EQUALITY = /^([^\s=!(),]+)\s*(==?|!=)\s*([^\s=!(),]*)$/;
const SET = /^([^\s=!(),]+)\s+(in|notin)\s*\(([^()]*)\)$/;
const PRESENCE = /^(!?)\s*([^\s=!(),]+)$/;

/**
 * A selector as kubectl's `-l` takes it: `a`, `!a`, `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b,c)`, separated by
 * commas (apimachinery `metav1.ParseToLabelSelector`). The empty text selects all.
 * @param key what keys look like, where they are more than names of labels
 * @returns undefined for what is no selector
 */
export function parseLabelSelector(
  text: string,
  key: RegExp = QUALIFIED_NAME,
): LabelSelector | undefined {
  if (text.trim() === "") return {};
  const matchExpressions: LabelSelectorRequirement[] = [];
  // Commas in parentheses belong to a set.
  for (const term of text.split(/,(?![^()]*\))/)) {
    const requirement = parseRequirement(term.trim());
    if (requirement === undefined || !key.test(requirement.key)) return undefined;
    if (requirement.values?.some((value) => !VALUE.test(value))) return undefined;
    matchExpressions.push(requirement);
  }
  return { matchExpressions };
}

function parseRequirement(term: string): LabelSelectorRequirement | undefined {
  const equality = EQUALITY.exec(term);
  if (equality !== null) {
    const [, key = "", operator, value = ""] = equality;
    return { key, operator: operator === "!=" ? "NotIn" : "In", values: [value] };
  }
  const set = SET.exec(term);
  if (set !== null) {
    const [, key = "", operator, list = ""] = set;
    if (list.trim() === "") return undefined;
    const values = list.split(",").map((value) => value.trim());
    return { key, operator: operator === "in" ? "In" : "NotIn", values };
  }
  const presence = PRESENCE.exec(term);
  if (presence === null) return undefined;
  const [, absent, key = ""] = presence;
  return { key, operator: absent === "!" ? "DoesNotExist" : "Exists" };
}
