import {
  BpfProgram,
  type SockAddrContext,
  type SockAddrHook,
  type SockContext,
  type SockHook,
} from "@cnilab/linux";
import type { NodeDatapath } from "../node-datapath.ts";
import { isServicePort } from "./post-bind.ts";
import { sockRelease } from "./sock-release.ts";
import { sockXlateForward } from "./xlate-forward.ts";
import { sockXlateReverse } from "./xlate-reverse.ts";

const SYS_REJECT = 0;
const SYS_PROCEED = 1;

/** The programs of bpf_sock.c for a control group's sockets, by the hook that they are for. */
export interface SocketPrograms {
  readonly addresses: ReadonlyMap<SockAddrHook, BpfProgram<"cgroup_sock_addr">>;
  readonly sockets: ReadonlyMap<SockHook, BpfProgram<"cgroup_sock">>;
}

/**
 * The socket load balancer (bpf/bpf_sock.c, pkg/socketlb): services become backends when a program connects or sends, so that
 * no packet has a service's address. Empty where it is off.
 */
export function socketPrograms(node: NodeDatapath): SocketPrograms {
  const { config, maps } = node;
  const addresses = new Map<SockAddrHook, BpfProgram<"cgroup_sock_addr">>();
  const sockets = new Map<SockHook, BpfProgram<"cgroup_sock">>();
  if (config.lb.socket === "off") return { addresses, sockets };
  const forward = (udpOnly: boolean) => (ctx: SockAddrContext) => {
    const errno = sockXlateForward(ctx, node, udpOnly);
    if (errno === undefined) return SYS_PROCEED;
    ctx.setRetval(errno);
    return SYS_REJECT;
  };
  const reverse = (ctx: SockAddrContext) => {
    sockXlateReverse(ctx, node);
    return SYS_PROCEED;
  };
  const postBind = (ctx: SockContext) => {
    if (!isServicePort(ctx, node)) return SYS_PROCEED;
    ctx.setRetval("EADDRINUSE");
    return SYS_REJECT;
  };
  const release = (ctx: SockContext) => {
    sockRelease(ctx, node);
    return SYS_PROCEED;
  };
  // IPv6 sockets may ask for IPv4 addresses: their programs are there whichever family the cluster has.
  for (const family of [4, 6] as const) {
    if (family === 4 && !config.enableIpv4) continue;
    const address = (call: "connect" | "sendmsg" | "recvmsg" | "getpeername", run: Run) =>
      addresses.set(
        `${call}${family}`,
        new BpfProgram(maps.kernel, {
          type: "cgroup_sock_addr",
          name: `cil_sock${family}_${call}`,
          run,
        }),
      );
    address("connect", forward(false));
    address("sendmsg", forward(true));
    address("recvmsg", reverse);
    address("getpeername", reverse);
    if (config.lb.nodePort && config.lb.bindProtection) {
      sockets.set(
        `post_bind${family}`,
        socketProgram(node, `cil_sock${family}_post_bind`, postBind),
      );
    }
  }
  sockets.set("sock_release", socketProgram(node, "cil_sock_release", release));
  return { addresses, sockets };
}

type Run = (ctx: SockAddrContext) => number;

function socketProgram(
  { maps }: NodeDatapath,
  name: string,
  run: (ctx: SockContext) => number,
): BpfProgram<"cgroup_sock"> {
  return new BpfProgram(maps.kernel, { type: "cgroup_sock", name, run });
}
