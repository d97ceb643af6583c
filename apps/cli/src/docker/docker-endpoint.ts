import { InputError } from "@cnilab/core";
import type { Container, ServiceContainer } from "@cnilab/docker";
import type { NetNamespace } from "@cnilab/linux";
import { type IpAddress, tryParseIp } from "@cnilab/net";
import type { DockerWorld } from "./docker-world.ts";

/** Whoever asks. */
export interface DockerSource {
  readonly text: string;
  readonly netns: NetNamespace;
  /** `undefined` for a machine. */
  readonly member: ServiceContainer | undefined;
}

/** Whom a connection is for: an address, or a name that the source has to ask for. */
export interface DockerDestination {
  readonly text: string;
  readonly host: string;
  readonly address: IpAddress | undefined;
  /** Of a container that was named by itself. */
  readonly member: ServiceContainer | undefined;
  readonly port: number | undefined;
}

/** How ends are written, for messages. */
const SOURCES = "a service, a container, host, lan or internet";
const DESTINATIONS =
  "NAME:PORT as the source would ask for it, container/NAME:PORT, ADDRESS:PORT, host:PORT, lan or internet";

/** A service means its first container. @throws InputError */
export function readSource(world: DockerWorld, text: string): DockerSource {
  const name = text.replace(/^container\//, "");
  const machine = name === text ? world.machineNamed(text) : undefined;
  const [member] = world.stack.find(name);
  if (member !== undefined) return { text, netns: member.container.netns, member };
  if (machine !== undefined) return { text, netns: machine.netns, member: undefined };
  throw new InputError(`is not there; a source is ${SOURCES}: ${known(world)}`, `"${text}"`);
}

/** @throws InputError */
export function readDestination(world: DockerWorld, text: string): DockerDestination {
  const { host, port } = splitPort(text);
  const common = { text, host, port };
  const literal = tryParseIp(host);
  if (literal !== undefined) return { ...common, address: literal, member: undefined };
  if (host.startsWith("container/")) {
    const [member] = world.stack.find(host.slice("container/".length));
    if (member === undefined) {
      throw new InputError(`there is no such container; there is ${known(world)}`, `"${text}"`);
    }
    return { ...common, address: addressOf(world, member, text), member };
  }
  const isService = world.stack.find(host).length > 0;
  const machine = isService ? undefined : world.machineNamed(host);
  if (machine !== undefined) return { ...common, address: machine.address, member: undefined };
  if (!/^[a-z0-9_]([-._a-z0-9]*[a-z0-9_])?\.?$/i.test(host)) {
    throw new InputError(`is neither a name nor an address; write ${DESTINATIONS}`, `"${text}"`);
  }
  return { ...common, address: undefined, member: undefined };
}

/** Whose network stack a container has: its own, or that of the container that it shares one with. */
export function stackOwner(world: DockerWorld, container: Container): Container {
  const { mode } = container;
  const other = typeof mode === "object" ? world.docker.containers.get(mode.container) : undefined;
  return other === undefined ? container : stackOwner(world, other);
}

/** Where a container is found that is named by itself: in the network that has its default route, or else its first. */
export function addressOf(world: DockerWorld, member: ServiceContainer, text: string): IpAddress {
  const owner = stackOwner(world, member.container);
  const endpoint = owner.gatewayEndpoint ?? owner.endpoints[0];
  if (endpoint !== undefined) return endpoint.address;
  if (owner.mode === "host") return world.hostAddress;
  throw new InputError(
    `${member.container.name} is on no network, so it has no address`,
    `"${text}"`,
  );
}

function known(world: DockerWorld): string {
  const names = [...new Set(world.stack.containers.map(({ service }) => service.name))];
  const more = names.length > 12 ? `${names.slice(0, 12).join(", ")}…` : names.join(", ");
  return `${more}; host, lan, internet`;
}

function splitPort(text: string): { readonly host: string; readonly port: number | undefined } {
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(text);
  const colons = text.split(":").length - 1;
  const [host, port] =
    bracketed !== null
      ? [bracketed[1] ?? "", bracketed[2]]
      : colons === 1
        ? (text.split(":") as [string, string])
        : [text, undefined];
  if (port === undefined) return { host, port };
  const number = /^\d{1,5}$/.test(port) ? Number(port) : 0;
  if (number >= 1 && number <= 65_535) return { host, port: number };
  throw new InputError(`"${port}" is no port; write a number from 1 to 65535`, `"${text}"`);
}
