import {
  type Container,
  type ContainerPort,
  type ContainerProgram,
  type Probe,
  type ProgramContext,
  ProgramExit,
  type RunningProgram,
} from "@cnilab/core";
import { KernelError, type NetNamespace, type Socket, startEchoServer } from "@cnilab/linux";
import { IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP } from "@cnilab/net";

const PROTOCOLS = { TCP: IPPROTO_TCP, UDP: IPPROTO_UDP, SCTP: IPPROTO_SCTP } as const;
/** Lines of a program's log that are kept. */
const LOGGED_LINES = 200;

/** What a modelled program is given beside the namespace and what the process knows itself. */
export type ProgramSurroundings = Omit<
  ProgramContext<NetNamespace>,
  "netns" | "container" | "owner" | "log" | "exit"
>;

/** A modelled program, and what it finds around it. */
export interface ModelledProgram {
  readonly program: ContainerProgram<NetNamespace>;
  readonly surroundings: ProgramSurroundings;
  /** The object that a file of the container is part of. */
  readonly objectOf: (path: string) => string | undefined;
  /** The program ended by itself some time after its start. */
  readonly ended: (process: ContainerProcess) => void;
}

/**
 * The program in a container. One that is modelled does what it does. Any other listens on the ports that the container declares;
 * one that declares none listens on those that its probes ask for.
 */
export class ContainerProcess {
  readonly container: Container;
  /** As `default/web-0/nginx`. */
  readonly owner: string;
  restarts = 0;
  /** What the program said when it ended; `undefined` while it runs. */
  crash: string | undefined = undefined;
  /** The object that has the file which the program did not like, as `ConfigMap ns/name`. */
  crashObject: string | undefined = undefined;
  readonly #modelled: ModelledProgram | undefined;
  #running: RunningProgram | undefined;
  #log: string[] | undefined;

  constructor(container: Container, pod: string, modelled?: ModelledProgram) {
    this.container = container;
    // In one piece, as sockets keep it.
    this.owner = [pod, container.name].join("/");
    this.#modelled = modelled;
  }

  get running(): boolean {
    return this.#running !== undefined;
  }

  /** Whether the program answers its probes itself. */
  get isModelled(): boolean {
    return this.#modelled !== undefined;
  }

  /** The last lines of its log, over all restarts. */
  get log(): readonly string[] {
    return this.#log ?? [];
  }

  /** False when a port is taken, or the program has another reason to end: it ends with an error. */
  start(netns: NetNamespace): boolean {
    try {
      this.#running =
        this.#modelled === undefined
          ? new DeclaredServers(this.container, netns, this.owner)
          : this.#startModelled(netns, this.#modelled);
    } catch (error) {
      const crash = crashOf(error);
      if (crash === undefined) throw error;
      this.crash = crash;
      const file = error instanceof ProgramExit ? error.file : undefined;
      this.crashObject = file === undefined ? undefined : this.#modelled?.objectOf(file);
      return false;
    }
    this.crash = undefined;
    this.crashObject = undefined;
    return true;
  }

  stop(): void {
    this.#running?.stop();
    this.#running = undefined;
  }

  /** See {@link RunningProgram.hangUp}. */
  hangUp(): void {
    this.#running?.hangUp?.();
  }

  #startModelled(netns: NetNamespace, modelled: ModelledProgram): RunningProgram {
    const { program, surroundings, ended } = modelled;
    return program.start({
      ...surroundings,
      netns,
      container: this.container,
      owner: this.owner,
      log: (line) => this.#logged(line),
      exit: (message) => {
        if (!this.running) return;
        this.#running = undefined;
        this.crash = message;
        this.crashObject = undefined;
        ended(this);
      },
    });
  }

  #logged(line: string): void {
    this.#log ??= [];
    this.#log.push(line);
    if (this.#log.length > LOGGED_LINES) this.#log.shift();
  }
}

/** Stands for a program that nobody models: echo servers on the ports of its container. */
class DeclaredServers implements RunningProgram {
  readonly #sockets: readonly (Socket & { close(): void })[];

  /** @throws KernelError EADDRINUSE */
  constructor(container: Container, netns: NetNamespace, owner: string) {
    const sockets: (Socket & { close(): void })[] = [];
    try {
      for (const { containerPort, protocol = "TCP" } of portsOf(container)) {
        sockets.push(
          startEchoServer(netns, { protocol: PROTOCOLS[protocol], port: containerPort, owner }),
        );
      }
    } catch (error) {
      for (const socket of sockets) socket.close();
      throw error;
    }
    // Kept as long as the program runs: without room to grow.
    this.#sockets = sockets.slice();
  }

  stop(): void {
    for (const socket of this.#sockets) socket.close();
  }
}

/** What a program says that ends as it starts; `undefined` for what is no end of a program. */
function crashOf(error: unknown): string | undefined {
  if (error instanceof ProgramExit) return error.message;
  if (!(error instanceof KernelError) || error.errno !== "EADDRINUSE") return undefined;
  return `address already in use: ${error.message}`;
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
