import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { IpsetError } from "../../src/index.ts";
import { Lab } from "../lab.ts";

/** What the real ipset printed; the file says how it was made. */
const TRANSCRIPT = readFileSync(
  new URL("../fixtures/ipset/transcript.txt", import.meta.url),
  "utf8",
);

/** Each command with what it printed, one after the other in one namespace. */
const COMMANDS = TRANSCRIPT.replace(/^#.*\n/gm, "")
  .split(/^\$ /m)
  .filter((part) => part !== "")
  .map((part) => {
    const [command, ...lines] = part.trimEnd().split("\n");
    return [command as string, lines.map((line) => line.slice(2))] as const;
  });

const [netns] = new Lab().machine("test");

test.each(COMMANDS)("ipset %s", (command, printed) => {
  let output: string[];
  try {
    output = netns.ipsets.run(command).trimEnd().split("\n");
  } catch (error) {
    expect(error).toBeInstanceOf(IpsetError);
    output = `ipset v7.17: ${(error as Error).message}`.split("\n");
  }
  // A wrong number is told of by each reader that tried it; the last one knows best.
  const told = printed.length > 1 && printed.every((line) => !line.startsWith("Try"));
  const isError = printed[0]?.startsWith("ipset v7.17") === true;
  if (told && isError) {
    const last = (printed.at(-1) as string).replace(/^Syntax error: /, "");
    expect(output).toEqual([`ipset v7.17: Syntax error: ${last}`]);
  } else expect(canonical(output, command)).toEqual(canonical(printed, command));
});

/** Without what is arbitrary: the order of a hash, seeds, sizes; and who is told that a set has something. */
function canonical(lines: readonly string[], command: string): string[] {
  const kept = lines
    .filter((line) => line !== "" && !line.startsWith("Size in memory"))
    .map((line) => line.replace(/ initval 0x(?!00001234)[0-9a-f]+/, "").replace(/^Warning: /, ""));
  const [first = "", ...rest] = kept;
  const sorted = command.startsWith("save") && !first.includes("list:set");
  return [first, ...(sorted ? rest.sort() : rest)];
}
