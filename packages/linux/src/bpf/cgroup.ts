import { runProgram } from "./bpf-context.ts";
import { BpfLink } from "./bpf-link.ts";
import type { BpfProgram } from "./bpf-program.ts";
import type { SockAddrContext } from "./sock-addr-context.ts";
import type { SockContext } from "./sock-context.ts";

/** Moments in a socket's life at which programs are asked for an address, as `bpftool cgroup` names them. */
export type SockAddrHook =
  | "connect4"
  | "connect6"
  | "bind4"
  | "bind6"
  | "sendmsg4"
  | "sendmsg6"
  | "recvmsg4"
  | "recvmsg6"
  | "getpeername4"
  | "getpeername6";

/** The same for the socket itself. */
export type SockHook = "sock_create" | "sock_release" | "post_bind4" | "post_bind6";

export type CgroupHook = SockAddrHook | SockHook;

export type ProgramAt<H extends CgroupHook> = H extends SockAddrHook
  ? BpfProgram<"cgroup_sock_addr">
  : BpfProgram<"cgroup_sock">;

export type LinkAt<H extends CgroupHook> = H extends SockAddrHook
  ? BpfLink<"cgroup_sock_addr">
  : BpfLink<"cgroup_sock">;

/** A control group of cgroup2, for the programs on its sockets. A machine's programs are in its root unless they say so. */
export class Cgroup {
  readonly path: string;
  readonly parent: Cgroup | undefined;
  readonly #touch: () => void;
  readonly #links: Map<CgroupHook, BpfLink<"cgroup_sock_addr" | "cgroup_sock">[]> = new Map();
  /** Links of this group and those above it, own ones first; `undefined` while nobody asked since the last change. */
  #effective: Map<CgroupHook, readonly BpfLink<"cgroup_sock_addr" | "cgroup_sock">[]> | undefined;
  readonly #children: Cgroup[] = [];

  constructor(path: string, parent: Cgroup | undefined, touch: () => void) {
    this.path = path;
    this.parent = parent;
    this.#touch = touch;
    if (parent !== undefined) parent.#children.push(this);
  }

  /** `bpftool cgroup attach … multi`. */
  attach<H extends CgroupHook>(hook: H, program: ProgramAt<H>): LinkAt<H> {
    const link = new BpfLink<"cgroup_sock_addr" | "cgroup_sock">(
      program as BpfProgram<"cgroup_sock_addr" | "cgroup_sock">,
      () => this.#touch(),
      (gone) => {
        this.#links.set(
          hook,
          this.attached(hook).filter((l) => l !== gone),
        );
        this.#forget();
      },
    );
    this.#links.set(hook, [...this.attached(hook), link]);
    this.#forget();
    this.#touch();
    return link as unknown as LinkAt<H>;
  }

  /** Links of this group alone. */
  attached(hook: CgroupHook): readonly BpfLink<"cgroup_sock_addr" | "cgroup_sock">[] {
    return this.#links.get(hook) ?? [];
  }

  #forget(): void {
    this.#effective = undefined;
    for (const child of this.#children) child.#forget();
  }

  /** What runs for a socket of this group: its own programs, then those of the groups above (`compute_effective_progs`). */
  effective(hook: CgroupHook): readonly BpfLink<"cgroup_sock_addr" | "cgroup_sock">[] {
    this.#effective ??= new Map();
    let links = this.#effective.get(hook);
    if (links === undefined) {
      links = [...this.attached(hook), ...(this.parent?.effective(hook) ?? [])];
      this.#effective.set(hook, links);
    }
    return links;
  }

  /** Runs all programs of a hook; one that says 0 refuses, and the others are asked all the same (`bpf_prog_run_array_cg`). */
  run<C extends SockAddrContext | SockContext>(
    hook: CgroupHook,
    make: (program: BpfProgram) => C,
  ): C | undefined {
    const links = this.effective(hook);
    if (links.length === 0) return undefined;
    let ctx: C | undefined;
    for (const { program } of links) {
      if (ctx === undefined) ctx = make(program as unknown as BpfProgram);
      else ctx.next(program as unknown as BpfProgram);
      const before = ctx.lookups;
      const verdict = runProgram(program, ctx as never);
      if ((verdict & 1) === 0) ctx.refuse();
      traceRun(ctx, hook, program.name, verdict, ctx.lookups - before);
    }
    return ctx;
  }
}

function traceRun(
  ctx: SockAddrContext | SockContext,
  hook: CgroupHook,
  program: string,
  verdict: number,
  lookups: number,
): void {
  ctx.trace?.steps.push({
    kind: "bpf",
    netns: ctx.netns,
    packet: ctx.packetNumber,
    dev: undefined,
    hook: `cgroup/${hook}`,
    program,
    verdict: (verdict & 1) === 0 ? `${ctx.errno ?? "EPERM"}` : ctx.outcome,
    lookups,
  });
}
