import type { Comparison } from "./comparison.ts";
import { comparisonRows } from "./comparison-rows.ts";
import { explanations } from "./explanations.ts";
import { askedText, headOf, optionTexts, titleText } from "./heading.ts";
import { shortNames } from "./names-in-text.ts";

/** The screen as a page of Markdown: tables under headings, and a list of reasons. */
export function comparisonMarkdown(comparison: Comparison): string {
  const short = shortNames(comparison.sample.pairs);
  const heads = comparison.findings.map(headOf);
  const groups = comparisonRows(comparison).flatMap(({ title: heading, rows }) => [
    "",
    tableLine([heading, ...heads]),
    tableLine(["---", ...heads.map(() => "---")]),
    ...rows.map(({ label, cells }) => tableLine([label, ...cells])),
  ]);
  return [
    escaped(titleText(comparison)),
    ...optionTexts(comparison).flatMap((text) => ["", escaped(text)]),
    "",
    escaped(askedText(comparison, short)),
    ...groups,
    "",
    ...explanations(comparison, short).map(({ topic, text }) => `- **${topic}**: ${escaped(text)}`),
  ].join("\n");
}

function tableLine(cells: readonly string[]): string {
  return `| ${cells.map(escaped).join(" | ")} |`;
}

/** Characters that Markdown would take for its own. */
function escaped(text: string): string {
  return text.replaceAll(/[|*_<\\`]/g, (character) => `\\${character}`);
}
