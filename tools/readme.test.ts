// Every ```ts example of every README runs as it stands.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, globSync, readFileSync } from "node:fs";
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
      { cwd: folder, encoding: "utf8" },
    );
    expect(output).not.toBe("");
  });
});

/** Commands of README.md's table that need nothing of the reader's own, and no root. */
const COMMANDS = [
  ...readFileSync(join(root, "README.md"), "utf8").matchAll(/^\|.*\| `cnilab ([^`]*)`/gm),
].flatMap(([, command = ""]) => {
  const words = command.split(" ");
  const files = words.filter((_, i) => words[i - 1] === "-f");
  const isWhole = !/[…\\]|\b(SRC|DST|FILE|DIR)\b/.test(command) && words[0] !== "realize";
  return isWhole && files.every((file) => existsSync(join(root, file))) ? [{ command, words }] : [];
});

test("README.md's table has commands that run as they stand", () => {
  expect(COMMANDS.map(({ words }) => words[0])).toEqual(
    expect.arrayContaining(["trace", "curl", "dns", "get"]),
  );
});

test.each(COMMANDS)("cnilab $command", ({ words }) => {
  const main = join(root, "apps/cli/src/main.ts");
  const { status, stdout } = spawnSync(process.execPath, [main, ...words], {
    cwd: root,
    encoding: "utf8",
  });
  // Policies block some of all pairs, and that is an answer of "no".
  expect(status).toBe(words[0] === "reach" ? 1 : 0);
  expect(stdout).not.toBe("");
});
