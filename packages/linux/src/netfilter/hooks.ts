import type { NetDevice } from "../device/net-device.ts";
import type { NetNamespace } from "../net-namespace.ts";
import type { Skb } from "../skb.ts";

export const NFPROTO_INET = 1;
export const NFPROTO_IPV4 = 2;
export const NFPROTO_ARP = 3;
export const NFPROTO_NETDEV = 5;
export const NFPROTO_BRIDGE = 7;
export const NFPROTO_IPV6 = 10;
/** Families that have hooks of their own; `inet` registers with both IP families. */
export type NfFamily =
  | typeof NFPROTO_IPV4
  | typeof NFPROTO_IPV6
  | typeof NFPROTO_ARP
  | typeof NFPROTO_BRIDGE;

export const NF_INET_PRE_ROUTING = 0;
export const NF_INET_LOCAL_IN = 1;
export const NF_INET_FORWARD = 2;
export const NF_INET_LOCAL_OUT = 3;
export const NF_INET_POST_ROUTING = 4;
export type HookNumber = 0 | 1 | 2 | 3 | 4;
export const HOOK_NAMES = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"] as const;

export const NF_DROP = 0;
export const NF_ACCEPT = 1;
/** Somebody else has the packet now. */
export const NF_STOLEN = 2;
/** The packet waits; `reinject` lets it go on behind the hook function that said so. */
export const NF_QUEUE = 3;
export type NfVerdict = 0 | 1 | 2 | 3;

// include/uapi/linux/netfilter_ipv4.h; the IPv6 ones are equal
export const NF_IP_PRI_FIRST: number = -2147483648;
export const NF_IP_PRI_RAW_BEFORE_DEFRAG = -450;
export const NF_IP_PRI_CONNTRACK_DEFRAG = -400;
export const NF_IP_PRI_RAW = -300;
export const NF_IP_PRI_SELINUX_FIRST = -225;
export const NF_IP_PRI_CONNTRACK = -200;
export const NF_IP_PRI_MANGLE = -150;
export const NF_IP_PRI_NAT_DST = -100;
export const NF_IP_PRI_FILTER = 0;
export const NF_IP_PRI_SECURITY = 50;
export const NF_IP_PRI_NAT_SRC = 100;
export const NF_IP_PRI_SELINUX_LAST = 225;
export const NF_IP_PRI_CONNTRACK_HELPER = 300;
export const NF_IP_PRI_LAST = 2147483647;
export const NF_IP_PRI_CONNTRACK_CONFIRM = 2147483647;

// include/uapi/linux/netfilter_bridge.h
export const NF_BR_PRI_NAT_DST_BRIDGED = -300;
export const NF_BR_PRI_FILTER_BRIDGED = -200;
export const NF_BR_PRI_BRNF = 0;
export const NF_BR_PRI_NAT_DST_OTHER = 100;
export const NF_BR_PRI_FILTER_OTHER = 200;
export const NF_BR_PRI_NAT_SRC = 300;

/** What happens to a packet once all functions of a hook have accepted it. */
export type OkFn = (skb: Skb, netns: NetNamespace) => void;

/** Where a hook is called: `struct nf_hook_state`. */
export interface HookState {
  readonly netns: NetNamespace;
  readonly family: NfFamily;
  readonly hook: HookNumber;
  readonly in: NetDevice | undefined;
  readonly out: NetDevice | undefined;
  readonly okfn: OkFn;
}

/** A function at a hook. It may change the packet; it must not keep it unless it says so. */
export interface HookFunction {
  readonly name: string;
  readonly priority: number;
  /** Those that it asks in turn, as NAT asks the chains of its tables. */
  readonly functions?: readonly HookFunction[];
  run(skb: Skb, state: HookState): NfVerdict;
}

/** A packet that waits between two hook functions. */
export interface QueuedPacket {
  readonly skb: Skb;
  readonly state: HookState;
  /** The function that asked for the wait; going on starts behind it. */
  readonly at: HookFunction;
}

