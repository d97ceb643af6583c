import { InputError } from "@cnilab/core";
import { show, showJson, VIEWS, type ViewName } from "@cnilab/inspect";
import { Argument, type Command, Option } from "commander";
import { readSource } from "../../docker/docker-endpoint.ts";
import {
  addDockerFlags,
  bringUpDocker,
  type DockerFlags,
  mergedFlags,
} from "../../docker/docker-flags.ts";
import { print, printJson } from "../../output.ts";
import type { ProgramIo } from "../../program-io.ts";

interface ShowFlags extends DockerFlags {
  readonly container?: string;
  readonly output: "text" | "json";
}

const LINUX_VIEWS = Object.keys(VIEWS).filter((name) => VIEWS[name as ViewName].os !== "windows");

export function addDockerShowCommand(docker: Command, io: ProgramIo): void {
  const command = docker
    .command("show")
    .description("kernel state of the host, or of a container, as the real tools print it")
    .addArgument(new Argument("<what>", "which state").choices(LINUX_VIEWS))
    .option("--container <name>", "a container, or the first of a service, in place of the host")
    .addOption(
      new Option("-o, --output <format>", "text, or JSON as the tool's own")
        .choices(["text", "json"])
        .default("text"),
    );
  addDockerFlags(command).action((what: ViewName, own: ShowFlags) =>
    showState(io, what, mergedFlags(command, own)),
  );
}

async function showState(io: ProgramIo, what: ViewName, flags: ShowFlags): Promise<void> {
  if (flags.output === "json" && VIEWS[what].json === undefined) {
    throw new InputError(
      `${VIEWS[what].command} has no JSON form; leave -o json out`,
      `docker show ${what}`,
    );
  }
  const world = await bringUpDocker(io, flags);
  const netns =
    flags.container === undefined ? world.host.initNs : readSource(world, flags.container).netns;
  if (flags.output === "json") printJson(io, showJson(what, netns));
  else print(io, show(what, netns));
}
