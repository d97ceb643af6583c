import {
  askHttp,
  type Connection,
  type HttpConnection,
  lookUp,
  type NameAnswer,
  type NameAsker,
  type NameLookup,
  query,
  reasonOf,
  verdictOf,
  whyUnresolved,
} from "@cnilab/cluster";
import { InputError } from "@cnilab/core";
import type { ServicePort } from "@cnilab/docker";
import { type Exchange, exchange, type NetNamespace, type Trace } from "@cnilab/linux";
import {
  familyOf,
  formatIp,
  IPPROTO_ICMP,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type IpAddress,
  isLinkLocal,
  isLoopback,
} from "@cnilab/net";
import type { CurlRequest } from "../http-request.ts";
import { type DockerDestination, type DockerSource, readDestination } from "./docker-endpoint.ts";
import type { DockerWorld } from "./docker-world.ts";

export type DockerProtocol = ServicePort["protocol"] | "icmp";

/** What became of an attempt; policies there are none. */
export type DockerConnection = Omit<Connection, "egress" | "ingress">;

const PROTOCOLS: Readonly<Record<DockerProtocol, number>> = {
  tcp: IPPROTO_TCP,
  udp: IPPROTO_UDP,
  sctp: IPPROTO_SCTP,
  icmp: IPPROTO_ICMP,
};

/** Connects by sending packets, and names are asked for by packets, too. @throws InputError where a port is missing */
export function connect(
  world: DockerWorld,
  source: DockerSource,
  destination: DockerDestination,
  options: { readonly protocol: DockerProtocol; readonly trace?: Trace | undefined },
): DockerConnection {
  const { protocol, trace } = options;
  const port = protocol === "icmp" ? undefined : portOf(world, destination, protocol);
  const found = resolve(world, source, destination, trace);
  if ("problem" in found) return unresolved(world, source, destination, found);
  const { address, lookup } = found;
  const done = exchange(source.netns, {
    protocol: PROTOCOLS[protocol],
    dst: address,
    port: port ?? 0,
    owner: ownerOf(source),
    trace,
  });
  const backend = backendOf(world, done);
  const verdict = verdictOf(done);
  const dropped = done.drops.some(({ rule }) => rule !== undefined);
  return {
    // What Docker's rules drop is kept apart on purpose, as by a policy.
    verdict: verdict === "unreachable" && dropped ? "blocked" : verdict,
    reason: reasonOf(done, { address, port }, backend),
    ...(backend === undefined || verdict !== "allowed" ? {} : { backend }),
    ...(done.report === undefined ? {} : { seenAs: formatIp(done.report.seenAddress) }),
    ...(lookup === undefined ? {} : { lookup }),
    address,
    port,
    drops: done.drops,
    exchange: done,
  };
}

/** Asks for a name as a program of the source would. */
export function askName(
  world: DockerWorld,
  source: DockerSource,
  name: string,
  type: string | undefined,
  trace?: Trace,
): NameAnswer {
  const asker = askerOf(world, source);
  if (type !== undefined) return query(asker, name, type, trace);
  const lookup = lookUp(asker, name, trace);
  const problem = lookup.addresses.length > 0 ? undefined : whyUnresolved(name, lookup, asker);
  return { ...lookup, resolvConf: asker.resolvConf, problem };
}

/** A request over HTTP. @throws InputError */
export function request(
  world: DockerWorld,
  source: DockerSource,
  asked: CurlRequest,
  options: { readonly insecure: boolean; readonly trace: Trace },
): HttpConnection {
  const { trace, insecure } = options;
  let { address } = asked;
  let lookup: NameLookup | undefined;
  if (address === undefined) {
    const destination = { ...readDestination(world, asked.endpoint), port: asked.port };
    const found = resolve(world, source, destination, trace);
    if ("problem" in found) {
      const failure = unresolved(world, source, destination, found);
      return { address: undefined, outcome: undefined, failure, drops: found.lookup.drops };
    }
    address = found.address;
    lookup = found.lookup;
  }
  const outcome = askHttp(source.netns, ownerOf(source), {
    address,
    port: asked.port,
    ...(asked.scheme === "https" && { tls: { host: asked.host, insecure } }),
    request: asked.parts,
    connectTimeoutMs: asked.connectTimeoutMs,
    maxTimeMs: asked.maxTimeMs,
    trace,
  });
  return {
    address,
    outcome,
    failure: undefined,
    drops: [],
    ...(lookup === undefined ? {} : { lookup }),
  };
}

