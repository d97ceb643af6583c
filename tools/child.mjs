// @ts-check
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { isatty } from "node:tty";

/**
 * Runs a program in our place: its input, output, exit code and signals are ours.
 * @param {string} program @param {string[]} args @param {import("node:child_process").SpawnOptions} options
 * @returns {Promise<number>} the exit code, as a shell would give it
 */
export function pass(program, args, options) {
  const child = spawn(program, args, { ...options, stdio: "inherit" });
  endWithNpm(child);
  // Ctrl-C goes to every process in the terminal's foreground, the child included. Where there is no terminal,
  // somebody signalled this process alone. (`process.stdin.isTTY` would make the child's stdin non-blocking.)
  const atTerminal = [0, 1, 2].some((fd) => isatty(fd));
  process.on("SIGINT", () => atTerminal || child.kill("SIGINT"));
  process.on("SIGHUP", () => atTerminal || child.kill("SIGHUP"));
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) =>
      resolve(signal ? 128 + constants.signals[signal] : (code ?? 1)),
    );
  });
}

/**
 * npm hands a signal to the shell that it started us with, and that shell dies of it without telling us.
 * @param {import("node:child_process").ChildProcess} child
 */
export function endWithNpm(child) {
  if (process.env["npm_lifecycle_event"] === undefined) return;
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(watch);
    child.kill("SIGTERM");
  }, 250);
  watch.unref();
}
