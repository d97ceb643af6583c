import { InputError, parseLabelSelector } from "@cnilab/core";
import { EndpointSelector } from "../labels/endpoint-selector.ts";

/** Of a label, with its source before the colon where one is given. */
const KEY = /^[^\s]+$/;

/**
 * Reads a selector as kubectl's `-l` has it, in whose keys a label's source may stand: `k8s:app=web,tier in (a, b),!x`.
 * A key without a source is of any (pkg/hubble/filters labelparser.go). @throws InputError
 */
export function readLabelExpression(text: string, flag: string): EndpointSelector {
  const selector = parseLabelSelector(text, KEY);
  if (selector !== undefined) return EndpointSelector.fromPolicy(selector);
  throw new InputError(
    `"${text}" is no label selector; write app=web, app!=web, app in (web, api), app or !app`,
    flag,
  );
}
