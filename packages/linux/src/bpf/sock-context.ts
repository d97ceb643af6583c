import type { IpAddress } from "@cnilab/net";
import type { NetNamespace } from "../net-namespace.ts";
import type { SocketError } from "../socket/socket.ts";
import type { Trace } from "../trace.ts";
import { BpfContext } from "./bpf-context.ts";
import type { BpfProgram } from "./bpf-program.ts";

/** A socket as programs of a cgroup see it. */
export interface CgroupSocket {
  readonly netns: NetNamespace;
  /** IP protocol number. */
  readonly protocol: number;
  /** Never changes, no other socket has it (`bpf_get_socket_cookie`). */
  readonly cookie: number;
  readonly mark: number;
}

/** Where a socket is bound, and connected to. */
export interface SocketEnds {
  readonly localAddress: IpAddress | undefined;
  readonly localPort: number;
  readonly remoteAddress: IpAddress | undefined;
  readonly remotePort: number;
}

/** What all programs on sockets are given. */
export abstract class CgroupContext extends BpfContext {
  readonly socket: CgroupSocket;
  readonly #trace: Trace | undefined;
  /** Set by a program that refuses, or once one has. */
  errno: SocketError["errno"] | undefined = undefined;
  refused = false;

  constructor(program: BpfProgram, socket: CgroupSocket, trace: Trace | undefined) {
    super(socket.netns, program);
    this.socket = socket;
    this.#trace = trace;
  }

  override get trace(): Trace | undefined {
    return this.#trace;
  }

  /** No packet yet: it is told of the one that comes next. */
  override get packetNumber(): number {
    return this.#trace?.mark().packets ?? 0;
  }

  override get dev(): undefined {
    return undefined;
  }

  get socketCookie(): number {
    return this.socket.cookie;
  }

  get netnsCookie(): number {
    return this.netns.kernel.bpf.netnsCookie(this.netns);
  }

  /** What the call fails with if the program says 0; EPERM where nobody says (`bpf_set_retval`). */
  setRetval(errno: SocketError["errno"]): void {
    this.errno = errno;
  }

  /** A program said 0. */
  refuse(): void {
    this.refused = true;
    this.errno ??= "EPERM";
  }

  /** What came of it, for a trace. */
  abstract get outcome(): string;
}

/** A socket that is made, bound or closed: `struct bpf_sock`. */
export class SockContext extends CgroupContext {
  readonly localAddress: IpAddress | undefined;
  readonly localPort: number;
  /** Of a connected socket. */
  readonly remoteAddress: IpAddress | undefined;
  readonly remotePort: number;

  constructor(
    program: BpfProgram,
    socket: CgroupSocket,
    { localAddress, localPort, remoteAddress, remotePort }: SocketEnds,
    trace: Trace | undefined,
  ) {
    super(program, socket, trace);
    this.localAddress = localAddress;
    this.localPort = localPort;
    this.remoteAddress = remoteAddress;
    this.remotePort = remotePort;
  }

  override get outcome(): string {
    return "allow";
  }
}
