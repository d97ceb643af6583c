import { execFileSync } from "node:child_process";
import { COMMANDS, VIEWS } from "./scenario.ts";

/** Why the real tools cannot be asked on this machine, or `undefined`. */
export function whyNoRealTools(): string | undefined {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "needs root on Linux";
  try {
    const version = run(["ip", "-V"]);
    if (!version.includes("iproute2-6.1.")) return "needs iproute2 6.1, whose output this is";
    for (const tool of ["bridge", "tc"]) run([tool, "-V"]);
    run(["ip", "netns", "add", "insp-probe"]);
    run(["ip", "netns", "del", "insp-probe"]);
  } catch {
    return "needs ip, bridge, tc and network namespaces";
  }
  return undefined;
}

/** Builds the scenario with the real tools, in namespaces of its own, and asks them for every view. */
export function askRealTools(): Map<string, string> {
  const tag = `insp${process.pid.toString(36)}`;
  const names = ["HOST", "POD", "WIRE"];
  const real = (command: string): string[] =>
    command
      .replaceAll(/\b(HOST|POD|WIRE)\b/g, `${tag}-$1`)
      .split(/\s+/)
      .filter((word) => word !== "");
  try {
    for (const name of names) run(["ip", "netns", "add", `${tag}-${name}`]);
    for (const command of COMMANDS) run(real(command));
    return new Map(
      VIEWS.map(({ name, command }) => [name, run(real(`ip netns exec HOST ${command}`))]),
    );
  } finally {
    for (const name of names) {
      try {
        run(["ip", "netns", "del", `${tag}-${name}`]);
      } catch {
        // It was never made.
      }
    }
  }
}

function run(words: string[]): string {
  return execFileSync(words[0] as string, words.slice(1), { encoding: "utf8", stdio: "pipe" });
}
