import { InputError } from "@cnilab/core";
import { echoOnAllPorts, KernelError, type NetNamespace, startEchoServer } from "@cnilab/linux";
import {
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type IpAddress,
  isUnspecified,
  tryParseIp,
} from "@cnilab/net";
import type { SavedNamespace } from "./saved-namespace.ts";

const SOCKETS = "sockets.txt";

const PROTOCOLS: Readonly<Record<string, number>> = {
  tcp: IPPROTO_TCP,
  udp: IPPROTO_UDP,
  sctp: IPPROTO_SCTP,
};

interface ListeningSocket {
  readonly protocol: number;
  readonly address: IpAddress | undefined;
  readonly port: number;
  readonly owner: string;
}

/**
 * Servers for the sockets of `ss -Hlntup`; where these were not saved, one on every port.
 * @param all one on every port everywhere
 * @throws InputError
 */
export function addServers(netns: NetNamespace, { files }: SavedNamespace, all: boolean): void {
  if (all || !files.has(SOCKETS)) {
    netns.sockets.catchAll = echoOnAllPorts(netns, "any program");
    return;
  }
  for (const { text, where } of files.lines(SOCKETS)) {
    const socket = readSocket(text, where);
    if (socket === undefined) continue;
    const { address, ...rest } = socket;
    try {
      startEchoServer(netns, address === undefined ? rest : { ...rest, address });
    } catch (error) {
      // One of each family, or several of one program: the first takes what comes. Tunnels have theirs.
      if (!(error instanceof KernelError) || error.errno !== "EADDRINUSE") throw error;
    }
  }
}

/** `tcp LISTEN 0 4096 127.0.0.1:10248 0.0.0.0:* users:(("kubelet",pid=1,fd=2))`; `undefined` for other protocols. */
function readSocket(text: string, where: string): ListeningSocket | undefined {
  const [netid = "", , , , local] = text.split(/\s+/);
  const protocol = PROTOCOLS[netid];
  if (protocol === undefined) return undefined;
  const found = /^(.*):(\d+|\*)$/.exec(local ?? "");
  const port = Number(found?.[2]);
  if (found === null || port > 65_535) {
    throw new InputError("must be a line of `ss -Hlntup`, with an address and a port", where);
  }
  // A port 0 or * is one of a raw socket.
  if (!(port > 0)) return undefined;
  const address = readAddress(found[1] as string, where);
  const program = /users:\(\("([^"]*)"/.exec(text)?.[1] ?? "kernel";
  // Names of programs may have slashes, which mean something in an owner.
  const owner = program.replaceAll("/", "_");
  return { protocol, address, port, owner };
}

/** `*`, `0.0.0.0`, `[::]`, `127.0.0.53%lo`; a socket of one family takes both here. */
function readAddress(text: string, where: string): IpAddress | undefined {
  if (text === "*") return undefined;
  const bare = text.replace(/^\[(.*)\]/, "$1").replace(/%.*$/, "");
  const mapped = bare.replace(/^::ffff:(?=\d+\.)/, "");
  const address = tryParseIp(mapped);
  if (bare === "*") return undefined;
  if (address === undefined) throw new InputError(`"${text}" is no address`, where);
  return isUnspecified(address) ? undefined : address;
}