type Resolved =
  | { readonly address: IpAddress; readonly lookup?: NameLookup }
  | { readonly problem: string; readonly lookup: NameLookup };

function resolve(
  world: DockerWorld,
  source: DockerSource,
  { address, host }: DockerDestination,
  trace: Trace | undefined,
): Resolved {
  if (address !== undefined) return { address };
  const asker = askerOf(world, source);
  const lookup = lookUp(asker, host, trace);
  // In the order that getaddrinfo gives; where there is no address of a family, nobody tries it.
  const found = lookup.addresses.find((each) => speaks(source.netns, each)) ?? lookup.addresses[0];
  if (found !== undefined) return { address: found, lookup };
  return { problem: whyUnresolved(host, lookup, asker), lookup };
}

function speaks(netns: NetNamespace, address: IpAddress): boolean {
  const family = familyOf(address);
  return netns.devices.some((dev) =>
    dev.addressesOf(family).some((own) => !isLoopback(own.address) && !isLinkLocal(own.address)),
  );
}

function unresolved(
  world: DockerWorld,
  source: DockerSource,
  destination: DockerDestination,
  { problem, lookup }: { readonly problem: string; readonly lookup: NameLookup },
): DockerConnection {
  return {
    verdict: "unresolved",
    reason: `${problem}${whyUnknown(world, source, destination)}`,
    lookup,
    address: undefined,
    port: destination.port,
    drops: lookup.drops,
    exchange: undefined,
  };
}

/** Why a container's name is not known where it was asked for. */
function whyUnknown(
  world: DockerWorld,
  { member }: DockerSource,
  { host }: DockerDestination,
): string {
  const [named] = world.stack.find(host);
  if (named === undefined) return "";
  const theirs = networksOf(named.container.endpoints);
  const instead = `ask for container/${host} to try its address`;
  if (member === undefined) {
    return `; names of containers are known to containers alone: ${instead}`;
  }
  const own = networksOf(member.container.endpoints);
  if (own.length === 0 || theirs.length === 0) return `; ${instead}`;
  return `; ${host} is on ${theirs.join(", ")}, and ${member.service.name} on ${own.join(", ")}: ${instead}`;
}

function networksOf(
  endpoints: readonly { readonly network: { readonly name: string } }[],
): string[] {
  return endpoints.map(({ network }) => network.name);
}

function askerOf(world: DockerWorld, source: DockerSource): NameAsker {
  const { netns, member } = source;
  const files = member?.container.files ?? netns.kernel.files;
  return {
    netns,
    owner: ownerOf(source),
    resolvConf: files.read("/etc/resolv.conf") ?? "",
    hosts: files.read("/etc/hosts") ?? "",
    flavour: /\b(alpine|musl)/.test(member?.service.image ?? "") ? "musl" : "glibc",
    nameOf: (server) =>
      formatIp(server) === "127.0.0.11" ? "Docker's own" : world.nameOf(formatIp(server)),
  };
}

function ownerOf({ member, netns }: DockerSource): string {
  return member?.container.name ?? netns.kernel.hostname;
}

/** The port that was written, or the first on which the container listens that is named. */
function portOf(
  world: DockerWorld,
  { text, host, port, member }: DockerDestination,
  protocol: DockerProtocol,
): number {
  if (port !== undefined) return port;
  const named = member ?? world.stack.find(host)[0];
  const first = named?.ports.find((each) => each.protocol === protocol);
  if (first !== undefined) return first.port;
  throw new InputError(
    `say which ${protocol.toUpperCase()} port is meant, as in ${text}:80`,
    `"${text}"`,
  );
}

/** Who answered, by the program that has the socket; for ICMP, by the address. */
function backendOf(world: DockerWorld, { report, replyFrom }: Exchange): string | undefined {
  if (report !== undefined) return report.owner;
  return replyFrom === undefined
    ? undefined
    : (world.nameOf(formatIp(replyFrom)) ?? formatIp(replyFrom));
}
