import { InputError, type LabelSelectorRequirement } from "@cnilab/core";
import { EndpointSelector } from "../labels/endpoint-selector.ts";

const SET = /^(\S+)\s+(in|notin)\s*\(([^()]*)\)$/;
const EQUALITY = /^([^=!\s]+)\s*(==?|!=)\s*([^=!\s]*)$/;
const EXISTENCE = /^(!?)\s*([^=!\s()]+)$/;

/**
 * Reads a selector as kubectl's `-l` has it, in whose keys a label's source may stand: `k8s:app=web,tier in (a, b),!x`.
 * A key without a source is of any (pkg/hubble/filters labelparser.go). @throws InputError
 */
export function readLabelExpression(text: string, flag: string): EndpointSelector {
  const matchExpressions = split(text).map((part) => requirement(part.trim(), flag));
  return EndpointSelector.fromPolicy({ matchExpressions });
}

/** At the commas that stand in no parentheses. */
function split(text: string): string[] {
  return text.trim() === "" ? [] : text.split(/,(?![^()]*\))/);
}

function requirement(text: string, flag: string): LabelSelectorRequirement {
  const [, setKey, operator, list = ""] = SET.exec(text) ?? [];
  if (setKey !== undefined) {
    return {
      key: setKey,
      operator: operator === "in" ? "In" : "NotIn",
      values: list.split(",").map((value) => value.trim()),
    };
  }
  const [, key, sign, value = ""] = EQUALITY.exec(text) ?? [];
  if (key !== undefined) return { key, operator: sign === "!=" ? "NotIn" : "In", values: [value] };
  const [, not, name] = EXISTENCE.exec(text) ?? [];
  if (name !== undefined) return { key: name, operator: not === "!" ? "DoesNotExist" : "Exists" };
  throw new InputError(
    `"${text}" is no part of a label selector; write app=web, app!=web, app in (web, api), app or !app`,
    flag,
  );
}
