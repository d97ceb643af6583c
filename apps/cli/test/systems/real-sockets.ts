import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { type NetNamespace, type Network, UdpSocket } from "@cnilab/linux";
import { formatIp, IPPROTO_TCP } from "@cnilab/net";

/** Somebody asked, in a real namespace. */
export interface RealProbe {
  readonly netns: string;
  readonly protocol: "TCP" | "UDP";
  readonly address: string;
  readonly port: number;
  /** Asked while nobody else asks, by machines that have forgotten what they learnt of paths' MTUs. */
  readonly alone: boolean;
}

/** What the client heard: who answered and whom that saw, or why nobody did. */
export interface RealAnswer {
  readonly owner?: string;
  readonly seen?: string;
  readonly errno?: string;
  readonly stalled?: boolean;
}

/** Seconds that a client waits: TCP asks a second time after one. */
const WAIT_S = 3;
/** After which the program hangs. */
const PROGRAM_LIMIT_MS = 120_000;

/** The program that serves and asks. */
export const SOCKETS: string = fileURLToPath(new URL("sockets.py", import.meta.url));

/** What {@link SOCKETS} reads. */
export function requestTo(
  network: Network,
  prefix: string,
  probes: readonly RealProbe[],
  wait: number,
): object {
  const servers = listening(network).map(({ netns, ...socket }) => ({
    ...socket,
    netns: realName(prefix, netns),
  }));
  const machines = machinesOf(network).map((netns) => realName(prefix, netns));
  return { servers, probes, machines, wait };
}

/** Opens every listening socket of the network for real, then sends all the probes. */
export async function askForReal(
  network: Network,
  prefix: string,
  probes: readonly RealProbe[],
): Promise<readonly RealAnswer[]> {
  const child = spawn("python3", [SOCKETS], {
    stdio: ["pipe", "pipe", "inherit"],
    timeout: PROGRAM_LIMIT_MS,
    killSignal: "SIGKILL",
  });
  const request = requestTo(network, prefix, probes, WAIT_S);
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

/** Port on which those answer for real who answer on every port. */
export const ANY_PORT = 443;

interface Listening {
  readonly netns: NetNamespace;
  readonly protocol: "TCP" | "UDP";
  readonly address?: string;
  readonly port: number;
  readonly owner: string;
}

/** Sockets of programs that take what comes; not the tunnels of the kernel itself. */
function listening(network: Network): Listening[] {
  return [...network.kernels.values()]
    .flatMap((kernel) => [kernel.initNs, ...kernel.namespaces])
    .flatMap((netns) => {
      const { catchAll } = netns.sockets;
      const bound = [...netns.sockets.all()]
        .filter((socket) => !(socket instanceof UdpSocket) || socket.isEndpoint)
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
