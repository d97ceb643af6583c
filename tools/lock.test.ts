import { existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { withLock } from "./lock.mjs";

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lock-"));
  path = join(folder, "lock");
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Larger than any process number (kernel PID_MAX_LIMIT is 2^22). */
const NOBODY = 2 ** 22 + 1;

function leaveLock(owner?: { pid: number; host: string }, ageSeconds = 0): void {
  mkdirSync(path);
  if (owner) writeFileSync(join(path, "owner"), JSON.stringify(owner));
  const then = Date.now() / 1000 - ageSeconds;
  utimesSync(path, then, then);
}

test("one at a time", async () => {
  let inside = 0;
  let most = 0;
  const work = async (): Promise<void> => {
    most = Math.max(most, ++inside);
    await new Promise((resolve) => setTimeout(resolve, 20));
    inside--;
  };
  await Promise.all([1, 2, 3].map(() => withLock(path, () => {}, work)));
  expect(most).toBe(1);
  expect(existsSync(path)).toBe(false);
});

test("a failure releases it", async () => {
  const failing = withLock(
    path,
    () => {},
    () => Promise.reject(new Error("no")),
  );
  await expect(failing).rejects.toThrow("no");
  expect(existsSync(path)).toBe(false);
});

test.each([
  ["a process that is gone", { pid: NOBODY, host: hostname() }, 0],
  ["a lost machine", { pid: 1, host: "elsewhere.example" }, 3600],
  ["a process that died before signing", undefined, 60],
])("the lock of %s is broken", async (_, owner, ageSeconds) => {
  leaveLock(owner, ageSeconds);
  let ran = false;
  await withLock(
    path,
    () => {},
    async () => {
      ran = true;
    },
  );
  expect(ran).toBe(true);
});

test("the lock of a living process is waited for, and says whose it is", async () => {
  leaveLock({ pid: process.pid, host: hostname() });
  const said: string[] = [];
  await withLock(
    path,
    (line) => {
      said.push(line);
      rmSync(path, { recursive: true });
    },
    async () => {},
  );
  expect(said).toEqual([`Waiting for process ${process.pid}, which is setting up…`]);
});
