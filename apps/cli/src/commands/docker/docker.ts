import { InputError } from "@cnilab/core";
import { type Command, Option } from "commander";
import { addDockerFlags, bringUpDocker, type DockerFlags } from "../../docker/docker-flags.ts";
import { summaryJson, summaryText } from "../../docker/docker-summary.ts";
import { print, printJson } from "../../output.ts";
import type { ProgramIo } from "../../program-io.ts";
import { addDockerCurlCommand } from "./curl.ts";
import { addDockerDnsCommand } from "./dns.ts";
import { addDockerListings } from "./listings.ts";
import { addDockerProbeCommand } from "./probe.ts";
import { addDockerReachCommand } from "./reach.ts";
import { addDockerShowCommand } from "./show.ts";
import { addDockerTraceCommand } from "./trace.ts";

interface SummaryFlags extends DockerFlags {
  readonly output: "text" | "json";
}

const EXAMPLES = `
A source is a service, a container, host, lan (a neighbour of the host) or internet.
  cnilab docker -f compose.yaml
  cnilab docker -f compose.yaml trace web db:5432
  cnilab docker -f compose.yaml trace lan host:8080
  cnilab docker -f compose.yaml show iptables
  cnilab docker -f compose.yaml network inspect front`;

export function addDockerCommand(program: Command, io: ProgramIo): void {
  const docker = program
    .command("docker")
    .description("a Compose file on one machine with Docker: what comes up, and who reaches whom")
    .enablePositionalOptions()
    .helpCommand(false)
    .addHelpText("after", EXAMPLES)
    .addOption(
      new Option("-o, --output <format>", "of the summary")
        .choices(["text", "json"])
        .default("text"),
    );
  addDockerFlags(docker)
    .allowExcessArguments()
    .action((flags: SummaryFlags) => {
      const [unknown] = docker.args;
      if (unknown === undefined) return summary(io, flags);
      const known = docker.commands.map((command) => command.name()).join(", ");
      throw new InputError(`there is no command "${unknown}"; there are ${known}`, "docker");
    });
  for (const add of [
    addDockerTraceCommand,
    addDockerProbeCommand,
    addDockerReachCommand,
    addDockerCurlCommand,
    addDockerDnsCommand,
    addDockerShowCommand,
    addDockerListings,
  ]) {
    add(docker, io);
  }
}

async function summary(io: ProgramIo, flags: SummaryFlags): Promise<void> {
  const world = await bringUpDocker(io, flags);
  if (flags.output === "json") printJson(io, summaryJson(world));
  else print(io, summaryText(world));
}
