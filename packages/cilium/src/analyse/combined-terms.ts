import type { LabelSelectorRequirement } from "@cnilab/core";
import type { LabelExpression, PeerTerm } from "@cnilab/network-policy";

// Terms put together, without what changes nothing.

export const EVERYBODY: PeerTerm = { kind: "all", of: [] };
export const NOBODY: PeerTerm = { kind: "any", of: [] };

export function allOf(terms: readonly PeerTerm[]): PeerTerm {
  if (terms.some(isNobody)) return NOBODY;
  const of = terms.filter((term) => !isEverybody(term));
  const [only] = of;
  return of.length === 1 && only !== undefined ? only : { kind: "all", of };
}

export function anyOf(terms: readonly PeerTerm[]): PeerTerm {
  if (terms.some(isEverybody)) return EVERYBODY;
  const of = terms.filter((term) => !isNobody(term));
  const [only] = of;
  return of.length === 1 && only !== undefined ? only : { kind: "any", of };
}

export function not(term: PeerTerm): PeerTerm {
  if (isEverybody(term)) return NOBODY;
  if (isNobody(term)) return EVERYBODY;
  return { kind: "not", of: term };
}

export function withLabel(key: string): PeerTerm {
  return labelled({ op: "has", key });
}

export function labelled(where: LabelExpression): PeerTerm {
  return { kind: "labels", where };
}

export function isEverybody(term: PeerTerm): boolean {
  return term.kind === "all" && term.of.length === 0;
}

export function isNobody(term: PeerTerm): boolean {
  return term.kind === "any" && term.of.length === 0;
}

/** Whether a requirement is fulfilled by a label that everybody has, with this value, or that nobody has. */
export function fits(
  { operator, values = [] }: LabelSelectorRequirement,
  value: string | undefined,
): PeerTerm {
  const isIn = value !== undefined && values.includes(value);
  const isFulfilled = {
    In: isIn,
    NotIn: !isIn,
    Exists: value !== undefined,
    DoesNotExist: value === undefined,
  }[operator];
  return isFulfilled ? EVERYBODY : NOBODY;
}

/** One of two, by whether somebody is among some. */
export function either(some: PeerTerm, among: PeerTerm, others: PeerTerm): PeerTerm {
  return anyOf([allOf([some, among]), allOf([not(some), others])]);
}
