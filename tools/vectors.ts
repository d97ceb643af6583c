// `npm run vectors -- SUITE [FOLDER]`: one golden-vector suite, a line for each case that did not pass, and the sum.

import { existsSync, globSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { type RunSuite, sharedVectors } from "./vector-suite.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

process.exitCode = await vectors(process.argv.slice(2));

/** Exit code: 0 all passed, 1 something failed or nothing ran, 2 called wrongly. */
async function vectors([suite, folder]: string[]): Promise<number> {
  const suites = findSuites();
  const known = [...suites.keys()].sort().join(", ") || "none yet";
  if (suite === undefined) {
    return wrong(`Usage: npm run vectors -- SUITE [FOLDER], where SUITE is one of: ${known}.`);
  }
  const file = suites.get(suite);
  if (file === undefined) return wrong(`There is no suite "${suite}"; known: ${known}.`);
  const from = folder === undefined ? sharedVectors(suite) : resolve(folder);
  if (!existsSync(from)) {
    return wrong(`${from} is not there: give the folder of the vectors as second argument.`);
  }

  const { runSuite }: { runSuite?: RunSuite } = await import(pathToFileURL(file).href);
  if (runSuite === undefined) return wrong(`${file} does not export runSuite.`);
  const count = { passed: 0, failed: 0, skipped: 0 };
  for await (const { name, outcome, detail = "" } of runSuite(from)) {
    count[outcome]++;
    if (outcome === "failed") console.log(`FAILED ${name}${detail && `: ${indented(detail)}`}`);
    if (outcome === "skipped") console.log(`SKIPPED ${name}: ${indented(detail)}`);
  }
  console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
  return count.failed === 0 && count.passed > 0 ? 0 : 1;
}

/** Suite name → file, over all packages. */
function findSuites(): Map<string, string> {
  const suites = new Map<string, string>();
  for (const path of globSync("{packages,apps}/*/test/vectors/*.ts", { cwd: root })) {
    if (!path.endsWith(".test.ts")) suites.set(basename(path, ".ts"), join(root, path));
  }
  return suites;
}

function indented(detail: string): string {
  return detail.trimEnd().replaceAll("\n", "\n    ");
}

function wrong(message: string): number {
  console.error(message);
  return 2;
}
