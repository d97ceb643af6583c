import { type Command, Option } from "commander";
import { connect, type DockerProtocol } from "../../docker/docker-connect.ts";
import { readDestination, readSource } from "../../docker/docker-endpoint.ts";
import {
  addDockerFlags,
  bringUpDocker,
  type DockerFlags,
  mergedFlags,
} from "../../docker/docker-flags.ts";
import { print, printJson } from "../../output.ts";
import type { ProgramIo } from "../../program-io.ts";
import { protocolOption } from "../../target.ts";
import { answeredBy, verdictText } from "../../verdict-output.ts";

interface ProbeFlags extends DockerFlags {
  readonly protocol: DockerProtocol;
  readonly output: "text" | "json";
}

export function addDockerProbeCommand(docker: Command, io: ProgramIo): void {
  const command = docker
    .command("probe")
    .description("the verdict only: does SRC reach DST?")
    .argument("<src>", "who asks: a service, a container, host, lan, internet")
    .argument("<dst[:port]>", "whom")
    .addOption(protocolOption())
    .addOption(new Option("-o, --output <format>").choices(["text", "json"]).default("text"));
  addDockerFlags(command).action((src: string, dst: string, own: ProbeFlags) =>
    probe(io, src, dst, mergedFlags(command, own)),
  );
}

async function probe(io: ProgramIo, src: string, dst: string, flags: ProbeFlags): Promise<void> {
  const world = await bringUpDocker(io, flags);
  const source = readSource(world, src);
  const destination = readDestination(world, dst);
  world.forgetConnections();
  const connection = connect(world, source, destination, { protocol: flags.protocol });
  const { verdict, reason } = connection;
  if (flags.output === "json") {
    printJson(io, { src, dst, verdict, reason, ...answeredBy(connection) });
  } else {
    print(io, verdictText(connection));
  }
  if (verdict !== "allowed") io.exitCode = 1;
}