/** The hook functions of one network namespace, in order of priority. */
export class NetfilterHooks {
  /** By {@link slotOf}; `undefined` while nothing is registered there. */
  readonly #entries: (readonly HookFunction[] | undefined)[] = new Array(SLOTS).fill(undefined);
  /** Packets that wait, oldest first. */
  readonly queued: QueuedPacket[] = [];

  /** Adds a function; before those of equal priority (`nf_hook_entries_grow`). */
  register(family: NfFamily, hook: HookNumber, entry: HookFunction): void {
    const slot = slotOf(family, hook);
    this.#entries[slot] = withFunction(this.#entries[slot] ?? [], entry);
  }

  unregister(family: NfFamily, hook: HookNumber, entry: HookFunction): void {
    const slot = slotOf(family, hook);
    const left = this.#entries[slot]?.filter((e) => e !== entry);
    this.#entries[slot] = left?.length ? left : undefined;
  }

  at(family: NfFamily, hook: HookNumber): readonly HookFunction[] | undefined {
    return this.#entries[slotOf(family, hook)];
  }

  /** Lets a waiting packet go on behind the function at which it stopped. */
  reinject(packet: QueuedPacket): void {
    const index = this.queued.indexOf(packet);
    if (index < 0) return;
    this.queued.splice(index, 1);
    const entries = this.at(packet.state.family, packet.state.hook) ?? [];
    runHook(this, entries, entries.indexOf(packet.at) + 1, packet.skb, packet.state);
  }
}

/** Hooks of a family. */
const HOOKS = 5;
const SLOTS = 4 * HOOKS;

function slotOf(family: NfFamily, hook: HookNumber): number {
  // 2, 3, 7 and 10 leave 2, 3, 1 and 4.
  return ((family % 6) - 1) * HOOKS + hook;
}

/**
 * The functions with one more, before those of equal priority. A new array, so that a walk in progress
 * keeps the one it started with.
 */
export function withFunction(
  functions: readonly HookFunction[],
  added: HookFunction,
): readonly HookFunction[] {
  let at = functions.length;
  while (at > 0 && (functions[at - 1] as HookFunction).priority >= added.priority) at--;
  return functions.toSpliced(at, 0, added);
}

/** Calls a hook: `okfn` goes on with the packet if every function accepts it (`NF_HOOK`). */
export function nfHook(
  netns: NetNamespace,
  family: NfFamily,
  hook: HookNumber,
  skb: Skb,
  input: NetDevice | undefined,
  output: NetDevice | undefined,
  okfn: OkFn,
): void {
  netns.catchUp();
  const hooks = netns.hooks;
  const entries = hooks?.at(family, hook);
  if (hooks === undefined || entries === undefined) {
    okfn(skb, netns);
    return;
  }
  const state: HookState = { netns, family, hook, in: input, out: output, okfn };
  runHook(hooks, entries, 0, skb, state);
}

/** Calls the functions of a hook that stand behind `entry`, as the bridge does when that one took over. */
export function nfHookBehind(entry: HookFunction, skb: Skb, state: HookState): void {
  const hooks = state.netns.netfilter;
  const entries = hooks.at(state.family, state.hook) ?? [];
  runHook(hooks, entries, entries.indexOf(entry) + 1, skb, state);
}

function runHook(
  hooks: NetfilterHooks,
  entries: readonly HookFunction[],
  start: number,
  skb: Skb,
  state: HookState,
): void {
  for (let i = start; i < entries.length; i++) {
    const entry = entries[i] as HookFunction;
    switch (entry.run(skb, state)) {
      case NF_ACCEPT:
        continue;
      case NF_QUEUE:
        park(hooks, { skb, state, at: entry });
        return;
      default:
        // A function that drops has told why by itself: it knows the rule.
        return;
    }
  }
  state.okfn(skb, state.netns);
}

function park(hooks: NetfilterHooks, packet: QueuedPacket): void {
  const { skb, state } = packet;
  hooks.queued.push(packet);
  state.netns.network.recording?.unrepeatable();
  skb.trace?.steps.push({
    kind: "conntrack",
    netns: state.netns,
    packet: skb.number,
    event: "parked",
    entry: skb.ct?.snapshot(),
    detail: "",
  });
}
