// @ts-check
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** No set-up takes this long: its process number belongs to another program by now, or it runs on a lost machine. */
const STALE_MS = 30 * 60_000;
/** Between taking a lock and signing it lie microseconds; unsigned for this long, it was abandoned. */
const UNSIGNED_MS = 10_000;

/**
 * Runs `work` while holding the lock folder `path` (`mkdir` is atomic), waiting for whoever holds it. The lock of a
 * process that is gone is removed.
 * @param {string} path @param {(line: string) => void} talk @param {() => Promise<void>} work
 */
export async function withLock(path, talk, work) {
  for (let waited = false; !take(path); ) {
    if (isStale(path)) {
      breakLock(path);
      continue;
    }
    if (!waited) talk(`Waiting for process ${ownerOf(path)?.pid ?? "?"}, which is setting up…`);
    waited = true;
    await sleep(200);
  }
  const release = () => rmSync(path, { recursive: true, force: true });
  const interrupted = (/** @type {NodeJS.Signals} */ signal) => {
    release();
    process.exit(signal === "SIGINT" ? 130 : 143); // also stops the installer, which listens to "exit"
  };
  process.once("SIGINT", interrupted).once("SIGTERM", interrupted);
  try {
    await work();
  } finally {
    release();
    process.removeListener("SIGINT", interrupted).removeListener("SIGTERM", interrupted);
  }
}

/** @param {string} path */
function take(path) {
  try {
    mkdirSync(path);
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === "EEXIST") return false;
    throw error;
  }
  writeFileSync(join(path, "owner"), JSON.stringify({ pid: process.pid, host: hostname() }));
  return true;
}

/**
 * @param {string} path
 * @returns {{ pid: number, host: string } | undefined} undefined also in the moment between mkdir and write
 */
function ownerOf(path) {
  try {
    return JSON.parse(readFileSync(join(path, "owner"), "utf8"));
  } catch {
    return undefined;
  }
}

/** @param {string} path */
function isStale(path) {
  const owner = ownerOf(path);
  if (owner?.host === hostname() && !isAlive(owner.pid)) return true;
  try {
    return Date.now() - statSync(path).mtimeMs > (owner ? STALE_MS : UNSIGNED_MS);
  } catch {
    return false; // released meanwhile
  }
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === "EPERM";
  }
}

/**
 * Two waiters may both find the lock stale, and the slower one must not remove the lock that the faster one has just
 * taken: move it aside first, look again, and put a live one back.
 * @param {string} path
 */
function breakLock(path) {
  const aside = `${path}.${process.pid}`;
  try {
    renameSync(path, aside);
    if (isStale(aside)) rmSync(aside, { recursive: true, force: true });
    else renameSync(aside, path);
  } catch {
    // another waiter was faster
  }
}
