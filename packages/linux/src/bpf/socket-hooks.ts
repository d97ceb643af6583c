import { IPV4_ANY, type IpAddress, isUnspecified } from "@cnilab/net";
import type { NetNamespace } from "../net-namespace.ts";
import type { SocketError } from "../socket/socket.ts";
import type { Trace } from "../trace.ts";
import type { Cgroup, SockAddrHook, SockHook } from "./cgroup.ts";
import { SockAddrContext } from "./sock-addr-context.ts";
import { type CgroupSocket, SockContext, type SocketEnds } from "./sock-context.ts";

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
  call: "bind" | "connect" | "sendmsg" | "recvmsg" | "getpeername",
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

/** Where a socket is bound once the programs of a control group were asked, and what they refuse that with. */
export interface BoundAddress {
  readonly address: IpAddress | undefined;
  readonly port: number;
  readonly error: SocketError | undefined;
}

/**
 * Asks the programs of a control group where a socket may be bound (net/ipv4/af_inet.c `inet_bind_sk`, `__inet_bind`): before
 * that, for another address or port; after it, whether it may stay.
 * @param address `undefined` for all, which programs see as 0.0.0.0
 * @param choosePort for one that is given none
 */
export function runBind(
  cgroup: Cgroup,
  socket: CgroupSocket,
  address: IpAddress | undefined,
  port: number,
  choosePort: () => number,
): BoundAddress {
  const asked = address ?? IPV4_ANY;
  const hooked = runSockAddr(cgroup, "bind", socket, asked, port, undefined);
  if (hooked?.error !== undefined) return { address, port, error: hooked.error };
  const given = hooked?.address ?? asked;
  const bound = {
    address: address === undefined && isUnspecified(given) ? undefined : given,
    port: (hooked?.port ?? port) || choosePort(),
  };
  const error = runSock(cgroup, typeof asked === "object" ? "post_bind6" : "post_bind4", socket, {
    localAddress: bound.address,
    localPort: bound.port,
    remoteAddress: undefined,
    remotePort: 0,
  });
  return { ...bound, error };
}

/** Tells the programs of a control group of a socket. @returns the error that they refuse it with */
export function runSock(
  cgroup: Cgroup,
  hook: SockHook,
  socket: CgroupSocket,
  ends: SocketEnds,
): SocketError | undefined {
  const ctx = cgroup.run(hook, (program) => new SockContext(program, socket, ends, undefined));
  return ctx?.refused ? refusal(ctx.errno ?? "EPERM", hook) : undefined;
}

function refusal(errno: SocketError["errno"], hook: string): SocketError {
  return { errno, from: undefined, message: `the program at cgroup/${hook} says no` };
}
