import { type Command, Option } from "commander";
import {
  addDockerFlags,
  bringUpDocker,
  type DockerFlags,
  mergedFlags,
} from "../../docker/docker-flags.ts";
import { AROUND, dockerMembers, dockerPairs } from "../../docker/docker-reach.ts";
import { print, printJson } from "../../output.ts";
import type { ProgramIo } from "../../program-io.ts";
import { reachCsv, reachMatrix } from "../../reach-text.ts";
import { readPort } from "../reach.ts";

interface ReachFlags extends DockerFlags {
  readonly port?: string;
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly output: "text" | "json" | "csv";
}

export function addDockerReachCommand(docker: Command, io: ProgramIo): void {
  const command = docker
    .command("reach")
    .description(
      "all pairs: which service reaches which on the ports that it listens on, and what blocks",
    )
    .option("--port <number>", "ask everybody on this port, declared or not")
    .addOption(
      new Option("--protocol <name>", "of --port").choices(["tcp", "udp", "sctp"]).default("tcp"),
    )
    .addOption(
      new Option("-o, --output <format>").choices(["text", "json", "csv"]).default("text"),
    );
  addDockerFlags(command).action((own: ReachFlags) => reach(io, mergedFlags(command, own)));
}

async function reach(io: ProgramIo, flags: ReachFlags): Promise<void> {
  const port = flags.port === undefined ? undefined : readPort(flags.port);
  const world = await bringUpDocker(io, flags);
  const ports = port === undefined ? undefined : [{ protocol: flags.protocol, port }];
  const pairs = dockerPairs(world, ports).map(({ connection, ...pair }) => pair);
  if (flags.output === "json") printJson(io, pairs);
  else if (flags.output === "csv") print(io, reachCsv(pairs));
  else {
    const names = dockerMembers(world).map(({ service }) => service.name);
    print(io, reachMatrix(names, pairs, AROUND));
  }
  if (pairs.some(({ verdict }) => verdict !== "allowed")) io.exitCode = 1;
}
