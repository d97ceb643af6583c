import type { Container, ContainerPort, Probe } from "@cnilab/core";
import { KernelError, type NetNamespace, type Socket, startEchoServer } from "@cnilab/linux";
import { IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP } from "@cnilab/net";

const PROTOCOLS = { TCP: IPPROTO_TCP, UDP: IPPROTO_UDP, SCTP: IPPROTO_SCTP } as const;

/**
 * The program in a container: it listens on the ports that the container declares. One that declares
 * none listens on those that its probes ask for.
 */
export class ContainerProcess {
  readonly container: Container;
  /** As `default/web-0/nginx`. */
  readonly owner: string;
  restarts = 0;
  /** What the program said when it ended; `undefined` while it runs. */
  crash: string | undefined = undefined;
  #sockets: (Socket & { close(): void })[] | undefined;

  constructor(container: Container, pod: string) {
    this.container = container;
    // In one piece, as sockets keep it.
    this.owner = [pod, container.name].join("/");
  }

  get running(): boolean {
    return this.#sockets !== undefined;
  }

  /** False when a port is taken: the program ends with an error. */
  start(netns: NetNamespace): boolean {
    const sockets: (Socket & { close(): void })[] = [];
    try {
      for (const { containerPort, protocol = "TCP" } of portsOf(this.container)) {
        sockets.push(
          startEchoServer(netns, {
            protocol: PROTOCOLS[protocol],
            port: containerPort,
            owner: this.owner,
          }),
        );
      }
    } catch (error) {
      if (!(error instanceof KernelError) || error.errno !== "EADDRINUSE") throw error;
      for (const socket of sockets) socket.close();
      this.crash = `address already in use: ${error.message}`;
      return false;
    }
    // Kept as long as the program runs: without room to grow.
    this.#sockets = sockets.slice();
    this.crash = undefined;
    return true;
  }

  stop(): void {
    for (const socket of this.#sockets ?? []) socket.close();
    this.#sockets = undefined;
  }
}

/** A port may be listed twice under two names; the program opens it once. */
function portsOf(container: Container): readonly ContainerPort[] {
  const ports = container.ports?.length ? container.ports : probedPorts(container);
  if (ports.length < 2) return ports;
  const seen = new Set<string>();
  return ports.filter(({ containerPort, protocol = "TCP" }) => {
    const id = `${protocol} ${containerPort}`;
    return !seen.has(id) && seen.add(id);
  });
}

function probedPorts(container: Container): ContainerPort[] {
  const { readinessProbe, livenessProbe, startupProbe } = container;
  return [readinessProbe, livenessProbe, startupProbe].flatMap((probe) => {
    const port = probe === undefined ? undefined : probePort(probe, container);
    return port === undefined ? [] : [{ containerPort: port }];
  });
}

/** The TCP port that a probe connects to; `undefined` for a command, or a name that is not there. */
export function probePort(probe: Probe, container: Container): number | undefined {
  const port = probe.grpc?.port ?? probe.httpGet?.port ?? probe.tcpSocket?.port;
  if (typeof port !== "string") return port;
  if (/^[0-9]+$/.test(port)) return Number(port);
  return container.ports?.find(({ name }) => name === port)?.containerPort;
}
