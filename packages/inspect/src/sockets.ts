import type { NetNamespace, Socket } from "@cnilab/linux";
import { formatIp, IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP } from "@cnilab/net";
import type { JsonObject } from "./json.ts";
import { textTable } from "./text-table.ts";

const HEAD = [
  "Netid",
  "State",
  "Recv-Q",
  "Send-Q",
  "Local Address:Port",
  "Peer Address:Port",
  "Process",
];

/**
 * Sockets that wait for others, in the columns of `ss -tulpn` (UDP, TCP, then SCTP). `users` names the
 * owner in the cluster, as `default/web-0/nginx`, where the real tool names a process and its number.
 */
export function socketsText(netns: NetNamespace): string {
  const rows = listening(netns).map(({ netid, state, local, peer, owner }) => [
    netid,
    state,
    "0",
    "0",
    local,
    peer,
    `users:(("${owner}"))`,
  ]);
  return textTable([HEAD, ...rows], { gap: 1 });
}

/** The same as data; `ss` itself has no JSON. */
export function socketsJson(netns: NetNamespace): JsonObject[] {
  return listening(netns).map((line) => ({ ...line }));
}

interface SocketLine {
  readonly netid: string;
  readonly state: string;
  readonly local: string;
  readonly peer: string;
  readonly owner: string;
}

function listening(netns: NetNamespace): SocketLine[] {
  const lines: SocketLine[] = [];
  for (const { protocol, netid } of PROTOCOLS) {
    for (const socket of netns.sockets.all()) {
      if (socket.protocol !== protocol || socket.remoteAddress !== undefined) continue;
      lines.push({
        netid,
        state: socket.state,
        local: localText(socket),
        peer: peerText(socket),
        owner: socket.owner,
      });
    }
    const { catchAll } = netns.sockets;
    if (catchAll !== undefined) {
      const state = protocol === IPPROTO_UDP ? "UNCONN" : "LISTEN";
      lines.push({ netid, state, local: "*:*", peer: "*:*", owner: catchAll.owner });
    }
  }
  return lines;
}

const PROTOCOLS = [
  { protocol: IPPROTO_UDP, netid: "udp" },
  { protocol: IPPROTO_TCP, netid: "tcp" },
  { protocol: IPPROTO_SCTP, netid: "sctp" },
];

/** A socket without an address takes both families, which ss writes as `*`. */
function localText({ localAddress, localPort }: Socket): string {
  if (localAddress === undefined) return `*:${localPort}`;
  const text = formatIp(localAddress);
  return typeof localAddress === "number" ? `${text}:${localPort}` : `[${text}]:${localPort}`;
}

function peerText({ localAddress }: Socket): string {
  if (localAddress === undefined) return "*:*";
  return typeof localAddress === "number" ? "0.0.0.0:*" : "[::]:*";
}
