import type { NetDevice } from "../device/net-device.ts";
import { KernelError } from "../kernel-error.ts";
import type { Skb } from "../skb.ts";
import { TrafficControl } from "../tc/traffic-control.ts";
import { runProgram } from "./bpf-context.ts";
import { BpfLink } from "./bpf-link.ts";
import type { BpfProgram } from "./bpf-program.ts";
import { doRedirect } from "./redirect.ts";
import { TcContext, type TcDirection } from "./tc-context.ts";
import {
  TC_ACT_OK,
  TC_ACT_QUEUED,
  TC_ACT_REDIRECT,
  TC_ACT_SHOT,
  TC_ACT_STOLEN,
  TC_ACT_TRAP,
  TC_ACT_UNSPEC,
  tcVerdictName,
} from "./verdict.ts";

/** A bpf filter of a clsact qdisc, direct-action (`tc filter`). */
export interface TcFilter {
  /** `pref`: lower ones first. */
  readonly preference: number;
  readonly handle: number;
  /** EtherType that it is for; 0x0003 for `all`. */
  readonly protocol: number;
  readonly program: BpfProgram<"sched_cls">;
}

export interface TcFilterOptions {
  /** The next lower one that is free where it is absent, from 49152 down. */
  readonly preference?: number;
  /** 1 where it is absent. */
  readonly handle?: number;
  readonly protocol?: number;
}

/** Where a link of tcx goes: at the end, unless it says otherwise. */
export interface TcxOptions {
  readonly before?: BpfLink<"sched_cls">;
  readonly after?: BpfLink<"sched_cls">;
  /** First of all (`BPF_F_BEFORE` without another). */
  readonly first?: boolean;
}

export const ETH_P_ALL = 0x0003;
/** `BPF_MPROG_MAX`. */
const MOST_TCX_PROGRAMS = 64;

/** The programs on one of a device's ways: those of tcx, and behind them filters of clsact. */
export class TcHook {
  readonly #dev: NetDevice;
  readonly direction: TcDirection;
  #links: readonly BpfLink<"sched_cls">[] = [];
  #filters: readonly TcFilter[] = [];

  constructor(dev: NetDevice, direction: TcDirection) {
    this.#dev = dev;
    this.direction = direction;
  }

  get links(): readonly BpfLink<"sched_cls">[] {
    return this.#links;
  }

  /** In the order in which they are asked. */
  get filters(): readonly TcFilter[] {
    return this.#filters;
  }

  /** Whether all of them let ARP pass as it is. */
  get passesArp(): boolean {
    return (
      this.#links.every(({ program }) => program.passesArp) &&
      this.#filters.every(({ program }) => program.passesArp)
    );
  }

