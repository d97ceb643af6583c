import { Trace } from "@cnilab/linux";
import type { Command } from "commander";
import { connect, type DockerProtocol } from "../../docker/docker-connect.ts";
import { readDestination, readSource } from "../../docker/docker-endpoint.ts";
import {
  addDockerFlags,
  bringUpDocker,
  type DockerFlags,
  mergedFlags,
} from "../../docker/docker-flags.ts";
import type { ProgramIo } from "../../program-io.ts";
import { protocolOption } from "../../target.ts";
import { addTraceOutputFlags, printTrace, type TraceOutputFlags } from "../../trace-output.ts";
import { isUrl } from "../curl.ts";
import { dockerCurl } from "./curl.ts";

interface TraceFlags extends DockerFlags, TraceOutputFlags {
  readonly protocol: DockerProtocol;
}

export function addDockerTraceCommand(docker: Command, io: ProgramIo): void {
  const command = docker
    .command("trace")
    .description("follow one connection, step by step, there and back")
    .argument("<src>", "who asks: a service, a container, host, lan, internet")
    .argument(
      "<dst[:port]>",
      "a name as the source would ask for it, container/NAME, an address, host; or a URL",
    )
    .addOption(protocolOption());
  addDockerFlags(addTraceOutputFlags(command)).action((src: string, dst: string, own: TraceFlags) =>
    trace(io, src, dst, mergedFlags(command, own)),
  );
}

async function trace(io: ProgramIo, src: string, dst: string, flags: TraceFlags): Promise<void> {
  if (isUrl(dst)) {
    await dockerCurl(io, src, dst, { ...flags, header: [], resolve: [], trace: true });
    return;
  }
  const world = await bringUpDocker(io, flags);
  const source = readSource(world, src);
  const destination = readDestination(world, dst);
  world.forgetConnections();
  const walk = new Trace();
  const connection = connect(world, source, destination, { protocol: flags.protocol, trace: walk });
  const nameOf = (ip: string) => world.nameOf(ip);
  printTrace(io, { src, dst, connection, walk, nameOf, services: [] }, flags);
}
