import type { IpAddress } from "@cnilab/net";
import type { NetNamespace } from "../net-namespace.ts";
import type { SocketError } from "../socket/socket.ts";
import type { Trace } from "../trace.ts";
import type { Cgroup, SockAddrHook, SockHook } from "./cgroup.ts";
import { SockAddrContext } from "./sock-addr-context.ts";
import { type CgroupSocket, SockContext } from "./sock-context.ts";

/** What programs have made of a call with an address. */
export interface HookedAddress {
  readonly address: IpAddress;
  readonly port: number;
  /** The source that sendmsg goes on with. */
  readonly source: IpAddress | undefined;
  /** They refuse it. */
  readonly error: SocketError | undefined;
}

/** The control group of a namespace's programs, if anybody has put a program into one. */
export function cgroupOf(netns: NetNamespace): Cgroup | undefined {
  return netns.cgroup ?? netns.kernel.cgroup;
}

/**
 * Asks the programs of a control group what a call is to go on with (`__cgroup_bpf_run_filter_sock_addr`).
 * @returns `undefined` where there are none
 */
export function runSockAddr(
  cgroup: Cgroup,
  call: "connect" | "sendmsg" | "recvmsg" | "getpeername",
  socket: CgroupSocket,
  address: IpAddress,
  port: number,
  trace: Trace | undefined,
  source?: IpAddress,
): HookedAddress | undefined {
  const hook: SockAddrHook = `${call}${typeof address === "number" ? 4 : 6}`;
  const ctx = cgroup.run(
    hook,
    (program) => new SockAddrContext(program, socket, hook, address, port, source, trace),
  );
  if (ctx === undefined) return undefined;
  const error = ctx.refused ? refusal(ctx.errno ?? "EPERM", hook) : undefined;
  return { address: ctx.userIp, port: ctx.userPort, source: ctx.msgSrcIp, error };
}

/** Tells the programs of a control group of a socket. @returns the error that they refuse it with */
export function runSock(
  cgroup: Cgroup,
  hook: SockHook,
  socket: CgroupSocket,
  localAddress: IpAddress | undefined,
  localPort: number,
): SocketError | undefined {
  const ctx = cgroup.run(
    hook,
    (program) => new SockContext(program, socket, localAddress, localPort, undefined),
  );
  return ctx?.refused ? refusal(ctx.errno ?? "EPERM", hook) : undefined;
}

function refusal(errno: SocketError["errno"], hook: string): SocketError {
  return { errno, from: undefined, message: `the program at cgroup/${hook} says no` };
}
