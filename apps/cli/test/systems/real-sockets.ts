import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { type NetNamespace, type Network, UdpSocket } from "@cnilab/linux";
import { formatIp, IPPROTO_TCP, IPPROTO_UDP } from "@cnilab/net";

/** Somebody asked, in a real namespace. */
export interface RealProbe {
  readonly netns: string;
  readonly protocol: "TCP" | "UDP" | "ICMP";
  readonly address: string;
  /** Not for ICMP. */
  readonly port: number;
  /** Asked while nobody else asks, by machines that have forgotten what they learnt of paths' MTUs. */
  readonly alone: boolean;
}

/** What the client heard: who answered and whom that saw (ICMP: from where), or why nobody did. */
export interface RealAnswer {
  readonly owner?: string;
  readonly seen?: string;
  readonly replied?: string;
  readonly errno?: string;
  readonly stalled?: boolean;
}

/** Seconds that a client waits: TCP asks a second time after one. */
const WAIT_S = 3;
/** After which the program hangs. */
const PROGRAM_LIMIT_MS = 120_000;

/** The program that serves and asks. */
export const SOCKETS: string = fileURLToPath(new URL("sockets.py", import.meta.url));

/** Where a program passes on what it is asked, in place of answering; `undefined` for one that answers. */
export type RelayOf = (
  socket: Listening,
) => { readonly address: string; readonly port: number } | undefined;

/** What {@link SOCKETS} reads. */
export function requestTo(
  network: Network,
  prefix: string,
  probes: readonly RealProbe[],
  wait: number,
  relayOf: RelayOf = () => undefined,
): object {
  const servers = listening(network).map((socket) => ({
    ...socket,
    netns: realName(prefix, socket.netns),
    relay: relayOf(socket),
  }));
  const machines = machinesOf(network).map((netns) => realName(prefix, netns));
  const namespaces = namespacesOf(network).map((netns) => realName(prefix, netns));
  return { servers, probes, machines, namespaces, wait };
}

/**
 * Opens every listening socket of the network for real, then sends all the probes.
 * @param wait seconds that a client waits
 */
export async function askForReal(
  network: Network,
  prefix: string,
  probes: readonly RealProbe[],
  { wait = WAIT_S, relayOf }: { readonly wait?: number; readonly relayOf?: RelayOf } = {},
): Promise<readonly RealAnswer[]> {
  const child = spawn("python3", [SOCKETS], {
    stdio: ["pipe", "pipe", "inherit"],
    timeout: PROGRAM_LIMIT_MS,
    killSignal: "SIGKILL",
  });
  const request = requestTo(network, prefix, probes, wait, relayOf);
  child.stdin.end(JSON.stringify(request));
  return JSON.parse(await text(child.stdout));
}

/** As `realize` names namespaces: `PREFIX.NODE` and `PREFIX.NODE.POD`. */
export function realName(prefix: string, netns: NetNamespace): string {
  return [prefix, netns.kernel.hostname, netns.name].filter((part) => part !== "").join(".");
}

/** Nodes and routers, without the pods on them. */
export function machinesOf(network: Network): NetNamespace[] {
  return [...network.kernels.values()].map((kernel) => kernel.initNs);
}

function namespacesOf(network: Network): NetNamespace[] {
  return [...network.kernels.values()].flatMap(({ initNs, namespaces }) => [initNs, ...namespaces]);
}

/** Port on which those answer for real who answer on every port. */
export const ANY_PORT = 443;

/** A socket that a program of the model has open. */
export interface Listening {
  readonly netns: NetNamespace;
  readonly protocol: "TCP" | "UDP";
  readonly address?: string;
  readonly port: number;
  readonly owner: string;
}

/** Sockets of programs that take what comes; not the tunnels of the kernel itself. */
function listening(network: Network): Listening[] {
  return namespacesOf(network).flatMap((netns) => {
    const { catchAll } = netns.sockets;
    const bound = [...netns.sockets.all()]
      .filter((socket) => !(socket instanceof UdpSocket) || socket.isEndpoint)
      .filter(({ protocol }) => protocol === IPPROTO_TCP || protocol === IPPROTO_UDP)
      .filter(({ state }) => state === "LISTEN" || state === "UNCONN")
      .map(
        ({ protocol, localAddress, localPort, owner }): Listening => ({
          netns,
          protocol: protocol === IPPROTO_TCP ? "TCP" : "UDP",
          ...(localAddress === undefined ? {} : { address: formatIp(localAddress) }),
          port: localPort,
          owner,
        }),
      );
    if (catchAll === undefined) return bound;
    return [...bound, { netns, protocol: "TCP", port: ANY_PORT, owner: catchAll.owner }];
  });
}
