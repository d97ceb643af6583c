import { formatEndpoint, type IpAddress } from "@cnilab/net";
import type { Trace } from "../trace.ts";
import type { BpfProgram } from "./bpf-program.ts";
import type { SockAddrHook } from "./cgroup.ts";
import { CgroupContext, type CgroupSocket } from "./sock-context.ts";

/** A call with an address: `struct bpf_sock_addr`. What a program writes to it is what the call goes on with. */
export class SockAddrContext extends CgroupContext {
  readonly hook: SockAddrHook;
  /** The address that the program above gave or is to be told of: `user_ip4` or `user_ip6`. */
  userIp: IpAddress;
  userPort: number;
  /** Of sendmsg: the source, where one was given. */
  msgSrcIp: IpAddress | undefined;
  readonly #firstIp: IpAddress;
  readonly #firstPort: number;

  constructor(
    program: BpfProgram,
    socket: CgroupSocket,
    hook: SockAddrHook,
    userIp: IpAddress,
    userPort: number,
    msgSrcIp: IpAddress | undefined,
    trace: Trace | undefined,
  ) {
    super(program, socket, trace);
    this.hook = hook;
    this.userIp = userIp;
    this.userPort = userPort;
    this.msgSrcIp = msgSrcIp;
    this.#firstIp = userIp;
    this.#firstPort = userPort;
  }

  /** IP protocol number. */
  get protocol(): number {
    return this.socket.protocol;
  }

  override get outcome(): string {
    const before = formatEndpoint(this.#firstIp, this.#firstPort);
    const after = formatEndpoint(this.userIp, this.userPort);
    return before === after ? "allow" : `allow, ${before} becomes ${after}`;
  }
}
