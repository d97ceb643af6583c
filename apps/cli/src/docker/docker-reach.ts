import type { Protocol } from "@cnilab/core";
import type { ServiceContainer, ServicePort } from "@cnilab/docker";
import { formatEndpoint, formatIp, type IpAddress, isUnspecified } from "@cnilab/net";
import type { ReachPair } from "../reach-text.ts";
import { connect, type DockerConnection } from "./docker-connect.ts";
import { addressOf, type DockerDestination, readSource, stackOwner } from "./docker-endpoint.ts";
import type { DockerWorld } from "./docker-world.ts";

/** Who asks beside the services: whoever stands around the machine. */
export const AROUND = ["host", "lan", "internet"] as const;

/** One way that was tried. */
export interface DockerPair extends ReachPair {
  readonly connection: DockerConnection;
  /** What was asked for, as `db:5432` or `192.0.2.10:8080`. */
  readonly asked: string;
}

/** Services that have a network to be reached in, by their first containers. */
export function dockerMembers(world: DockerWorld): ServiceContainer[] {
  return world.stack.containers.filter(({ number, container }) => {
    return number === 1 && stackOwner(world, container).mode !== "none";
  });
}

/** All services from all, and from around the machine, on the ports that they listen on. */
export function dockerPairs(world: DockerWorld, ports?: readonly ServicePort[]): DockerPair[] {
  const members = dockerMembers(world);
  const sources = [...members.map(({ service }) => service.name), ...AROUND];
  return sources.flatMap((source) =>
    members.flatMap((destination) => {
      if (destination.service.name === source) return [];
      return (ports ?? destination.ports).map((port) =>
        dockerPair(world, source, destination, port),
      );
    }),
  );
}

/**
 * One way, as somebody would try it: a service asks for the other by its name, and for its address where its networks do not know the
 * name; from outside, by the port that is published on the host, and by the container's address where none is. Names, addresses and
 * published ports are those of the container whose network stack it has.
 */
export function dockerPair(
  world: DockerWorld,
  from: string,
  to: ServiceContainer,
  { protocol, port }: ServicePort,
): DockerPair {
  const source = readSource(world, from);
  const pair = {
    source: from,
    destination: to.service.name,
    protocol: protocol.toUpperCase() as Protocol,
    port,
  };
  const attempt = (destination: DockerDestination): DockerPair => {
    world.forgetConnections();
    const connection = connect(world, source, destination, { protocol });
    const { verdict, reason } = connection;
    return { ...pair, verdict, reason, connection, asked: destination.text };
  };
  const owner = stackOwner(world, to.container);
  const named = world.stack.containers.find(({ container }) => container === owner);
  const name = named?.service.name ?? owner.name;
  const none = { address: undefined, member: undefined };
  if (source.member !== undefined && owner.mode === "own") {
    const byName = attempt({ ...none, text: `${name}:${port}`, host: name, port });
    if (byName.verdict !== "unresolved") return byName;
    const byAddress = attempt(directly(world, to, port));
    const reason = `its networks do not know the name ${name}; ${byAddress.reason}`;
    return { ...byAddress, reason };
  }
  const published = owner.portMappings.filter(
    (mapping) => mapping.protocol === protocol && mapping.port === port && mapping.hostPort > 0,
  );
  const isOpen = (hostIp: IpAddress) => isUnspecified(hostIp) || hostIp === world.hostAddress;
  // What is published on the host's loopback alone, others ask for in vain.
  const mapping = published.find(({ hostIp }) => isOpen(hostIp)) ?? published[0];
  if (mapping === undefined) return attempt(directly(world, to, port));
  const { hostIp, hostPort } = mapping;
  const address = isOpen(hostIp) || from !== "host" ? world.hostAddress : hostIp;
  return attempt({
    text: formatEndpoint(address, hostPort),
    host: formatIp(address),
    address,
    member: undefined,
    port: hostPort,
  });
}

function directly(world: DockerWorld, to: ServiceContainer, port: number): DockerDestination {
  const address = addressOf(world, to, to.service.name);
  const text = `${formatIp(address)}:${port}`;
  return { text, host: formatIp(address), address, member: to, port };
}
