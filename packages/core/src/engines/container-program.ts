import type { Container, Pod } from "../api/pod.ts";
import type { Machine, Sandbox } from "../machine.ts";
import type { NodeContext } from "../node-context.ts";
import type { Random } from "../random.ts";

/** What a program finds around it when its container starts. */
export interface ProgramContext<S extends Sandbox = Sandbox, M extends Machine = Machine> {
  /** The network that it runs in: the pod's, or the node's for pods in the host's network. */
  readonly netns: S;
  readonly pod: Pod;
  readonly container: Container;
  /** The node, with the API server as it is seen from there, and the clock. */
  readonly node: NodeContext<M>;
  /** A stream of this container's own. */
  readonly random: Random;
  /** Who its sockets belong to, as `kube-system/coredns-0/coredns`. */
  readonly owner: string;
  /** A file of the container: what the kubelet writes, and what volumes bring; `undefined` where there is none. */
  readFile(path: string): string | undefined;
  /** What it logs, a line at a time. */
  log(line: string): void;
  /** Ends the program with an error after it has started. It stops itself first. */
  exit(message: string): void;
}

/** A program that runs. */
export interface RunningProgram {
  /** Closes its sockets and ends what it watches and waits for. */
  stop(): void;
  /** Says goodbye on connections that it keeps open for later use; it makes new ones when it needs them. */
  hangUp?(): void;
}

/**
 * A program that containers run, known by its image. The kubelet starts it in place of the server that stands for all programs
 * that nobody models.
 */
export interface ContainerProgram<S extends Sandbox = Sandbox, M extends Machine = Machine> {
  readonly name: string;
  /** Whether this is what the container runs. */
  runs(container: Container, pod: Pod): boolean;
  /** @throws ProgramExit where it ends at once; the container is started again later, as the kubelet does */
  start(context: ProgramContext<S, M>): RunningProgram;
}

/** A program ended with an error. The message is what it said last. */
export class ProgramExit extends Error {
  /** The file of the container that it did not like, where it was one. */
  readonly file: string | undefined;

  constructor(message: string, file?: string) {
    super(message);
    this.file = file;
  }
}

/** The last component of an image's path, without tag and digest: `coredns` of `registry.example/coredns/coredns:v1.13.1`. */
export function imageName(image: string | undefined): string {
  const path = (image ?? "").split("@")[0] ?? "";
  return (path.split("/").at(-1) ?? "").split(":")[0] ?? "";
}
