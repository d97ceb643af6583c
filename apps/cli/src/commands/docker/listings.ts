import { InputError } from "@cnilab/core";
import {
  type Container,
  containerListText,
  DockerError,
  inspectContainer,
  inspectNetwork,
  inspectText,
  networkListText,
  portText,
} from "@cnilab/docker";
import type { Command } from "commander";
import {
  addDockerFlags,
  bringUpDocker,
  type DockerFlags,
  mergedFlags,
} from "../../docker/docker-flags.ts";
import type { DockerWorld } from "../../docker/docker-world.ts";
import { print } from "../../output.ts";
import type { ProgramIo } from "../../program-io.ts";

interface ListFlags extends DockerFlags {
  readonly all?: boolean;
  readonly quiet?: boolean;
  readonly noTrunc?: boolean;
}

/** What `docker` itself lists, in its own words. */
export function addDockerListings(docker: Command, io: ProgramIo): void {
  const ps = withListFlags(docker.command("ps"))
    .description("containers, as docker ps prints them")
    .option("-a, --all", "also those that do not run");
  addDockerFlags(ps).action((own: ListFlags) =>
    listing(io, mergedFlags(ps, own), ({ docker: host }, flags) => containerListText(host, flags)),
  );

  const port = docker
    .command("port")
    .description("published ports of a container, as docker port prints them")
    .argument("<container>", "a container, or the first of a service")
    .argument("[port]", "one port, as 80 or 53/udp");
  addDockerFlags(port).action((name: string, asked: string | undefined, own: DockerFlags) =>
    ports(io, name, asked, mergedFlags(port, own)),
  );

  const inspect = docker
    .command("inspect")
    .description("containers and networks, as docker inspect prints them")
    .argument("<names...>", "containers, services, networks");
  addDockerFlags(inspect).action((names: string[], own: DockerFlags) =>
    listing(io, mergedFlags(inspect, own), (world) =>
      inspectText(names.map((name) => inspected(world, name))),
    ),
  );

  const network = docker.command("network").description("networks: ls, inspect").helpCommand(false);
  const ls = withListFlags(network.command("ls")).description(
    "networks, as docker network ls prints them",
  );
  addDockerFlags(ls).action((own: ListFlags) =>
    listing(io, mergedFlags(ls, own), ({ docker: host }, flags) => networkListText(host, flags)),
  );
  const networkInspect = network
    .command("inspect")
    .description("networks, as docker network inspect prints them")
    .argument("<names...>", "names of networks, or their keys in the file");
  addDockerFlags(networkInspect).action((names: string[], own: DockerFlags) =>
    listing(io, mergedFlags(networkInspect, own), (world) =>
      inspectText(names.map((name) => inspectNetwork(world.docker, networkName(world, name)))),
    ),
  );
}

function withListFlags(command: Command): Command {
  return command.option("-q, --quiet", "ids alone").option("--no-trunc", "whole ids and commands");
}

/** Commander has `--no-trunc` for the opposite of `--trunc`. */
interface GivenFlags extends ListFlags {
  readonly trunc?: boolean;
}

async function listing(
  io: ProgramIo,
  given: GivenFlags,
  text: (world: DockerWorld, flags: ListFlags) => string,
): Promise<void> {
  const world = await bringUpDocker(io, given);
  const flags = { ...given, noTrunc: given.trunc === false };
  print(
    io,
    refusing(() => text(world, flags)),
  );
}

async function ports(
  io: ProgramIo,
  name: string,
  asked: string | undefined,
  flags: DockerFlags,
): Promise<void> {
  const world = await bringUpDocker(io, flags);
  const container = containerNamed(world, name);
  if (container === undefined) throw unknown(world, name);
  print(
    io,
    refusing(() => portText(container, asked)),
  );
}

/** A container by its name or its service's, or a network. */
function inspected(world: DockerWorld, name: string): object {
  const container = containerNamed(world, name);
  if (container !== undefined) return inspectContainer(world.docker, container.name);
  const network = networkName(world, name);
  const isThere = world.docker.networks.has(network) || network === "host" || network === "none";
  if (isThere) return inspectNetwork(world.docker, network);
  throw unknown(world, name);
}

function containerNamed({ stack, docker }: DockerWorld, name: string): Container | undefined {
  return stack.find(name)[0]?.container ?? docker.containers.get(name);
}

function networkName({ stack }: DockerWorld, name: string): string {
  return stack.project.networks.find(({ key }) => key === name)?.name ?? name;
}

function unknown({ stack, docker }: DockerWorld, name: string): InputError {
  const names = [
    ...stack.containers.map(({ container }) => container.name),
    ...docker.networks.keys(),
  ];
  return new InputError(`is not there; there is ${names.join(", ")}`, `"${name}"`);
}

function refusing(text: () => string): string {
  try {
    return text();
  } catch (error) {
    if (error instanceof DockerError) throw new InputError(error.message, "docker");
    throw error;
  }
}
