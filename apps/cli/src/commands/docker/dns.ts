import { InputError } from "@cnilab/core";
import type { Command } from "commander";
import { askName } from "../../docker/docker-connect.ts";
import { readSource } from "../../docker/docker-endpoint.ts";
import {
  addDockerFlags,
  bringUpDocker,
  type DockerFlags,
  mergedFlags,
} from "../../docker/docker-flags.ts";
import type { ProgramIo } from "../../program-io.ts";
import { type AnswerOutput, answerOutputOption, printAnswer, readType } from "../dns.ts";

interface DnsFlags extends DockerFlags {
  readonly output: AnswerOutput;
}

export function addDockerDnsCommand(docker: Command, io: ProgramIo): void {
  const command = docker
    .command("dns")
    .description("what a container's resolver gets for a name")
    .argument("<src>", "who asks: a service, a container, host, lan, internet")
    .argument("<name>", "as a program would give it")
    .argument("[type]", "records of this type alone, as PTR; addresses where it is absent")
    .addOption(answerOutputOption());
  addDockerFlags(command).action(
    (src: string, name: string, type: string | undefined, own: DnsFlags) =>
      dns(io, { src, name, type }, mergedFlags(command, own)),
  );
}

async function dns(
  io: ProgramIo,
  { src, name, type }: { src: string; name: string; type: string | undefined },
  flags: DnsFlags,
): Promise<void> {
  if (name === "") throw new InputError("the name is empty; say what to ask for", "docker dns");
  const wanted = type === undefined ? undefined : readType(type);
  const world = await bringUpDocker(io, flags);
  const source = readSource(world, src);
  world.forgetConnections();
  const found = askName(world, source, name, wanted);
  printAnswer(io, { who: src, name, type: wanted }, found, flags.output);
}
