import type { NameLookup, ProgramContext } from "@cnilab/core";
import type { NetNamespace, Trace } from "@cnilab/linux";
import { SocketTransport } from "../sockets/socket-transport.ts";
import { HostsTable } from "./hosts-table.ts";
import { parseResolvConf } from "./resolv-conf.ts";
import { Resolver } from "./resolver.ts";

/** getaddrinfo in a container: its /etc/hosts and resolv.conf, by packets from its namespace. */
export const programLookup: NameLookup = (context, name, done, trace) => {
  const { netns, owner, node, random } = context as ProgramContext<NetNamespace>;
  const hosts = context.readFile("/etc/hosts");
  const resolver = new Resolver({
    resolvConf: parseResolvConf(context.readFile("/etc/resolv.conf") ?? ""),
    transport: new SocketTransport(netns, owner, trace as Trace | undefined),
    clock: node.clock,
    random,
    ...(hosts !== undefined && { hosts: new HostsTable(hosts) }),
  });
  resolver.lookup(name, "AF_UNSPEC", ({ addresses }) => done(addresses));
};
