import {
  HostsTable,
  parseResolvConf,
  Resolver,
  type ResolverFlavour,
  SocketTransport,
} from "@cnilab/dns";
import type { Trace } from "@cnilab/linux";
import type { Container } from "../container.ts";

export interface ContainerResolverOptions {
  /** The C library of the image; glibc where it is absent. */
  readonly flavour?: ResolverFlavour;
  /** Of the packets that it sends. */
  readonly trace?: Trace;
}

/** How programs in a container look names up: its files first, then by packets to what resolv.conf names. */
export function containerResolver(
  container: Container,
  options: ContainerResolverOptions = {},
): Resolver {
  const { netns, files, name } = container;
  const { trace, ...flavour } = options;
  const { clock } = netns.network;
  return new Resolver({
    resolvConf: parseResolvConf(files.read("/etc/resolv.conf") ?? ""),
    hosts: new HostsTable(files.read("/etc/hosts") ?? ""),
    transport: new SocketTransport(netns, name, trace),
    clock,
    random: netns.kernel.random,
    ...flavour,
  });
}
