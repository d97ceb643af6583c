/** One thing that was looked at, as reports for people's CI show it. */
export interface ReportCase {
  /** Which question it answers. */
  readonly rule: string;
  readonly level: "error" | "warning" | "note" | "pass";
  readonly subject: string;
  readonly message: string;
}

/** SARIF 2.1.0 (OASIS), as code hosts read it. */
export function sarif(cases: readonly ReportCase[]): object {
  const found = cases.filter(({ level }) => level !== "pass");
  const rules = [...new Set(found.map(({ rule }) => rule))].sort();
  return {
    $schema: "https://json.schemastore.org/sarif-2.1.0.json",
    version: "2.1.0",
    runs: [
      {
        tool: { driver: { name: "cnilab", rules: rules.map((id) => ({ id })) } },
        results: found.map(({ rule, level, subject, message }) => ({
          ruleId: rule,
          level,
          message: { text: `${subject}: ${message}` },
          locations: [{ logicalLocations: [{ fullyQualifiedName: subject }] }],
        })),
      },
    ],
  };
}

/** The XML that CI servers read as test results: an error is a failed test, warnings and notes are what it printed. */
export function junit(suite: string, cases: readonly ReportCase[]): string {
  const tests = cases.filter(({ level }) => level === "pass" || level === "error");
  const failures = tests.filter(({ level }) => level === "error").length;
  const body = tests.map(({ rule, level, subject, message }) => {
    const open = `  <testcase classname="${xml(rule)}" name="${xml(subject)}"`;
    return level === "pass"
      ? `${open}/>`
      : `${open}><failure message="${xml(message)}"/></testcase>`;
  });
  const others = cases
    .filter(({ level }) => level === "warning" || level === "note")
    .map(({ level, subject, message }) => `${level}: ${subject}: ${message}`);
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuite name="${xml(suite)}" tests="${tests.length}" failures="${failures}">`,
    ...body,
    ...(others.length > 0 ? [`  <system-out>${xml(others.join("\n"))}</system-out>`] : []),
    "</testsuite>",
  ].join("\n");
}

function xml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
