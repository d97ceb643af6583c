import { InputError, type LabelSelector, type LabelSelectorRequirement } from "@cnilab/core";

/** A selector as kubectl's `-l` takes it: `a=b,c!=d,e in (f,g),h,!i`. @throws InputError */
export function readLabelSelector(text: string): LabelSelector {
  // Commas in parentheses belong to a set.
  const terms = text.split(/,(?![^(]*\))/).map((t) => t.trim());
  return { matchExpressions: terms.filter((t) => t !== "").map((term) => requirement(term, text)) };
}

const KEY = "([A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?)";
const VALUE = "([A-Za-z0-9._-]*)";
const EQUALITY = new RegExp(`^${KEY}\\s*(=|==|!=)\\s*${VALUE}$`);
const SET = new RegExp(`^${KEY}\\s+(in|notin)\\s*\\(([^()]*)\\)$`);
const PRESENCE = new RegExp(`^(!?)\\s*${KEY}$`);

function requirement(term: string, whole: string): LabelSelectorRequirement {
  const equality = EQUALITY.exec(term);
  if (equality !== null) {
    const [, key = "", operator, value = ""] = equality;
    return { key, operator: operator === "!=" ? "NotIn" : "In", values: [value] };
  }
  const set = SET.exec(term);
  if (set !== null) {
    const [, key = "", operator, values = ""] = set;
    return {
      key,
      operator: operator === "in" ? "In" : "NotIn",
      values: values.split(",").map((v) => v.trim()),
    };
  }
  const presence = PRESENCE.exec(term);
  if (presence !== null) {
    const [, absent, key = ""] = presence;
    return { key, operator: absent === "!" ? "DoesNotExist" : "Exists" };
  }
  throw new InputError(
    `"${whole}" is no label selector; write it as app=web,tier!=db or env in (a,b)`,
    "-l",
  );
}
