// Real BIRDs, one in a network namespace each, joined by a bridge.
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { SpeakerConfig } from "../../src/index.ts";
import { birdConf } from "./bird-conf.ts";

/** What this machine lacks to run BIRD in namespaces; `undefined` where it can. */
export function whyNoBird(): string | undefined {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "not root";
  for (const program of ["ip", "bird", "birdc"]) {
    const there = spawnSync("sh", ["-c", `PATH=$PATH:/usr/sbin:/sbin command -v ${program}`]);
    if (there.status !== 0) return `no ${program} here`;
  }
  const name = `bg${process.pid}x`;
  if (spawnSync("ip", ["netns", "add", name], { env }).status !== 0) return "no network namespaces";
  spawnSync("ip", ["netns", "del", name], { env });
  return undefined;
}

const env = { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` };

export class RealBirds {
  readonly #prefix: string;
  readonly #folder = mkdtempSync(join(tmpdir(), "bird-"));
  readonly #birds: ChildProcess[] = [];
  readonly count: number;

  constructor(name: string, configs: readonly SpeakerConfig[]) {
    this.#prefix = `bg${process.pid}${name}`;
    this.count = configs.length;
    this.#ip("netns", "add", `${this.#prefix}br`);
    this.#ip("-n", `${this.#prefix}br`, "link", "add", "br0", "up", "type", "bridge");
    configs.forEach((config, i) => {
      const host = i + 1;
      const ns = this.ns(host);
      this.#ip("netns", "add", ns);
      this.#ip(
        "-n",
        ns,
        "link",
        "add",
        "eth0",
        "type",
        "veth",
        "peer",
        "name",
        `p${host}`,
        "netns",
        `${this.#prefix}br`,
      );
      this.#ip("-n", `${this.#prefix}br`, "link", "set", `p${host}`, "up", "master", "br0");
      this.#ip("-n", ns, "link", "set", "lo", "up");
      this.#ip("-n", ns, "addr", "add", `10.0.0.${host}/24`, "dev", "eth0");
      this.#ip("-n", ns, "link", "set", "eth0", "up");
      writeFileSync(this.#file(host, "conf"), birdConf(config));
    });
    for (let host = 1; host <= this.count; host++) this.start(host, []);
  }

  ns(host: number): string {
    return `${this.#prefix}n${host}`;
  }

  #file(host: number, what: string): string {
    return join(this.#folder, `${host}.${what}`);
  }

  start(host: number, options: readonly string[]): void {
    const args = ["-f", "-c", this.#file(host, "conf"), "-s", this.#file(host, "ctl"), ...options];
    const bird = spawn("ip", ["netns", "exec", this.ns(host), "bird", ...args], {
      env,
      stdio: ["ignore", "ignore", "pipe"],
    });
    let said = "";
    bird.stderr?.on("data", (chunk) => {
      said += String(chunk);
      writeFileSync(this.#file(host, "log"), said);
    });
    this.#birds[host - 1] = bird;
  }

  async kill(host: number): Promise<void> {
    const bird = this.#birds[host - 1];
    bird?.kill("SIGKILL");
    await sleep(100);
  }

  birdc(host: number, command: string): string {
    const { stdout } = spawnSync("birdc", ["-s", this.#file(host, "ctl"), ...command.split(" ")], {
      env,
      encoding: "utf8",
    });
    return stdout ?? "";
  }

  ip(host: number, ...args: string[]): string {
    return execFileSync("ip", ["-n", this.ns(host), ...args], { env, encoding: "utf8" });
  }

  log(host: number): string {
    return readFileSync(this.#file(host, "log"), "utf8");
  }

  /** Waits until all sessions are established and no table changes any more. */
  async settled(sessions: number, patienceMs = 30_000): Promise<string[]> {
    const end = Date.now() + patienceMs;
    let before = "";
    for (let quiet = 0; Date.now() < end; ) {
      await sleep(500);
      const hosts = Array.from({ length: this.count }, (_, i) => i + 1);
      const up = hosts.reduce(
        (n, h) => n + (this.birdc(h, "show protocols").match(/Established/g)?.length ?? 0),
        0,
      );
      const tables = hosts.map(
        (h) => this.birdc(h, "show route all") + this.ip(h, "-j", "route", "show", "proto", "bird"),
      );
      const now = tables.join("\n");
      quiet = up === sessions && now === before ? quiet + 1 : 0;
      before = now;
      if (quiet >= 3) return hosts.map((h) => this.birdc(h, "show route all"));
    }
    throw new Error(`BIRD does not come to rest: ${this.birdc(1, "show protocols")}`);
  }

  async close(): Promise<void> {
    for (const bird of this.#birds) bird.kill("SIGKILL");
    await sleep(100);
    for (let host = 1; host <= this.count; host++)
      spawnSync("ip", ["netns", "del", this.ns(host)], { env });
    spawnSync("ip", ["netns", "del", `${this.#prefix}br`], { env });
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #ip(...args: string[]): void {
    execFileSync("ip", args, { env });
  }
}
