import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import type { Writable } from "node:stream";
import { PROBES, PROGRAMS } from "./kernel-features.ts";
import { checkedPrefix } from "./namespace-names.ts";
import { loading, type Script } from "./script.ts";
import { UnrealizableError } from "./unrealizable-error.ts";

/** Namespaces that were made, and go again when this process ends, whatever ends it. */
export class Realized {
  readonly prefix: string;
  readonly #guard: ChildProcess;

  constructor(prefix: string, guard: ChildProcess) {
    this.prefix = prefix;
    this.#guard = guard;
  }

  /** Leaves them when this process ends; `down` takes them away. */
  keep(): Promise<void> {
    return this.#end("keep\n");
  }

  /** Takes them away. */
  remove(): Promise<void> {
    return this.#end("");
  }

  #end(word: string): Promise<void> {
    return new Promise((resolve) => {
      this.#guard.once("exit", () => resolve());
      this.#guard.stdin?.end(word);
    });
  }
}

/** Says `up` once all is there, and undoes it unless it is told to keep it. */
const EPILOGUE = `
echo up
read -r word || true
[ "\${word:-}" != keep ] || finished=1
`;

/**
 * Runs a script as root. A process of its own makes the namespaces and watches over them, so that
 * nothing is left where this one is killed.
 * @throws UnrealizableError where its prefix or one of its names is taken
 * @throws Error what the tools said, when nothing is left of the attempt
 */
export async function up(script: Script): Promise<Realized> {
  checkFree(script);
  // The script goes by a pipe of its own: arguments have a limit, and the first pipe is for the word to keep.
  const child = spawn("bash", ["-c", 'eval "$(cat <&3)"'], {
    detached: true, // Ctrl-C is for this process, not for the one that cleans up after it
    stdio: ["pipe", "pipe", "pipe", "pipe"],
  });
  const commands = child.stdio[3] as Writable;
  commands.on("error", () => {}); // bash has ended before the script did, and says why
  commands.end(script.text + EPILOGUE);
  let said = "";
  child.stderr.on("data", (data) => {
    said += data;
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => {
      reject(new Error(`${said.trim() || `bash ended with ${code}`} (nothing is left)`));
    });
    child.stdout.on("data", () => resolve(new Realized(script.prefix, child)));
  });
}

function checkFree({ prefix, namespaces }: Script): void {
  if (existsSync(recordOf(prefix))) {
    throw new UnrealizableError(
      `prefix "${prefix}" is in use: take away what was made with it (down), or choose another`,
    );
  }
  const taken = namespaces.find(isThere);
  if (taken === undefined) return;
  throw new UnrealizableError(
    `there is a namespace ${taken} already, which is not of realize's making: choose another prefix`,
  );
}

/**
 * Takes away the namespaces that `up` left with this prefix, and nothing else.
 * @returns how many there were
 * @throws RangeError for what is no prefix
 * @throws UnrealizableError where one cannot be taken away; it stays on record with those that are left
 */
export function down(prefix: string): number {
  const record = recordOf(prefix);
  if (!existsSync(record)) return 0;
  const names = readFileSync(record, "utf8")
    .split("\n")
    .filter((name) => name !== "");
  const there = names.filter(isThere);
  for (const name of there) {
    const { status, stderr } = spawnSync("ip", ["netns", "del", name], { encoding: "utf8" });
    if (status === 0 || !isThere(name)) continue;
    const why = (stderr ?? "ip is missing").trim();
    throw new UnrealizableError(`cannot take away namespace ${name}: ${why}`);
  }
  rmSync(record);
  return there.length;
}

function recordOf(prefix: string): string {
  return `/run/cnilab-realize/${checkedPrefix(prefix)}`;
}

function isThere(namespace: string): boolean {
  return existsSync(`/run/netns/${namespace}`);
}

const TOOLS = ["bash", "ip", "bridge", "tc", "sysctl"];

/** Why nothing can be realised on this machine, or `undefined`. */
export function whyNotHere(): string | undefined {
  if (process.platform !== "linux") return "needs Linux";
  if (process.getuid?.() !== 0) return "needs root";
  for (const tool of [...TOOLS, "iptables-restore", "nft", "ipset", "unshare"]) {
    if (spawnSync("which", [tool]).status !== 0) return `needs ${tool}`;
  }
  return spawnSync("unshare", ["-n", "true"]).status === 0 ? undefined : "needs namespaces";
}

/**
 * Tries in namespaces without names, which go at once, whether this kernel has what a script needs.
 * @throws UnrealizableError naming what is missing
 */
export function checkKernel(script: Script): void {
  for (const feature of script.features) {
    const program = PROGRAMS[feature];
    if (program !== undefined && spawnSync("which", [program]).status !== 0) {
      throw new UnrealizableError(`${program} is missing, for ${feature}`);
    }
    if (shell(PROBES[feature]).status === 0) continue;
    throw new UnrealizableError(`this kernel has no ${feature}`);
  }
  for (const netns of new Set(script.ruleSets.map((rules) => rules.netns))) {
    // Rules name sets and counters, which are loaded before them.
    const own = script.ruleSets.filter((rules) => rules.netns === netns);
    const tried = shell(own.map((rules) => `${loading(rules)}\n${LOADED}`).join("\n"));
    if (tried.status === 0) continue;
    const refused = own[tried.stdout.split(LOADED_LINE).length - 1];
    throw new UnrealizableError(`${netns}: ${refused?.command}: ${tried.stderr.trim()}`);
  }
}

/** What a shell is told behind each rule set, and says when it got so far. */
const LOADED = "echo loaded";
const LOADED_LINE = "loaded\n";

function shell(commands: string): { status: number | null; stdout: string; stderr: string } {
  return spawnSync("unshare", ["-n", "bash"], { input: `set -e\n${commands}\n`, encoding: "utf8" });
}
