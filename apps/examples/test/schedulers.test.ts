import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const program = fileURLToPath(new URL("../schedulers/main.ts", import.meta.url));

test("schedulers shows who is chosen", () => {
  const flags = ["--disable-warning=ExperimentalWarning", program];
  const lines = execFileSync(process.execPath, flags, { encoding: "utf8" }).split("\n");
  const chosen = lines.flatMap((line) => /^ {2}([a-z]+ +[a-d1-9 ]*[a-d1-9])/.exec(line)?.[1] ?? []);
  // Linux 6.1 was asked for the first six.
  expect(chosen).toEqual([
    "rr   a b c d a b c d a b   c d a b c",
    "wrr  a b c d d c d b c d   a b c d d",
    "lc   a b c d a b c d a b   d d c d a",
    "wlc  a b c d d c b d c d   d d d d a",
    "sed  d c b d c d a b c d   d d d d d",
    "nq   a b c d d c d b c d   d d d d d",
    "rr   3 3 4 2",
    "lc   3 3 3 3",
  ]);
});
