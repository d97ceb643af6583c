import type { NetDevice } from "../device/net-device.ts";
import { KernelError } from "../kernel-error.ts";
import type { Skb } from "../skb.ts";
import { runProgram } from "./bpf-context.ts";
import { BpfLink } from "./bpf-link.ts";
import type { BpfProgram } from "./bpf-program.ts";
import { XDP_PASS, XDP_REDIRECT, XDP_TX, xdpVerdictName } from "./verdict.ts";
import { XdpContext } from "./xdp-context.ts";

/** `native`: in the driver. `generic`: in the stack, for any device. A packet meets the same in both. */
export type XdpMode = "native" | "generic";

/** The one program that sees what comes in before the stack does. */
export class XdpHook {
  readonly #dev: NetDevice;
  readonly mode: XdpMode;
  readonly link: BpfLink<"xdp">;

  constructor(dev: NetDevice, program: BpfProgram<"xdp">, mode: XdpMode) {
    this.#dev = dev;
    this.mode = mode;
    this.link = new BpfLink<"xdp">(
      program,
      () => dev.network.touch(),
      () => {
        dev.xdp = undefined;
      },
    );
  }

  /** False: the stack does not get the packet (`do_xdp_generic`). */
  run(skb: Skb): boolean {
    const dev = this.#dev;
    const { program } = this.link;
    const ctx = new XdpContext(program as unknown as BpfProgram, dev, skb);
    const dstMac = skb.dstMac;
    const verdict = runProgram(program, ctx);
    const to =
      verdict === XDP_REDIRECT ? dev.netns.findDeviceByIndex(ctx.targetIfindex) : undefined;
    skb.trace?.steps.push({
      kind: "bpf",
      netns: dev.netns,
      packet: skb.number,
      dev,
      hook: `xdp/${this.mode}`,
      program: program.name,
      verdict: to === undefined ? xdpVerdictName(verdict) : `XDP_REDIRECT to ${to.name}`,
      lookups: ctx.lookups,
    });
    switch (verdict) {
      case XDP_PASS:
        if (skb.dstMac !== dstMac && dev.isEthernet) dev.classify(skb);
        return true;
      case XDP_TX:
        dev.startXmit(skb);
        return false;
      case XDP_REDIRECT:
        if (to?.up) {
          skb.dev = to;
          to.startXmit(skb);
          return false;
        }
        break;
      default:
    }
    const detail =
      verdict === XDP_REDIRECT
        ? `redirect to ifindex ${ctx.targetIfindex}, which is not there or down`
        : ctx.dropDetail || `program ${program.name}: ${xdpVerdictName(verdict)}`;
    const rule = { location: `xdp ${dev.name}`, text: ctx.program.name, origin: ctx.dropOrigin };
    dev.network.drop(skb, dev.netns, "XDP", dev, detail, rule);
    return false;
  }
}

/** `ip link set dev DEV xdp[generic] …`. @throws KernelError EBUSY where there is one */
export function attachXdp(
  dev: NetDevice,
  program: BpfProgram<"xdp">,
  mode: XdpMode = "native",
): BpfLink<"xdp"> {
  if (dev.xdp !== undefined) throw new KernelError("EBUSY", `an XDP program on ${dev.name}`);
  dev.xdp = new XdpHook(dev, program, mode);
  dev.network.touch();
  return dev.xdp.link;
}
