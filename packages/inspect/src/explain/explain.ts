import type { Kernel } from "@cnilab/linux";
import { DROP_EXPLANATIONS } from "../trace/drop-explanations.ts";
import { EXAMPLES } from "./examples.ts";
import { GLOSSARY } from "./glossary.ts";
import type { GlossaryEntry } from "./glossary-entry.ts";

/** The entry of a term, by its name, another name or its pattern, in any case; `undefined` if unknown. */
export function explain(term: string): GlossaryEntry | undefined {
  const wanted = normalise(term);
  const named = GLOSSARY.find((entry) => namesOf(entry).some((n) => normalise(n) === wanted));
  return named ?? GLOSSARY.find((entry) => entry.pattern?.test(term.trim())) ?? dropReason(term);
}

/** Terms close to one that is unknown, to be offered instead. */
export function similarTerms(term: string): string[] {
  const wanted = normalise(term);
  const close = (entry: GlossaryEntry): boolean =>
    namesOf(entry).some((n) => {
      const name = normalise(n);
      return name.includes(wanted) || (name.length > 2 && wanted.includes(name));
    });
  return wanted === "" ? [] : GLOSSARY.filter(close).map((entry) => entry.term);
}

/** Those of some words that have an entry, by the names of their entries, each once, in order. */
export function explainableTerms(words: readonly string[]): string[] {
  const found = new Set<string>();
  for (const word of words) {
    const entry = explain(word);
    if (entry !== undefined) found.add(entry.term);
  }
  return [...found];
}

/** A piece of a running kernel's state that shows the term, in the real tool's format. */
export function exampleOf(term: string, kernel: Kernel): string | undefined {
  const entry = explain(term);
  return entry && EXAMPLES[entry.term]?.(kernel);
}

/** The whole answer of `explain TERM` as text; `undefined` for an unknown term. */
export function explainText(term: string, kernel?: Kernel): string | undefined {
  const entry = explain(term);
  if (entry === undefined) return undefined;
  const example = kernel && EXAMPLES[entry.term]?.(kernel);
  const lines = [entry.term, ...entry.lines.map((line) => `  ${line}`)];
  if (kernel !== undefined && example !== undefined) {
    lines.push(`On ${kernel.hostname}:`, ...example.split("\n").map((line) => `  ${line}`));
  }
  if (entry.see !== undefined) lines.push(`See also: ${entry.see.join(", ")}`);
  return `${lines.join("\n")}\n`;
}

function namesOf({ term, aliases = [] }: GlossaryEntry): readonly string[] {
  return [term, ...aliases];
}

function normalise(name: string): string {
  return name
    .trim()
    .toLowerCase()
    .replace(/[\s_-]+/g, " ");
}

/** Every reason for a drop can be explained as well. */
function dropReason(term: string): GlossaryEntry | undefined {
  const name = term.trim().toUpperCase();
  if (!Object.hasOwn(DROP_EXPLANATIONS, name)) return undefined;
  const { meaning, hint } = DROP_EXPLANATIONS[name as keyof typeof DROP_EXPLANATIONS];
  return {
    term: name,
    lines: ["A reason for which a packet is dropped.", `It means: ${meaning}.`, `Hint: ${hint}.`],
  };
}
