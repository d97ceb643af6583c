// Every ```ts example of every README runs as it stands.
import { execFileSync } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const READMES = globSync(["README.md", "{packages,apps}/*/README.md"], { cwd: root }).sort();

describe.each(READMES)("%s", (readme) => {
  const text = readFileSync(join(root, readme), "utf8");
  const examples = [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code = ""], i) => ({
    code,
    number: i + 1,
  }));
  test.each(examples)("example $number runs", ({ code }) => {
    // From the package's own folder, where its name and what it depends on can be imported.
    const folder = join(root, readme === "README.md" ? "apps/examples" : dirname(readme));
    const output = execFileSync(
      process.execPath,
      ["--disable-warning=ExperimentalWarning", "--input-type=module-typescript", "--eval", code],
      { cwd: folder, encoding: "utf8", timeout: 60_000 },
    );
    expect(output).not.toBe("");
  });
});