  /** @throws KernelError ERANGE where there are 64, ENOENT for a neighbour that is not here, EEXIST for a program that is */
  attach(
    program: BpfProgram<"sched_cls">,
    { before, after, first }: TcxOptions,
  ): BpfLink<"sched_cls"> {
    const where = `tcx ${this.direction} of ${this.#dev.name}`;
    if (this.#links.length >= MOST_TCX_PROGRAMS) throw new KernelError("ERANGE", where);
    if (this.#links.some((l) => l.program === program)) {
      throw new KernelError("EEXIST", `program ${program.name} at ${where}`);
    }
    let at = first ? 0 : this.#links.length;
    const other = before ?? after;
    if (other !== undefined) {
      const found = this.#links.indexOf(other);
      if (found < 0) throw new KernelError("ENOENT", `link of ${other.program.name} at ${where}`);
      at = before === undefined ? found + 1 : found;
    }
    const { network } = this.#dev;
    const link = new BpfLink<"sched_cls">(
      program,
      () => network.touch(),
      (gone) => {
        this.#links = this.#links.filter((l) => l !== gone);
      },
    );
    this.#links = this.#links.toSpliced(at, 0, link);
    network.touch();
    return link;
  }

  /** `tc filter replace`. */
  setFilter(program: BpfProgram<"sched_cls">, options: TcFilterOptions): TcFilter {
    const preference = options.preference ?? (this.#filters[0]?.preference ?? 49153) - 1;
    const handle = options.handle ?? 1;
    const protocol = options.protocol ?? ETH_P_ALL;
    const filter: TcFilter = { preference, handle, protocol, program };
    const others = this.#filters.filter((f) => f.preference !== preference || f.handle !== handle);
    this.#filters = [...others, filter].sort(
      (a, b) => a.preference - b.preference || a.handle - b.handle,
    );
    this.#dev.network.touch();
    return filter;
  }

  deleteFilter(filter: TcFilter): void {
    this.#filters = this.#filters.filter((f) => f !== filter);
    this.#dev.network.touch();
  }

  /** Lets the programs see a packet (`sch_handle_ingress`, `sch_handle_egress`). False: it is not to go on here. */
  run(skb: Skb): boolean {
    const { direction } = this;
    let verdict = TC_ACT_UNSPEC;
    let ctx: TcContext | undefined;
    for (const { program } of this.#links) {
      ctx = this.#runOne("tcx", program, skb);
      verdict = ctx.verdict;
      if (verdict === TC_ACT_UNSPEC) continue;
      // tcx_action_code: what it does not know is as if nothing was said, but no other program is asked.
      if (!TCX_VERDICTS.has(verdict)) verdict = TC_ACT_UNSPEC;
      break;
    }
    if (verdict === TC_ACT_UNSPEC) {
      for (const { protocol, program } of this.#filters) {
        if (protocol !== ETH_P_ALL && protocol !== skb.etherType) continue;
        ctx = this.#runOne("tc", program, skb);
        // cls_bpf_exec_opcode
        verdict = TC_VERDICTS.has(ctx.verdict) ? ctx.verdict : TC_ACT_UNSPEC;
        if (verdict !== TC_ACT_UNSPEC) break;
      }
    }
    switch (verdict) {
      case TC_ACT_SHOT: {
        // NET_XMIT_DROP
        if (direction === "egress") skb.sendErrno ??= "ENOBUFS";
        const detail = (ctx as TcContext).dropDetail;
        this.#drop(skb, ctx as TcContext, detail);
        return false;
      }
      case TC_ACT_REDIRECT:
        doRedirect(ctx as TcContext);
        return false;
      case TC_ACT_STOLEN:
      case TC_ACT_QUEUED:
      case TC_ACT_TRAP:
        return false;
      default:
        return true;
    }
  }

  #runOne(kind: "tcx" | "tc", program: BpfProgram<"sched_cls">, skb: Skb): TcContext {
    const ctx = new TcContext(program as unknown as BpfProgram, this.#dev, skb, this.direction);
    ctx.verdict = runProgram(program, ctx);
    skb.trace?.steps.push({
      kind: "bpf",
      netns: this.#dev.netns,
      packet: skb.number,
      dev: this.#dev,
      hook: `${kind}/${this.direction}`,
      program: program.name,
      verdict: verdictText(ctx),
      lookups: ctx.lookups,
    });
    return ctx;
  }

  #drop(skb: Skb, ctx: TcContext, detail: string): void {
    const dev = this.#dev;
    const reason = this.direction === "ingress" ? "TC_INGRESS" : "TC_EGRESS";
    const location = `tc ${this.direction} ${dev.name}`;
    const rule = { location, text: ctx.program.name, origin: ctx.dropOrigin };
    dev.network.drop(skb, dev.netns, reason, dev, detail || `program ${ctx.program.name}`, rule);
  }
}

/** `tcx_action_code` */
const TCX_VERDICTS: ReadonlySet<number> = new Set([TC_ACT_OK, TC_ACT_SHOT, TC_ACT_REDIRECT]);
const TC_VERDICTS: ReadonlySet<number> = new Set([
  TC_ACT_OK,
  TC_ACT_SHOT,
  TC_ACT_STOLEN,
  TC_ACT_TRAP,
  TC_ACT_REDIRECT,
]);

/** As `TC_ACT_REDIRECT to eth0 (neigh)`. */
function verdictText({ verdict, target, netns }: TcContext): string {
  const name = tcVerdictName(verdict);
  if (verdict !== TC_ACT_REDIRECT || target === undefined) return name;
  const to = netns.findDeviceByIndex(target.ifindex)?.name ?? `ifindex ${target.ifindex}`;
  return target.how === "egress" ? `${name} to ${to}` : `${name} to ${to} (${target.how})`;
}

/** Puts a program onto one of a device's ways (`bpftool net attach tcx_ingress …`, since Linux 6.6). */
export function attachTcx(
  dev: NetDevice,
  direction: TcDirection,
  program: BpfProgram<"sched_cls">,
  options: TcxOptions = {},
): BpfLink<"sched_cls"> {
  return hookOf(dev, direction).attach(program, options);
}

/** `tc filter replace dev DEV ingress|egress pref … bpf direct-action`; the clsact qdisc comes with it. */
export function replaceTcFilter(
  dev: NetDevice,
  direction: TcDirection,
  program: BpfProgram<"sched_cls">,
  options: TcFilterOptions = {},
): TcFilter {
  return hookOf(dev, direction).setFilter(program, options);
}

/** `tc filter del`. */
export function deleteTcFilter(dev: NetDevice, direction: TcDirection, filter: TcFilter): void {
  hookOf(dev, direction).deleteFilter(filter);
}

function hookOf(dev: NetDevice, direction: TcDirection): TcHook {
  dev.tc ??= new TrafficControl(dev);
  if (direction === "ingress") {
    dev.tc.ingressHook ??= new TcHook(dev, direction);
    return dev.tc.ingressHook;
  }
  dev.tc.egressHook ??= new TcHook(dev, direction);
  return dev.tc.egressHook;
}
