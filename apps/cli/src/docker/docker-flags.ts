import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { InputError } from "@cnilab/core";
import { type ComposeProject, type Environment, parseEnvFile, readCompose } from "@cnilab/docker";
import { type Command, Option } from "commander";
import { warn } from "../cluster-flags.ts";
import type { ProgramIo } from "../program-io.ts";
import { isFile, readSource } from "../read-input.ts";
import { DockerWorld } from "./docker-world.ts";

/** Flags of every command that brings a Compose project up; they may stand before the command or behind it. */
export interface DockerFlags {
  readonly file?: readonly string[];
  readonly projectName?: string;
  readonly profile?: readonly string[];
  readonly envFile?: readonly string[];
  readonly firewallBackend?: "iptables" | "nftables";
  readonly userlandProxy?: boolean;
  readonly listen?: "declared" | "all";
  readonly seed?: number;
}

export function addDockerFlags(command: Command): Command {
  return addDaemonFlags(
    command
      .addOption(
        new Option(
          "-f, --file <path>",
          "a Compose file, or - for standard input; further ones go on top (the shop example)",
        ).argParser(collect),
      )
      .option("-p, --project-name <name>", "in place of the file's name, or its folder's")
      .addOption(
        new Option("--profile <name>", "services of this profile, too; * for all").argParser(
          collect,
        ),
      )
      .addOption(
        new Option("--env-file <path>", "in place of .env beside the Compose file").argParser(
          collect,
        ),
      )
      .addOption(
        new Option("--listen <ports>", "what containers listen on (declared)").choices([
          "declared",
          "all",
        ]),
      )
      .addOption(new Option("--seed <n>", "seed of all that is random (1)").argParser(readSeed)),
  );
}

/** How dockerd is set up. */
export function addDaemonFlags(command: Command): Command {
  return command
    .addOption(
      new Option("--firewall-backend <name>", "what dockerd programs (iptables)").choices([
        "iptables",
        "nftables",
      ]),
    )
    .addOption(
      new Option(
        "--userland-proxy [boolean]",
        "whether programs of the host carry what DNAT does not take (true)",
      ).argParser(readBoolean),
    );
}

/** What is given before the command, and behind it. */
export function mergedFlags<T extends DockerFlags>(command: Command, own: T): T {
  const above: DockerFlags =
    command.parent?.name() === "network"
      ? { ...command.parent.parent?.opts(), ...command.parent.opts() }
      : (command.parent?.opts() ?? {});
  return {
    ...above,
    ...own,
    file: [...(above.file ?? []), ...(own.file ?? [])],
    profile: [...(above.profile ?? []), ...(own.profile ?? [])],
  };
}

/** A project that runs, after its warnings were told. @throws InputError */
export async function bringUpDocker(io: ProgramIo, flags: DockerFlags): Promise<DockerWorld> {
  const project = await readProject(io, flags);
  warn(io, project.warnings);
  const world = worldOf(project, flags);
  warn(io, world.stack.warnings);
  return world;
}

/** @throws InputError for what Docker refuses */
export function worldOf(project: ComposeProject, flags: DockerFlags): DockerWorld {
  return new DockerWorld(project, {
    daemon: {
      firewallBackend: flags.firewallBackend ?? "iptables",
      userlandProxy: flags.userlandProxy ?? true,
    },
    listen: flags.listen ?? "declared",
    seed: flags.seed ?? 1,
  });
}

/** Reads the files that the flags name, or the example. @throws InputError */
export async function readProject(io: ProgramIo, flags: DockerFlags): Promise<ComposeProject> {
  const given = flags.file ?? [];
  const files = given.length > 0 ? given : [composeShop()];
  const sources = [];
  for (const file of files) sources.push(await readSource(io, file));
  const [first = "-"] = files;
  const folder = first === "-" ? io.cwd() : dirname(resolve(io.cwd(), first));
  const environment = await readEnvironment(io, flags, first === "-" ? "." : dirname(first));
  return readCompose(sources, {
    projectName: flags.projectName,
    folder: basename(folder),
    environment,
    profiles: [...(flags.profile ?? []), ...profilesOf(environment)],
  });
}

/** The caller's own goes before what is in files (Compose Specification, "Interpolation"). */
async function readEnvironment(
  io: ProgramIo,
  flags: DockerFlags,
  folder: string,
): Promise<Environment> {
  const own: Record<string, string> = {};
  for (const [name, value] of Object.entries(io.env)) if (value !== undefined) own[name] = value;
  const beside = join(folder, ".env");
  const files = flags.envFile ?? (isFile(io, beside) ? [beside] : []);
  let found: Environment = {};
  for (const file of files) {
    const { text, name } = await readSource(io, file);
    found = { ...found, ...parseEnvFile(text, name, { ...found, ...own }) };
  }
  return { ...found, ...own };
}

function profilesOf({ COMPOSE_PROFILES: profiles = "" }: Environment): string[] {
  return profiles.split(",").filter((name) => name !== "");
}

/** Where the example lies, in the repository or beside the installed package. */
function composeShop(): string {
  return fileURLToPath(import.meta.resolve("@cnilab/examples/compose"));
}

function collect(value: string, previous: readonly string[] | undefined): string[] {
  return [...(previous ?? []), value];
}

function readBoolean(text: string): boolean {
  if (text === "true" || text === "false") return text === "true";
  throw new InputError(`must be true or false, not "${text}"`, "--userland-proxy");
}

function readSeed(text: string): number {
  const seed = /^\d{1,10}$/.test(text) ? Number(text) : -1;
  if (seed >= 0 && seed <= 0xffffffff) return seed;
  throw new InputError(`must be a whole number from 0 to 4294967295, not "${text}"`, "--seed");
}
