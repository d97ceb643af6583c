import type { Flow, FlowExtensions } from "./flow.ts";

/** How {@link KernelDrop} is named among Flow's extensions. */
const KERNEL_DROP_TYPE = "cnilab/KernelDrop";

/** Why the kernel itself dropped a packet, where no program of Cilium's has a number for it. */
export interface KernelDrop {
  /** As `enum skb_drop_reason` has it: `NETFILTER_DROP`. */
  readonly reason: string;
  /** More about it, for people. */
  readonly detail?: string;
  /** The rule that did it, in its own tool's syntax. */
  readonly rule?: string;
  /** The object that made an agent program the rule. */
  readonly origin?: string;
}

export function kernelDropExtension(drop: KernelDrop): FlowExtensions {
  return { "@type": KERNEL_DROP_TYPE, ...drop };
}

export function kernelDropOf({ extensions }: Flow): KernelDrop | undefined {
  if (extensions?.["@type"] !== KERNEL_DROP_TYPE) return undefined;
  const { reason } = extensions;
  return typeof reason === "string" ? { ...extensions, reason } : undefined;
}
