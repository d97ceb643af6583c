import type { Kernel } from "../kernel.ts";
import type { SockAddrContext } from "./sock-addr-context.ts";
import type { SockContext } from "./sock-context.ts";
import type { TcContext } from "./tc-context.ts";
import type { XdpContext } from "./xdp-context.ts";

/** What each type of program is given, under the names of `bpftool prog`. */
export interface ContextOf {
  readonly sched_cls: TcContext;
  readonly xdp: XdpContext;
  readonly cgroup_sock_addr: SockAddrContext;
  readonly cgroup_sock: SockContext;
}

export type BpfProgramType = keyof ContextOf;

export interface BpfProgramOptions<T extends BpfProgramType> {
  readonly type: T;
  readonly name: string;
  /** What it does; it returns the number that is its verdict. */
  readonly run: (ctx: ContextOf[T]) => number;
  /**
   * Whether two packets that are equal, but for what they carry, meet the same while nothing changes that the program has
   * looked up, so that the flow cache may leave out walks. Such a program changes no value in place without noting it
   * (`ctx.effect`) and says until when its answer holds where it looks at the time (`ctx.expires`). Writing to maps and
   * taking random numbers ends the recording by itself. Absent: each packet is walked.
   */
  readonly repeatable?: boolean;
  /**
   * Whether it lets ARP pass as it is. Then a question that means nothing to the machine behind it need not come to it: of
   * thousands on a segment hardly any is concerned.
   */
  readonly passesArp?: boolean;
}

/** A loaded program: a function of a packet, or of a socket, and of what maps hold. */
export class BpfProgram<T extends BpfProgramType = BpfProgramType> {
  readonly kernel: Kernel;
  readonly id: number;
  readonly type: T;
  readonly name: string;
  readonly run: (ctx: ContextOf[T]) => number;
  readonly repeatable: boolean;
  readonly passesArp: boolean;
  /** How often it ran, called by others included, and how many look-ups it did (`bpftool prog show` with statistics). */
  runCount = 0;
  lookups = 0;

  constructor(kernel: Kernel, { type, name, run, repeatable, passesArp }: BpfProgramOptions<T>) {
    this.kernel = kernel;
    this.type = type;
    this.name = name;
    this.run = run;
    this.repeatable = repeatable ?? false;
    this.passesArp = passesArp ?? false;
    this.id = kernel.bpf.nextProgramId();
  }
}

/** A program of whatever type. */
// biome-ignore lint/suspicious/noExplicitAny: each type is given another context, so that no other type holds every program
export type AnyBpfProgram = BpfProgram<any>;
