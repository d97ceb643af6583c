import {
  NF_BR_PRI_FILTER_BRIDGED,
  NF_BR_PRI_NAT_DST_BRIDGED,
  NF_BR_PRI_NAT_DST_OTHER,
  NF_BR_PRI_NAT_SRC,
  NF_IP_PRI_FILTER,
  NF_IP_PRI_MANGLE,
  NF_IP_PRI_NAT_DST,
  NF_IP_PRI_NAT_SRC,
  NF_IP_PRI_RAW,
  NF_IP_PRI_SECURITY,
} from "../hooks.ts";
import type { BaseChainSpec, TableFamily } from "./command.ts";
import { kernelRefusal, NftablesError } from "./nftables-error.ts";
import type { BaseChain } from "./table.ts";

const PRIORITIES: Readonly<Record<string, number>> = {
  raw: NF_IP_PRI_RAW,
  mangle: NF_IP_PRI_MANGLE,
  dstnat: NF_IP_PRI_NAT_DST,
  filter: NF_IP_PRI_FILTER,
  security: NF_IP_PRI_SECURITY,
  srcnat: NF_IP_PRI_NAT_SRC,
};

const BRIDGE_PRIORITIES: Readonly<Record<string, number>> = {
  dstnat: NF_BR_PRI_NAT_DST_BRIDGED,
  filter: NF_BR_PRI_FILTER_BRIDGED,
  out: NF_BR_PRI_NAT_DST_OTHER,
  srcnat: NF_BR_PRI_NAT_SRC,
};

/** Priorities with names, in the order in which nft looks for the nearest. */
export function priorityNames(family: TableFamily): [name: string, value: number][] {
  return Object.entries(family === "bridge" ? BRIDGE_PRIORITIES : PRIORITIES);
}

/** Whether nft knows the name at a hook (its std_prio_family_hook_compat). */
export function priorityFits(name: string, family: TableFamily, hook: string): boolean {
  if (name === "filter") return true;
  if (family === "bridge") {
    return hook === { dstnat: "prerouting", out: "output", srcnat: "postrouting" }[name];
  }
  if (family === "arp" || family === "netdev") return false;
  if (name === "dstnat") return hook === "prerouting";
  return name === "srcnat" ? hook === "postrouting" : true;
}

const HOOKS: Readonly<Record<TableFamily, readonly string[]>> = {
  ip: ["prerouting", "input", "forward", "output", "postrouting"],
  ip6: ["prerouting", "input", "forward", "output", "postrouting"],
  inet: ["prerouting", "input", "forward", "output", "postrouting", "ingress"],
  bridge: ["prerouting", "input", "forward", "output", "postrouting"],
  arp: ["input", "output"],
  netdev: ["ingress", "egress"],
};

/** Where a base chain goes, of which its definition tells. @throws NftablesError */
export function baseChain(
  spec: BaseChainSpec,
  family: TableFamily,
  policy: "accept" | "drop",
): BaseChain {
  const { type, hook, devices, location } = spec;
  if (!HOOKS[family].includes(hook)) {
    throw new NftablesError(location, `The ${family} family does not support this hook`);
  }
  const nat = type === "nat" && (hook === "forward" || !["ip", "ip6", "inet"].includes(family));
  const route = type === "route" && hook !== "output";
  if (nat || route) throw kernelRefusal(location, "EOPNOTSUPP");
  const { name, offset } = spec.priority;
  let priority = offset;
  if (name !== undefined) {
    // Releases after 1.0.6 take dstnat at the output hook as well.
    const known = priorityNames(family).find(
      ([known]) =>
        known === name &&
        (priorityFits(name, family, hook) || (name === "dstnat" && hook === "output")),
    );
    if (known === undefined) {
      throw new NftablesError(location, `invalid priority expression string in this context.`);
    }
    priority += known[1];
  }
  if (type === "nat" && priority <= -200) throw kernelRefusal(location, "EOPNOTSUPP");
  return { type, hook, devices, priority, policy };
}
